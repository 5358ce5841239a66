"""Sessions with stubs that lie, flood, dawdle or die: told of, never a hang or a wrong value."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.errors import (
    GdbError,
    ProtocolBroken,
    StubGone,
    StubSilent,
    TimehandsError,
    UsageError,
)
from timehands.watch.gdb import State
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.stops import Log, Stop, Stops, parse
from watch.gdb.stub import connected
from watch.stops.guests import STACK, Machine, Way, address, at, kernel

#: Nothing here takes so long; a hang does.
GUARD_S = 30.0
RIGHT = ('"i8254"', ("tc_init",))
Use = Callable[[Stops], Awaitable[Any]]


class Book:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.stops: list[Stopped] = []

    def stopped(self, stop: Stopped, /) -> None:
        self.stops.append(stop)

    def intervened(self, done: Intervention, /) -> None:
        raise AssertionError(f"nothing was changed: {done}")


class Dying(Machine):
    """A stub that is gone when it is asked for the second time what begins with ``fatal``."""

    fatal = b""
    calls = 0

    def reply(self, request: bytes) -> Any:
        if self.fatal and request.startswith(self.fatal):
            self.calls += 1
            if self.calls == 2:
                raise BrokenPipeError
        return super().reply(request)


class Slow(Machine):
    """A stub that answers for memory just in time."""

    async def _answer(self, end: socket.socket, request: bytes) -> None:
        if request.startswith(b"m"):
            await asyncio.sleep(0.03)
        await super()._answer(end, request)


def session(machine: Machine, use: Use, book: Book | None = None, timeout_s: float = 0.5) -> Any:
    """What comes of using that machine in a session."""
    machine.image = kernel()

    async def run() -> Any:
        async with asyncio.timeout(GUARD_S), connected(machine, timeout_s) as client:
            return await use(Stops(client, kernel(), log=Log(book)))

    return asyncio.run(run())


def here(**registers: int) -> Way:
    """The guest at ``tc_init``, called for the i8254."""
    return at("tc_init", rdi=address("i8254_timecounter"), rsp=STACK, **registers)


async def first(stops: Stops, want: str = "tc_init") -> Stop:
    """The first stop."""
    await stops.place(parse(want))
    stop = await stops.run(5)
    assert stop is not None
    return stop


def repeated(payload: bytes) -> Any:
    """An answer without end."""
    return itertools.repeat(payload)


def always_in_time(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for comes however short one waits."""
    method = getattr(client, name)
    monkeypatch.setattr(client, name, lambda _timeout_s: method(5.0))


def test_stops_of_no_interest_that_come_faster_than_time_goes_by_do_not_hold_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hot(Machine):
        def on_vCont(self, request: bytes) -> Any:  # noqa: N802
            self.way = [here()]
            return super().on_vCont(request)

    async def use(stops: Stops) -> tuple[Stop | None, bool]:
        always_in_time(stops.client, "wait_stop", monkeypatch)
        await stops.place(parse("tc_init if tc->tc_quality > 5000"))
        return await stops.run(0.1), stops.running

    assert session(Hot(), use) == (None, True)


def test_stops_that_nobody_asked_for_are_no_stops_of_ours() -> None:
    machine, book = Machine(way=[*[at("tsc_init")] * 3, here()]), Book()

    async def use(stops: Stops) -> int:
        stop = await first(stops)
        assert stop.why == "tc_init"
        return stop.placed[0].hits

    assert session(machine, use, book) == 1
    assert [stop.why for stop in book.stops] == ["nobody asked for it"] * 3


def test_a_stub_that_stops_again_and_again_where_nobody_asked() -> None:
    class Stopping(Machine):
        def on_vCont(self, request: bytes) -> Any:  # noqa: N802
            self.way = [at("tsc_init")]
            return super().on_vCont(request)

    with pytest.raises(ProtocolBroken, match=r"nobody asked"):
        session(Stopping(), first)


@pytest.mark.parametrize("reply", ["T05thread:1;watch:dead;", "T05thread:1;awatch:0;"])
def test_a_watchpoint_elsewhere_is_no_write_of_ours(reply: str) -> None:
    right = f"T05thread:1;watch:{address('tsc_freq'):x};"
    pc = {"rip": address("tsc_init") + 5}
    machine, book = Machine(way=[(reply, pc), (right, pc)]), Book()

    async def use(stops: Stops) -> int:
        return (await first(stops, "write of tsc_freq")).index

    assert session(machine, use, book) == 1


@pytest.mark.parametrize("output", [b"O", b"O41"])
def test_output_without_end_does_not_hold_us(
    output: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    machine.answers[b"vCont;c"] = repeated(output)

    async def use(stops: Stops) -> tuple[Stop | None, bool]:
        always_in_time(stops.client, "next_packet", monkeypatch)
        await stops.place(parse("tc_init"))
        return await stops.run(0.1), stops.running

    assert session(machine, use) == (None, True)


def test_a_flood_of_stops_is_told_of_and_no_more_is_asked() -> None:
    machine = Machine()
    machine.answers[b"vCont;c"] = repeated(b"T05thread:1;")

    async def use(stops: Stops) -> State:
        with pytest.raises(GdbError) as caught:
            await first(stops)
        with pytest.raises(GdbError) as again:
            await stops.run(1)
        assert again.value is caught.value
        return stops.client.state

    assert session(machine, use) is State.LOST


@pytest.mark.parametrize("fatal", [b"vCont;c", b"vCont;s", b"g", b"Z"])
def test_a_stub_that_dies_ends_the_run_with_its_death(fatal: bytes) -> None:
    machine = Dying(way=[here(), here(), here()])
    machine.fatal = fatal

    async def use(stops: Stops) -> None:
        await stops.place(parse("tc_init"))
        await stops.place(parse("tsc_init"))
        while await stops.run(5):
            await stops.step()

    with pytest.raises(StubGone):
        session(machine, use)


def test_a_stub_that_dies_while_we_look_is_said_and_ends_the_next_run() -> None:
    machine = Dying(way=[here()])
    machine.fatal = b"m"

    async def use(stops: Stops) -> str:
        stop = await first(stops)
        text = await stop.text_or_why("tc->tc_name")
        with pytest.raises(StubGone):
            await stops.run(5)
        return text

    assert "the stub is gone" in session(machine, use)


def test_a_condition_that_the_stub_died_of_is_not_taken_for_true() -> None:
    machine, book = Dying(way=[here()]), Book()
    machine.fatal = b"m"

    async def use(stops: Stops) -> None:
        stop = await first(stops, "tc_init if tc->tc_name[0] == 'x'")
        assert "cannot be told: the stub is gone" in stop.notes[0]
        await stops.run(5)

    with pytest.raises(StubGone):
        session(machine, use, book)


def test_an_instruction_pointer_that_the_stub_cannot_tell_is_not_zero() -> None:
    class Forgetful(Machine):
        """It can tell rip until the guest has run."""

        def reply(self, request: bytes) -> Any:
            answer = super().reply(request)
            if self.way or request not in (b"g", b"p10"):
                return answer
            return answer[: 16 * 16] + b"x" * 16 + answer[17 * 16 :] if request == b"g" else b"E01"

    machine, book = Forgetful(way=[here()]), Book()
    with pytest.raises(UsageError, match="rip"):
        session(machine, first, book)
    assert book.stops == []


@pytest.mark.parametrize("thread", ["0", "-1", "p1.0", "p1.-1"])
def test_a_thread_that_is_none_is_no_vcpu_below_the_first(thread: str) -> None:
    pc = {"rip": address("tc_init")}

    async def use(stops: Stops) -> int:
        return (await first(stops)).vcpu

    machine = Machine(way=[(f"T05thread:{thread};", pc)], answers={b"Hg": b"OK"})
    assert session(machine, use) == 0


def test_a_stub_that_dawdles_with_each_piece_comes_to_an_end() -> None:
    async def use(stops: Stops) -> None:
        stop = await first(stops)
        await stop.see(lambda view: [view.memory.read(STACK + 512 * n, 8) for n in range(4000)])

    with pytest.raises(StubSilent, match="came to no end"):
        session(Slow(way=[here()]), use, timeout_s=0.1)


def test_a_packet_that_comes_while_we_look_ends_it() -> None:
    machine = Machine(way=[here()])
    machine.answers[b"g"] = lambda request: [machine.on_g(request), b"T05thread:1;", b"OK"]

    async def use(stops: Stops) -> list[str]:
        stop = await first(stops)
        texts = [await stop.text_or_why("tc->tc_name") for _ in range(2)]
        with pytest.raises(ProtocolBroken):
            await stops.run(5)
        return texts

    for text in session(machine, use):
        assert text.startswith("<")
        assert "i8254" not in text


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1200), st.sampled_from([b"", b"\x00", b"#", b"$", b"}", b"7"]))
def test_a_byte_that_is_lost_or_changed_never_makes_a_wrong_value(where: int, to: bytes) -> None:
    machine = Machine(way=[here(rbp=STACK + 64)])
    sent = 0

    def wire(data: bytes) -> list[bytes]:
        nonlocal sent
        start, sent = sent, sent + len(data)
        if machine.acks or not start <= where < sent:
            return [data]
        return [data[: where - start] + to + data[where - start + 1 :]]

    machine.wire = wire

    async def use(stops: Stops) -> Any:
        stop = await first(stops)
        text = await stop.text("tc->tc_name")
        return text[text.index('"') :], (await stop.backtrace(1)).names

    try:
        found = session(machine, use, timeout_s=0.1)
    except TimehandsError:
        return
    assert found == RIGHT
