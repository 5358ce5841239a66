"""The client of the plugin's stops, against a plugin that a test plays."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import (
    CannotSteer,
    GdbError,
    ProtocolBroken,
    StubGone,
    StubRefused,
    StubSilent,
    UsageError,
    WrongState,
)
from timehands.watch.gdb import BreakKind, Breakpoint, Cause, State
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.stops import Kind, Log, Stops, parse
from timehands.watch.stops.inside import (
    ASKED,
    GO_ON,
    LENGTH,
    MAX_ANSWER,
    REGISTERS,
    STACK_BYTES,
    TOLD,
    InsideClient,
)
from timehands.watch.stops.steering import ask_tsc
from watch.stops.guests import address, kernel

PLACES = (0xFFFFFFFF80200000, 0x1000, 0x2000)
STACK = 0xFFFFFFFF90000100
OFF = ASKED.pack(2, 0, 1, 0)


def told(
    number: int = 0,
    *,
    vcpu: int = 0,
    host_ns: int = 77,
    pc: int | None = None,
    stack_at: int = STACK,
    length: int = STACK_BYTES,
    stack: bytes = bytes(STACK_BYTES),
) -> bytes:
    """What the plugin says at a stop; register n has the value n."""
    where = PLACES[number] if pc is None else pc
    registers = range(len(REGISTERS))
    return TOLD.pack(number, vcpu, host_ns, where, stack_at, length, *registers, stack)


def answer(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def at(place: int) -> Breakpoint:
    return Breakpoint(BreakKind.SOFTWARE, place)


def play(
    use: Callable[[InsideClient, socket.socket], Awaitable[Any]], *, timeout_s: float = 0.02
) -> Any:
    """What comes of using a client whose plugin end the test has; all places are inserted."""

    async def run() -> Any:
        ours, theirs = socket.socketpair()
        theirs.settimeout(5)
        client = InsideClient(ours, PLACES, started, timeout_s=timeout_s)
        try:
            for place in PLACES:
                await client.insert(at(place))
            async with asyncio.timeout(20):
                return await use(client, theirs)
        finally:
            client.close()
            theirs.close()

    return asyncio.run(run())


async def started() -> None:
    """The machine runs."""


async def stopped(client: InsideClient, plugin: socket.socket, message: bytes = b"") -> None:
    """It stops at its first place."""
    plugin.sendall(message or told())
    await client.resume()
    reply = await client.wait_stop(5)
    assert reply is not None and reply.cause is Cause.BREAKPOINT


def heard(plugin: socket.socket) -> bytes:
    """All that the client has said so far."""
    plugin.setblocking(False)
    try:
        return plugin.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_a_stop_is_told_with_its_registers_and_its_stack() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        plugin.sendall(told(1, vcpu=3, length=300, stack=bytes(range(256)) * 2))
        await client.resume()
        reply = await client.wait_stop(5)
        assert reply is not None and reply.thread is not None
        assert (reply.thread.thread, reply.host_ns, reply.ended) == (4, 77, False)
        assert reply.memory == (STACK, bytes(range(256)))  # whole blocks only
        registers = await client.registers()
        assert registers["rip"] == 0x1000
        assert [registers[name] for name in REGISTERS] == list(range(len(REGISTERS)))
        assert await client.register("rsp") == REGISTERS.index("rsp")
        with pytest.raises(UsageError, match="--stub"):
            await client.register("cr3")
        assert heard(plugin) == b""
        await client.resume()
        assert heard(plugin) == GO_ON
        with pytest.raises(WrongState):
            await client.registers()

    play(use)


def test_memory_is_asked_for_in_pieces_that_the_plugin_gives() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await stopped(client, plugin)
        plugin.sendall(answer(b"abcd") + answer(b"") + answer(b"xy"))
        spans = [(16, 4), (32, 4), (48, MAX_ANSWER + 1), (64, 4)]
        assert await client.read_each(spans) == [b"abcd", None, None, None]
        assert heard(plugin) == b"".join(ASKED.pack(1, 0, start, 4) for start in (16, 32, 64))
        plugin.setblocking(True)
        whole = bytes(MAX_ANSWER)
        sending = asyncio.to_thread(plugin.sendall, answer(whole) + answer(b"end"))
        task = asyncio.create_task(sending)
        await asyncio.sleep(0)
        assert await client.read(0, MAX_ANSWER + 3) == whole + b"end"
        await task
        for start, length in ((0, -1), (-1, 4), ((1 << 64) - 2, 4), (0, 1 << 30)):
            with pytest.raises(UsageError):
                await client.read(start, length)

    play(use, timeout_s=5.0)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (LENGTH.pack(5) + bytes(5), ProtocolBroken),
        (LENGTH.pack(1 << 63), ProtocolBroken),
        (LENGTH.pack(4) + b"ab", StubSilent),
        (b"\x04", StubSilent),
        (b"", StubSilent),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_never_a_value(
    said: bytes, error: type[GdbError]
) -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await stopped(client, plugin)
        plugin.sendall(said)
        with pytest.raises(error):
            await client.read(16, 4)
        assert client.state is State.LOST
        assert isinstance(client.trouble, error)
        with pytest.raises(WrongState):
            await client.read(16, 4)
        with pytest.raises(BrokenPipeError):
            plugin.send(b"more")  # the plugin sees that we have gone

    play(use)


@pytest.mark.parametrize("said", [b"", b"\x04\0", LENGTH.pack(4) + b"ab"])
def test_a_plugin_that_goes_in_the_middle_is_gone(said: bytes) -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await stopped(client, plugin)
        plugin.sendall(said)
        plugin.shutdown(socket.SHUT_WR)
        with pytest.raises(StubGone):
            await client.read(16, 4)

    play(use)


@pytest.mark.parametrize("said", [b"", told()[:100]])
def test_a_plugin_that_goes_while_the_guest_runs_is_gone(said: bytes) -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await client.resume()
        plugin.sendall(said)
        plugin.close()
        with pytest.raises(StubGone):
            await client.wait_stop(5)

    play(use)


@pytest.mark.parametrize(
    "message",
    [
        told(0, pc=0x1234),
        TOLD.pack(3, 0, 0, 0, 0, 0, *range(len(REGISTERS)), b""),
        told(0, vcpu=64),
        told(0, length=STACK_BYTES + 1),
        told(0, stack_at=STACK + 1),
    ],
)
def test_a_stop_that_cannot_be_is_an_error(message: bytes) -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        plugin.sendall(message)
        await client.resume()
        with pytest.raises(ProtocolBroken):
            await client.wait_stop(5)

    play(use)


@given(st.binary(max_size=2 * TOLD.size))
def test_whatever_comes_is_a_stop_or_an_error(message: bytes) -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        plugin.sendall(message)
        plugin.shutdown(socket.SHUT_WR)
        await client.resume()
        with pytest.raises((ProtocolBroken, StubGone)):
            await client.wait_stop(5)

    play(use)


def test_a_place_that_nobody_wants_is_passed_and_switched_off() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await client.remove(at(PLACES[1]))
        plugin.sendall(told(1) + told(0))
        await client.resume()
        reply = await client.wait_stop(5)
        assert reply is not None
        assert (await client.registers())["rip"] == PLACES[0]
        assert heard(plugin) == OFF + OFF + GO_ON

    play(use)


def test_places_are_switched_with_the_next_answer() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await stopped(client, plugin)
        await client.remove(at(PLACES[1]))
        await client.remove(at(PLACES[1]))
        await client.insert(at(PLACES[1]))
        await client.resume()
        assert heard(plugin) == OFF + ASKED.pack(2, 1, 1, 0) + GO_ON

    play(use)


def test_only_places_of_the_plan_can_be_stopped_at() -> None:
    async def use(client: InsideClient, _plugin: socket.socket) -> None:
        for point in (at(0x3000), Breakpoint(BreakKind.WRITE, PLACES[0], 4)):
            with pytest.raises(StubRefused, match="--stub"):
                await client.insert(point)

    play(use)


def test_a_time_that_is_over_loses_nothing() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await client.resume()
        assert await client.wait_stop(0) is None
        assert await client.wait_stop(0.001) is None
        plugin.sendall(told()[:50])
        waiting = asyncio.create_task(client.wait_stop(5))
        await asyncio.to_thread(plugin.sendall, told()[50:])
        assert await waiting is not None
        await client.resume()
        assert await client.wait_stop(0.001) is None
        plugin.sendall(told())
        assert await client.wait_stop(5) is not None

    play(use, timeout_s=5.0)


def test_an_interrupt_ends_the_stops_and_lets_the_guest_go_on() -> None:
    async def use(client: InsideClient, plugin: socket.socket) -> None:
        await client.resume()
        waiting = asyncio.create_task(client.wait_stop())
        await asyncio.sleep(0)
        await client.interrupt()
        reply = await waiting
        assert reply is not None and reply.ended
        assert client.state is State.ENDED
        assert plugin.recv(1) == b""
        client.close()
        client.close()

    play(use)


def test_the_machine_is_started_once() -> None:
    starts: list[str] = []

    async def start() -> None:
        starts.append("now")

    async def run() -> None:
        ours, plugin = socket.socketpair()
        client = InsideClient(ours, PLACES, start)
        await client.insert(at(PLACES[0]))
        for _ in range(3):
            await client.resume()
            plugin.sendall(told())
            assert await client.wait_stop(5) is not None
        client.close()
        plugin.close()

    asyncio.run(run())
    assert starts == ["now"]


class Book:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.rows: list[Stopped] = []

    def stopped(self, stop: Stopped, /) -> None:
        self.rows.append(stop)

    def intervened(self, _done: Intervention, /) -> None:
        raise AssertionError("nothing is changed")


def test_stops_are_recorded_as_the_stub_s_and_name_the_plugin() -> None:
    place, book = address("tc_init"), Book()
    values = dict.fromkeys(REGISTERS, 0) | {"rdi": 5, "rsp": STACK}
    stack = (address("startrtclock") + 8).to_bytes(8, "little").ljust(STACK_BYTES, b"\0")
    message = TOLD.pack(0, 1, 123, place, STACK, STACK_BYTES, *values.values(), stack)

    async def run() -> None:
        ours, plugin = socket.socketpair()
        client = InsideClient(ours, (place,), started)
        stops = Stops(client, kernel(), log=Log(book))
        await stops.place(parse("tc_init if $rdi == 5", most=2))
        plugin.sendall(message)
        stop = await stops.run(5)
        assert stop is not None and (stop.kind, stop.vcpu, stop.why) == (Kind.WANTED, 1, "tc_init")
        assert await stop.text("$rdi") == "5"
        assert (await stop.backtrace(2)).names == ("tc_init", "startrtclock")
        with pytest.raises(CannotSteer, match="--stub"):
            await ask_tsc(stops)
        plugin.sendall(message)
        assert await stops.run(5) is not None
        await stops.halt()
        ended = await stops.run(5)
        assert ended is not None and ended.kind is Kind.ENDED
        assert heard(plugin) == GO_ON + ASKED.pack(2, 0, 0, 0) + GO_ON
        client.close()
        plugin.close()

    asyncio.run(run())
    first, second = book.rows
    assert (first.index, first.host_ns, first.vcpu, first.pc) == (0, 123, 1, place)
    assert (first.why, first.values) == ("tc_init", {"$rdi": "5"})
    assert first.resumed_ns is not None and first.resumed_ns > 123
    assert (first.instrument, second.instrument) == ("plugin", "plugin")
    assert Stopped.from_json(first.to_json()) == first
