"""From one stop to the next, with a stub that plays the guest."""

from __future__ import annotations

from typing import Any

import pytest

from timehands.errors import ExpressionError, StubRefused, UsageError
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.stops import Kind, Log, Stop, Stops, parse
from timehands.watch.stops.sites import Site
from watch.stops.guests import ENDS, Machine, address, at, kernel, play


class Book:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.stops: list[Stopped] = []
        self.done: list[Intervention] = []

    def stopped(self, stop: Stopped, /) -> None:
        self.stops.append(stop)

    def intervened(self, done: Intervention, /) -> None:
        self.done.append(done)


async def all_stops(stops: Stops) -> list[Stop]:
    """Every stop up to the end of the machine."""
    found: list[Stop] = []
    while (stop := await stops.run(5)) is not None:
        if stop.kind is Kind.ENDED:
            return found
        found.append(stop)
    raise AssertionError("the guest did not end")


def test_a_stop_names_what_asked_for_it_and_where_it_is() -> None:
    machine, book = Machine(way=[at("tc_init"), ENDS]), Book()

    async def run(stops: Stops) -> None:
        placed = await stops.place(parse("tc_init"))
        stop = await stops.run(5)
        assert stop is not None
        assert (stop.kind, stop.why, stop.placed) == (Kind.WANTED, "tc_init", (placed,))
        assert stop.where.startswith("tc_init at kern_tc.c:")
        assert (stop.pc, stop.vcpu, stop.index) == (address("tc_init"), 0, 0)
        assert stop is stops.stop
        assert (await all_stops(stops), stop.over, stops.stop is stop) == ([], True, False)
        assert (placed.hits, placed.stops, placed.unreached) == (1, 1, ())

    play(machine, run, Log(book))
    (row,) = book.stops
    assert (row.why, row.pc, row.index) == ("tc_init", address("tc_init"), 0)
    assert row.resumed_ns is not None
    assert row.host_ns < row.resumed_ns


def test_each_place_is_inserted_once_and_removed_when_nobody_wants_it() -> None:
    machine = Machine()
    point = b"0,%x,1" % address("tc_init")

    async def run(stops: Stops) -> None:
        one, other = [await stops.place(parse("tc_init")) for _ in range(2)]
        assert machine.requests.count(b"Z" + point) == 1
        await stops.drop(one)
        assert machine.points == {point}
        await stops.drop(other)
        await stops.drop(other)
        assert machine.points == set()
        assert stops.placed == []

    play(machine, run)


def test_a_condition_is_of_the_guest_as_it_stands() -> None:
    way = [at("tc_init", rdi=address(name)) for name in ("dummy_timecounter", "tsc_timecounter")]
    machine = Machine(way=[*way, ENDS])

    async def run(stops: Stops) -> list[str]:
        placed = await stops.place(parse("tc_init if tc->tc_quality > 0"))
        found = [await stop.text("tc->tc_name") async for stop in each(stops)]
        assert (placed.hits, placed.met, placed.stops) == (2, 1, 1)
        return found

    (text,) = play(machine, run)
    assert text.endswith('"TSC"')


async def each(stops: Stops) -> Any:
    while (stop := await stops.run(5)) is not None and stop.kind is not Kind.ENDED:
        yield stop


def test_a_condition_that_cannot_be_told_stops_and_says_so() -> None:
    machine = Machine(way=[at("tc_init", rdi=0), ENDS])

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init if tc->tc_quality > 0"))
        (stop,) = await all_stops(stops)
        assert "cannot be told" in stop.notes[0]

    play(machine, run)


def test_a_condition_that_is_no_expression_is_refused_at_once() -> None:
    async def run(stops: Stops) -> None:
        with pytest.raises(ExpressionError):
            await stops.place(parse("tc_init if tc->"))

    machine = Machine()
    play(machine, run)
    assert machine.points == set()


def test_passes_come_first_and_then_so_many_stops() -> None:
    machine = Machine(way=[*[at("tc_init")] * 6, ENDS])

    async def run(stops: Stops) -> None:
        placed = await stops.place(parse("tc_init", passes=2, most=3))
        found = await all_stops(stops)
        assert len(found) == 3
        assert (placed.stops, placed.over) == (3, True)

    play(machine, run)
    assert machine.points == set()


def test_an_operation_is_of_its_leaf() -> None:
    way = [at(_cpuid(), rax=leaf, rcx=0) for leaf in (0, 0x40000010, 0x15)]
    machine, book = Machine(way=[*way, ENDS]), Book()

    async def run(stops: Stops) -> None:
        placed = await stops.place(parse("cpuid 0x40000010"))
        (stop,) = await all_stops(stops)
        assert stop.why == "cpuid 0x40000010"
        assert placed.hits == 1

    play(machine, run, Log(book))
    assert [row.why.split(":")[0] for row in book.stops] == ["passed", "cpuid 0x40000010", "passed"]


def _cpuid() -> int:
    from timehands.kernels.instructions import find

    return find(kernel(), "cpuid")[-1].address


def test_who_wrote_a_variable_and_what() -> None:
    place = address("tsc_freq")
    writer = address("tc_init") + 8
    machine = Machine(way=[(f"T05thread:1;watch:{place:x};", {"rip": writer}), ENDS])

    async def run(stops: Stops) -> None:
        await stops.place(parse("write of tsc_freq"))
        machine.put(place, (2_500_000_000).to_bytes(8, "little"))
        (stop,) = await all_stops(stops)
        assert stop.why == "write of tsc_freq"
        assert stop.where.startswith("tc_init at kern_tc.c:")
        assert stop.entry.values == {"tsc_freq": "2500000000 (was 0)"}

    play(machine, run)
    assert b"Z2,%x,8" % place in machine.requests


def test_a_breakpoint_on_the_instruction_after_a_write_is_not_lost() -> None:
    place, next_one = address("tsc_freq"), address("tc_init")
    machine = Machine(way=[(f"T05thread:1;watch:{place:x};", {"rip": next_one}), ENDS])

    async def run(stops: Stops) -> None:
        wanted = [await stops.place(parse(text)) for text in ("write of tsc_freq", "tc_init")]
        (stop,) = await all_stops(stops)
        assert set(stop.placed) == set(wanted)

    play(machine, run)


def test_an_action_takes_care_and_the_guest_goes_on() -> None:
    machine = Machine(way=[at("tc_init"), at("tc_init"), ENDS])
    met: list[str] = []

    async def act(_stops: Stops, site: Site) -> bool:
        met.append(site.name)
        return len(met) == 1

    async def run(stops: Stops) -> None:
        placed = await stops.place(parse("tc_init"), action=act)
        assert len(await all_stops(stops)) == 1
        assert (placed.hits, placed.stops) == (2, 1)

    play(machine, run)
    assert met == ["tc_init", "tc_init"]


def test_a_stop_is_looked_at_before_an_action_changes_it() -> None:
    machine = Machine(way=[at("tc_init"), ENDS])
    acted_at: list[bool] = []

    async def act(stops: Stops, _site: Site) -> bool:
        acted_at.append(stops.stop is not None)
        return True

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"), action=act)
        await stops.place(parse("tc_init"))
        stop = await stops.run()
        assert stop is not None and stop.why == "tc_init"
        assert acted_at == []
        await all_stops(stops)

    play(machine, run)
    assert acted_at == [True]


def test_an_action_that_waited_is_not_done_elsewhere() -> None:
    machine = Machine(way=[at("tc_init"), ENDS])
    acted: list[Site] = []

    async def act(_stops: Stops, site: Site) -> bool:
        acted.append(site)
        return True

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"), action=act)
        await stops.place(parse("tc_init"))
        await stops.run()
        await stops.client.set_register("rip", address("start_TSC"))
        await all_stops(stops)

    play(machine, run)
    assert acted == []


def test_a_stop_is_named_as_its_backtrace_begins() -> None:
    machine = Machine(way=[at("tc_init"), ENDS])

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"))
        stop = await stops.run()
        assert stop is not None
        frame = (await stop.backtrace(1))[0]
        assert stop.where == f"tc_init at kern_tc.c:{frame.line}"

    play(machine, run)


def test_a_place_that_is_wanted_once_is_removed_when_it_was_reached() -> None:
    machine = Machine(way=[at("tc_init"), ENDS])

    async def act(_stops: Stops, _site: Site) -> bool:
        return True

    async def run(stops: Stops) -> None:
        placed = await stops.place(parse("kern_tc.c:*"), action=act, once=True)
        assert await all_stops(stops) == []
        assert list(placed.reached) == [address("tc_init")]
        assert "tc_init" not in [site.name for site in placed.unreached]
        assert len(placed.unreached) == len(placed.sites) - 1 == len(machine.points)

    play(machine, run)


def test_memory_that_is_not_mapped_yet_is_tried_again_at_the_anchor() -> None:
    early = address("hammer_time")
    machine = Machine(refuses=frozenset({b"0"}), way=[("T05thread:1;hwbreak:;", {"rip": early})])
    machine.way += [at("tc_init"), ENDS]
    machine.answers[b"Z1,%x,1" % address("tc_init")] = b"E28"

    async def run(stops: Stops) -> None:
        stops = Stops(stops.client, kernel(), anchor=early)
        placed = await stops.place(parse("tc_init"))
        assert machine.points == {b"1,%x,1" % early}
        machine.refuses = frozenset()
        assert [stop.why for stop in await all_stops(stops)] == ["tc_init"]
        assert not placed.refused

    play(machine, run)
    assert machine.points == {b"0,%x,1" % address("tc_init")}


def test_a_stub_that_takes_no_breakpoint_is_told_of() -> None:
    async def run(stops: Stops) -> None:
        with pytest.raises(StubRefused):
            await stops.place(parse("write of tsc_freq"))

    play(Machine(refuses=frozenset({b"2"})), run)


def test_an_interrupt_is_a_stop_of_its_own() -> None:
    machine = Machine()
    machine.registers["rip"] = address("tc_init") + 4

    async def run(stops: Stops) -> None:
        assert await stops.run(0.01) is None
        assert stops.running
        stop = await stops.interrupt()
        assert stop.kind is Kind.INTERRUPTED
        assert stop.why == "interrupted"
        assert not stops.running

    play(machine, run)


def test_what_is_over_cannot_be_asked_any_more() -> None:
    machine = Machine(way=[at("tc_init", rdi=address("tsc_timecounter")), ENDS])

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"))
        (stop,) = await all_stops(stops)
        with pytest.raises(UsageError, match="stop s0 is over"):
            await stop.text("tc->tc_name")

    play(machine, run)


def test_a_value_that_cannot_be_had_is_said_in_words() -> None:
    machine = Machine(way=[at("tc_init", rdi=0x10), ENDS])

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"))
        stop = await stops.run(5)
        assert stop is not None
        assert "cannot be read at 0x" in await stop.text_or_why("tc->tc_name")
        assert await stop.text_or_why("no_such") == "<nothing is called no_such>"
        assert await stop.text_or_why("1 / 0") == "<a division by zero>"
        assert await stop.number("CPUID_TSC | 1") == 0x11

    play(machine, run)
