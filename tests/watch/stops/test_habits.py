"""What is fetched at once where the guest was stopped before."""

from __future__ import annotations

from typing import Any

import pytest

from timehands.watch.stops import Kind, Stops, parse
from timehands.watch.stops.habits import MAX_LENGTH, MAX_PLACES, MAX_SPANS, Habits
from watch.stops.guests import ENDS, STACK, Machine, address, at, play

A, B, C = (0x1000, 256), (0x2000, 256), (0x3000, 512)


def test_what_was_asked_for_twice_in_a_row_is_a_habit() -> None:
    habits = Habits()
    habits.learn(1, [A, B])
    assert habits.of(1) == ()
    habits.learn(1, [B, C])
    assert habits.of(1) == (B,)
    assert habits.of(2) == ()
    habits.learn(1, [C])  # B came by itself
    assert set(habits.of(1)) == {B, C}


def test_habits_have_bounds() -> None:
    habits = Habits()
    for _ in range(2):
        habits.learn(1, [(start, 256) for start in range(0, 1 << 20, 256)])
        habits.learn(2, [(0, MAX_LENGTH + 1)])
        for pc in range(3, 2 * MAX_PLACES):
            habits.learn(pc, [A])
    assert len(habits.of(1)) == MAX_SPANS
    assert habits.of(2) == ()
    assert sum(bool(habits.of(pc)) for pc in range(2 * MAX_PLACES)) <= MAX_PLACES


def test_from_the_third_stop_in_a_place_nothing_is_asked_for_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = at("tc_init", rdi=address("i8254_timecounter"), rbp=STACK + 64)
    machine = Machine(way=[*[here] * 6, ENDS])

    async def run(stops: Stops) -> tuple[list[Any], list[int]]:
        found, counts = [], []
        await stops.place(parse("tc_init"))
        fetch = stops._fetch
        asked: list[int] = []

        async def counted(start: int, length: int) -> bytes | None:
            asked.append(start)
            return await fetch(start, length)

        monkeypatch.setattr(stops, "_fetch", counted)
        while (stop := await stops.run(5)) is not None and stop.kind is Kind.WANTED:
            found.append((await stop.text("tc->tc_name"), (await stop.backtrace(3)).names))
            counts.append(len(asked))
            asked.clear()
        return found, counts

    found, counts = play(machine, run)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert found[0][0].endswith('"i8254"')
    assert counts[0] == counts[1] > 1
    assert counts[2:] == [0] * 4


@pytest.mark.parametrize("places", [1, 3])
def test_memory_that_changes_between_stops_is_read_anew(places: int) -> None:
    machine = Machine()

    async def run(stops: Stops) -> list[int]:
        for offset in range(places):
            await stops.place(parse(f"tc_init+{offset}"))
        found = []
        for number in range(9):
            machine.way = [at(address("tc_init") + number % places)]
            machine.put(address("tsc_freq"), number.to_bytes(8, "little"))
            await stops.run(5)
            found.append(await stops.see(lambda view: int(view.value("tsc_freq"))))
        return found

    assert play(machine, run) == list(range(9))


def test_a_habit_that_cannot_be_read_any_more_is_no_trouble() -> None:
    machine = Machine()

    async def run(stops: Stops) -> list[str]:
        await stops.place(parse("tc_init"))
        found = []
        for number in range(5):
            if number == 3:
                machine.on_m = lambda _: b"E14"
            machine.way = [at("tc_init")]
            stop = await stops.run(5)
            assert stop is not None
            found.append(await stop.text_or_why("tsc_freq"))
        return found

    *good, first, second = play(machine, run)
    assert good == ["0"] * 3
    assert first == second
    assert "cannot be read" in first
