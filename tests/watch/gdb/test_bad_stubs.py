"""Stubs that drop, corrupt, flood, lie or die: told of, never a hang or a wrong value."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.errors import (
    GdbError,
    ProtocolBroken,
    StubGone,
    StubRefused,
    StubSilent,
    UsageError,
    WrongState,
)
from timehands.watch.gdb import BreakKind, Breakpoint, GdbClient, State
from timehands.watch.gdb.features import MAX_PACKET_SIZE, MIN_PACKET_SIZE, Features
from timehands.watch.gdb.packets import frame
from watch.gdb.stub import CORE, Stub, connected, wired

#: Long enough for a stub that answers, short for one that does not.
SHORT_S = 0.3


def connect(stub: Stub, timeout_s: float = SHORT_S) -> None:
    """Connect and leave."""

    async def run() -> None:
        async with connected(stub, timeout_s):
            pass

    asyncio.run(run())


def broken_by(stub: Stub, error: type[GdbError], *, timeout_s: float = SHORT_S) -> GdbError:
    """The error that reading registers and memory comes to; nothing can be asked after it."""

    async def run() -> GdbError:
        async with connected(stub, timeout_s) as client:
            with pytest.raises(error) as caught:
                await client.registers()
                await client.read(0x1000, 16)
            if client.state is not State.STOPPED:
                with pytest.raises(WrongState):
                    await client.read(0x1000, 1)
            return caught.value

    return asyncio.run(run())


def test_a_stub_that_never_answers() -> None:
    with pytest.raises(StubSilent, match="another debugger") as caught:
        connect(Stub(answers={b"": None}), 0.05)
    assert caught.value.state == "connecting"
    assert caught.value.sent.startswith(b"qSupported")


def test_a_stub_that_falls_silent_tells_what_was_asked_and_when() -> None:
    error = broken_by(Stub(answers={b"g": None}), StubSilent, timeout_s=0.05)
    assert (error.sent, error.state) == (b"g", "stopped")
    assert "asked: g" in str(error)


@pytest.mark.parametrize("request_", [b"qSupported", b"?", b"qXfer", b"g", b"m"])
def test_a_stub_that_dies(request_: bytes) -> None:
    def die(_: bytes) -> bytes:
        raise OSError

    stub = Stub(answers={request_: die})
    if request_ in (b"g", b"m"):
        broken_by(stub, StubGone)
    else:
        with pytest.raises(StubGone):
            connect(stub)


def test_a_stub_that_dies_while_the_guest_runs() -> None:
    def die(_: bytes) -> bytes:
        raise OSError

    async def run() -> None:
        async with connected(Stub(answers={b"vCont;c": die})) as client:
            await client.resume()
            with pytest.raises(StubGone):
                await client.wait_stop(5)
            assert client.state is State.LOST

    asyncio.run(run())


def corrupting(every: int) -> Callable[[bytes], list[bytes]]:
    """A wire on which each so-many-th packet is damaged."""
    counter = itertools.count(1)

    def wire(data: bytes) -> list[bytes]:
        if data[:1] == b"$" and len(data) > 5 and next(counter) % every == 0:
            return [data[:2] + bytes((data[2] ^ 1,)) + data[3:]]
        return [data]

    return wire


def test_damaged_packets_are_asked_for_again_where_they_are_acknowledged() -> None:
    stub = Stub(answers={b"QStartNoAckMode": b""}, wire=corrupting(3))

    async def run() -> None:
        async with connected(stub) as client:
            for _ in range(5):
                assert await client.read(0x1000, 64) == bytes(range(64))
                assert (await client.registers()).pc == 0x1000
                client._registers.clear()

    asyncio.run(run())
    assert stub.naks > 3


def test_packets_that_are_always_damaged_are_not_asked_for_for_ever() -> None:
    stub = Stub(answers={b"QStartNoAckMode": b""}, wire=corrupting(1))
    with pytest.raises(ProtocolBroken, match="again and again"):
        connect(stub)
    assert stub.naks < 20


def test_a_damaged_packet_is_an_error_where_none_is_acknowledged() -> None:
    stub = Stub()

    async def run() -> None:
        async with connected(stub) as client:
            stub.wire = corrupting(1)
            with pytest.raises(ProtocolBroken, match="checksum"):
                await client.read(0x1000, 16)

    asyncio.run(run())


@settings(max_examples=40)
@given(drop=st.integers(0, 300))
def test_a_byte_that_is_dropped_never_makes_a_wrong_value(drop: int) -> None:
    counter = itertools.count()

    def wire(data: bytes) -> list[bytes]:
        return [bytes(byte for byte in data if next(counter) != drop)]

    async def run() -> None:
        try:
            async with connected(Stub(wire=wire), 0.02) as client:
                assert dict(await client.registers()) == {"rax": 7, "rip": 0x1000, "eflags": 2}
                assert await client.read(0x1000, 16) == bytes(range(16))
        except (StubSilent, ProtocolBroken):
            pass  # told, which is right

    asyncio.run(run())


@pytest.mark.parametrize(
    "flood", [frame(b"T05") * 200, b"junk" * (1 << 19), b"$" + b"a" * (3 << 20)]
)
def test_a_flood_is_cut_off(flood: bytes) -> None:
    stub = Stub()

    async def run() -> None:
        async with connected(stub) as client:
            stub.wire = lambda data: [flood, data]
            with pytest.raises(ProtocolBroken):
                await client.read(0x1000, 16)

    asyncio.run(run())


def test_a_second_stop_that_nobody_asked_for_is_no_answer() -> None:
    stub = Stub(answers={b"vCont;c": [b"T05thread:1;", b"T05thread:1;"]})

    async def run() -> None:
        async with connected(stub) as client:
            await client.resume()
            with pytest.raises(ProtocolBroken):
                await client.wait_stop(5)
                await client.read(0x1000, 16)

    asyncio.run(run())


@pytest.mark.parametrize("length", [0, 1, 4, 15, 21, 164, 608])
def test_a_register_packet_of_another_length_is_refused(length: int) -> None:
    stub = Stub(answers={b"g": b"00" * length})
    with pytest.raises(GdbError) as caught:
        raise broken_by(stub, GdbError)
    assert isinstance(caught.value, StubRefused if not length else ProtocolBroken)
    if length > 20:
        assert f"too long: {length} bytes" in str(caught.value)
    assert caught.value.sent == b"g"


def test_registers_at_the_end_may_be_left_out_and_are_absent() -> None:
    async def run() -> None:
        async with connected(Stub(answers={b"g": b"01" + b"00" * 15})) as client:
            assert dict(await client.registers()) == {"rax": 1, "rip": 0}
        async with connected(Stub(answers={b"g": b"xx" * 8 + b"00" * 12})) as client:
            assert dict(await client.registers()) == {"rip": 0, "eflags": 0}

    asyncio.run(run())


@pytest.mark.parametrize("reply", [b"zz", b"0", b"OK", b"T05thread:1;", b"00" * 17])
def test_memory_that_is_none_is_refused(reply: bytes) -> None:
    error = broken_by(Stub(answers={b"m": reply}), ProtocolBroken)
    assert error.sent.startswith(b"m") and error.received == reply


def test_less_memory_than_asked_for_is_asked_on() -> None:
    stub = Stub()
    stub.answers[b"m"] = lambda request: stub.on_m(request)[:6]

    async def run() -> bytes | None:
        async with connected(stub) as client:
            return await client.read(0x1000, 10)

    assert asyncio.run(run()) == bytes(range(10))


@pytest.mark.parametrize("answer", [b"", b"E01", b"E.no"])
def test_a_stub_that_answers_anything_with_that(answer: bytes) -> None:
    stub = Stub(answers={b"?": b"S05", b"": answer})

    async def run() -> None:
        async with connected(stub) as client:
            assert client.features == Features()
            assert await client.read(0x1000, 4) is None
            point = Breakpoint(BreakKind.SOFTWARE, 0x1000)
            for ask in (
                client.registers(),
                client.write(0x1000, b"a"),
                client.insert(point),
                client.set_register("rax", 1),
                client.monitor("x"),
            ):
                with pytest.raises(StubRefused):
                    await ask
            await client.resume()
            with pytest.raises(StubRefused, match="let the guest run"):
                await client.wait_stop(5)

    asyncio.run(run())


@pytest.mark.parametrize("stop", [b"Q05", b"T5", b"OK", b"Fread,1", b"W"])
def test_a_stop_that_is_none(stop: bytes) -> None:
    async def run() -> None:
        async with connected(Stub(stops=[stop])) as client:
            await client.resume()
            with pytest.raises(ProtocolBroken):
                await client.wait_stop(5)
            assert client.state is State.LOST

    asyncio.run(run())


@pytest.mark.parametrize(
    ("said", "size"),
    [(b"0", MIN_PACKET_SIZE), (b"ffffffff", MAX_PACKET_SIZE), (b"-1", 400), (b"", 400),
     (b"1000", 4096), (b"9" * 99, 400)],
)  # fmt: skip
def test_sizes_of_packets_are_held_to_bounds(said: bytes, size: int) -> None:
    stub = Stub(features=b"PacketSize=" + said)
    stub.answers[b"g"] = b"00" * 164

    async def run() -> None:
        async with connected(stub) as client:
            assert client.features.packet_size == size
            assert await client.read(0x1000, 0x800) == bytes(range(256)) * 8

    asyncio.run(run())


@pytest.mark.parametrize(
    "documents",
    [
        {"target.xml": b'<!DOCTYPE t [<!ENTITY a "aa">]><target>&a;</target>'},
        {"target.xml": b'<target><xi:include href="target.xml"/></target>'},
        {"target.xml": b'<target><xi:include href="../../etc/passwd#"/></target>'},
        {"target.xml": b"<target>" + b" " * (1 << 19)},
        {"target.xml": CORE[:50]},
    ],
)
def test_a_description_that_does_harm_is_refused(documents: dict[str, bytes]) -> None:
    with pytest.raises(ProtocolBroken):
        connect(Stub(documents=documents, features=b"PacketSize=4000;qXfer:features:read+"), 5)


def test_a_description_without_an_end_is_refused() -> None:
    with pytest.raises(ProtocolBroken, match="no end"):
        connect(Stub(answers={b"qXfer": b"m"}))
    with pytest.raises(ProtocolBroken, match="no end"):
        connect(Stub(answers={b"qXfer": b"m" + b" " * 900}), 5)


@pytest.mark.parametrize("output", [b"O", b"O41"])
def test_a_monitor_that_prints_for_ever_is_cut_off(output: bytes) -> None:
    stub = Stub(answers={b"qRcmd": itertools.repeat(output)})  # type: ignore[dict-item]

    async def run() -> None:
        async with asyncio.timeout(60), connected(stub, 0.3) as client:
            with pytest.raises(StubSilent, match="came to no end"):
                await client.monitor("info registers")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "answer"), [(b"qXfer", b"m "), (b"m", b"00"), (b"qsThreadInfo", b"m1")]
)
def test_answers_in_time_without_an_end_come_to_one(request_: bytes, answer: bytes) -> None:
    class Slow(Stub):
        async def _answer(self, end: socket.socket, request: bytes) -> None:
            if request.startswith(request_):
                await asyncio.sleep(0.06)
            await super()._answer(end, request)

    async def run() -> None:
        async with asyncio.timeout(30):
            async with connected(Slow(answers={request_: answer}), 0.3) as client:
                await client.read(0x1000, 4096)
                await client.threads()

    with pytest.raises(StubSilent, match="came to no end"):
        asyncio.run(run())


def test_two_tasks_at_once_are_told_to_take_turns() -> None:
    async def run() -> None:
        async with connected(Stub(answers={b"g": None})) as client:
            first = asyncio.create_task(client.registers())
            while client._link._waiter is None:
                await asyncio.sleep(0)
            with pytest.raises(WrongState, match="one at a time"):
                await client.read(0x1000, 1)
            first.cancel()

    asyncio.run(run())


def test_addresses_that_lead_nowhere() -> None:
    async def run() -> None:
        with pytest.raises(StubGone, match="no stub"):
            await GdbClient.connect("/nowhere/at/all", timeout_s=1)
        for address in ("1234", "host:", "host:port", "host:99999"):
            with pytest.raises(UsageError, match="no address"):
                await GdbClient.connect(address, timeout_s=1)

    asyncio.run(run())


def test_the_socket_is_closed_with_a_connection_that_failed() -> None:
    async def run() -> socket.socket:
        async with wired(Stub(answers={b"": None})) as end:
            with pytest.raises(StubSilent):
                await GdbClient.connect(end, timeout_s=0.02)
            return end

    assert asyncio.run(run()).fileno() == -1
