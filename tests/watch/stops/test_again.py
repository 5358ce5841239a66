"""Looks that are remembered: never anything but what a look at the guest itself would find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.kernels.memory import Missing, Pages, Unreadable
from timehands.watch.stops import Kind, Stops, View, parse
from timehands.watch.stops.again import MAX_LOOKS, MAX_MISSES, MAX_RESULTS, PASSED_OVER, Looks
from watch.stops.guests import ENDS, STACK, Machine, address, at, kernel, play

WORDS = 32


def pages(words: list[int | None]) -> Pages:
    """Memory of so many words from 0, each in a block of its own; None cannot be read."""
    held = Pages(8)
    for number, word in enumerate(words):
        held.keep(8 * number, None if word is None else word.to_bytes(8, "little"))
    return held


def view(words: list[int | None], **registers: int) -> View:
    return View(kernel(), registers, pages(words))


def chase(view: View) -> tuple[int, ...]:
    """Where a chain of words leads: what is read depends on what was read."""
    found = [view.registers["rax"] % WORDS]
    for _ in range(view.registers.get("rcx", 4)):
        try:
            data = view.memory.read(8 * found[-1], 8)
        except Unreadable:
            return (*found, -1)
        found.append(int.from_bytes(data, "little") % WORDS)
    return tuple(found)


def counted(look: Callable[[View], Any]) -> tuple[Callable[[View], Any], list[None]]:
    calls: list[None] = []

    def counting(view: View) -> Any:
        calls.append(None)
        return look(view)

    return counting, calls


WORD = st.none() | st.integers(0, 3)
STOP = st.tuples(
    st.lists(WORD, min_size=WORDS, max_size=WORDS),
    st.fixed_dictionaries({"rax": st.integers(0, 3), "rip": st.integers(0, 1)}),
    st.none() | st.integers(0, 3),
)


@given(st.lists(STOP, min_size=1, max_size=12))
def test_what_is_found_is_what_the_look_finds_at_every_stop(stops: list[Any]) -> None:
    looks = Looks()
    for words, registers, count in stops:
        now = view(words, **registers, **({} if count is None else {"rcx": count}))
        assert looks.see("chase", now, chase) == chase(now)


def test_a_look_is_not_made_again_while_what_it_read_is_the_same() -> None:
    look, calls = counted(chase)
    looks = Looks()
    words: list[int | None] = [1, 2, 3, 0, *[9] * (WORDS - 4)]
    for scratch in range(5):  # what it does not read may change
        words[WORDS - 1] = scratch
        assert looks.see("chase", view(words, rip=1, rax=0, rdx=scratch), look) == (0, 1, 2, 3, 0)
    assert len(calls) == 1
    words[3] = 1
    assert looks.see("chase", view(words, rip=1, rax=0), look) == (0, 1, 2, 3, 1)


def test_nothing_is_asked_for_that_the_look_would_not_ask_for() -> None:
    looks = Looks()
    looks.see("chase", view([1, 2, 3, 0, *[9] * (WORDS - 4)], rip=1, rax=0), chase)
    other = View(kernel(), {"rip": 1, "rax": 0}, pages([5]))  # from here another way
    with pytest.raises(Missing) as missing:
        looks.see("chase", other, chase)
    assert missing.value.address == 8 * 5


def test_errors_are_raised_each_time() -> None:
    look, calls = counted(lambda view: view.registers["r15"])
    looks = Looks()
    for _ in range(3):
        with pytest.raises(KeyError):
            looks.see("r15", view([], rip=1), look)
    assert len(calls) == 3


def test_a_look_that_is_always_new_is_left_alone_for_a_while() -> None:
    look, calls = counted(lambda view: view.registers["rax"])
    looks = Looks()
    for number in range(PASSED_OVER + 1):
        assert looks.see("rax", view([], rip=1, rax=number), look) == number
    calls.clear()
    for _ in range(MAX_RESULTS):
        assert looks.see("rax", view([], rip=1, rax=7), look) == 7
    assert len(calls) == 1


def test_looks_and_their_results_are_bounded() -> None:
    looks = Looks()
    for number in range(3 * MAX_LOOKS):
        looks.see(number, view([], rip=1, rax=number), lambda view: view.registers["rax"])
    assert len(looks._kept) <= MAX_LOOKS
    for number in range(MAX_MISSES):
        looks.see("rax", view([], rip=1, rax=number), lambda view: view.registers["rax"])
    assert sum(map(len, looks._kept["rax", 1].results.values())) <= MAX_RESULTS


def test_a_look_that_reads_too_much_is_not_remembered() -> None:
    look, calls = counted(lambda view: view.memory.read(0, 1 << 16))
    looks = Looks()
    big = Pages(1 << 16)
    big.keep(0, bytes(1 << 16))
    for _ in range(2):
        looks.see("big", View(kernel(), {"rip": 1}, big), look)
    assert len(calls) == 2


def test_callers_and_names_are_told_anew_where_they_change() -> None:
    caller, other = address("startrtclock") + 1, address("cpu_startup") + 1
    names = ("i8254_timecounter", "i8254_timecounter", "tsc_timecounter", "i8254_timecounter")
    machine = Machine()

    async def run(stops: Stops) -> list[tuple[str, tuple[str, ...]]]:
        await stops.place(parse("tc_init"))
        found = []
        for number, name in enumerate(names * 2):
            machine.way = [at("tc_init", rdi=address(name), rcx=number, rbp=STACK + 64)]
            machine.put(STACK, (other if number % 3 else caller).to_bytes(8, "little"))
            stop = await stops.run(5)
            assert stop is not None and stop.kind is Kind.WANTED
            found.append((await stop.text("tc->tc_name"), (await stop.backtrace(2)).names[1:]))
        machine.way = [ENDS]
        return found

    found = play(machine, run)
    assert [("TSC" in name, callers) for name, callers in found] == [
        ("tsc" in name, ("cpu_startup" if number % 3 else "startrtclock",))
        for number, name in enumerate(names * 2)
    ]
