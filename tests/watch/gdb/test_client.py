"""The client, against a stub that does as it should."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from timehands.errors import StubRefused, UsageError, WrongState
from timehands.watch.gdb import BreakKind, Breakpoint, Cause, GdbClient, Passing, State, ThreadId
from timehands.watch.gdb.link import Link
from timehands.watch.gdb.packets import frame
from watch.gdb.stub import Stub, connected

Talk = Callable[[GdbClient], Awaitable[Any]]
HERE = Breakpoint(BreakKind.SOFTWARE, 0x1010)


def talk(stub: Stub, what: Talk, timeout_s: float = 5.0) -> Any:
    """What comes of talking to that stub."""

    async def run() -> Any:
        async with connected(stub, timeout_s) as client:
            return await what(client)

    return asyncio.run(run())


def in_pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("no_ack", [True, False])
@pytest.mark.parametrize("wire", [lambda data: [data], in_pieces])
def test_registers_and_memory(no_ack: bool, wire: Callable[[bytes], list[bytes]]) -> None:
    stub = Stub(wire=wire)
    if not no_ack:
        stub.answers[b"QStartNoAckMode"] = b""

    async def look(client: GdbClient) -> None:
        assert client.features.no_ack is no_ack
        registers = await client.registers()
        assert dict(registers) == {"rax": 7, "rip": 0x1000, "eflags": 2}
        assert await client.register("rip") == 0x1000
        assert await client.read(0x1004, 3) == b"\x04\x05\x06"
        assert await client.read(0x1000, 0x1000) == bytes(range(256)) * 16
        assert await client.read(0x5000, 1) is None
        assert await client.read(0x1FFF, 2) is None
        spans = [(0x1004, 3), (0x5000, 1), (0x1FFF, 2), (0x1000, 0x1000), (0x1001, 0), (0x1008, 1)]
        assert await client.read_each(spans) == [b"\4\5\6", None, None, None, None, b"\x08"]

    talk(stub, look)


@pytest.mark.parametrize("without", [(), (b"X",), (b"P",), (b"X", b"P")])
def test_writing_by_whatever_the_stub_knows(without: tuple[bytes, ...]) -> None:
    stub = Stub(answers={b"X": lambda r: x_write(stub, r), **dict.fromkeys(without, b"")})
    data = b"}#$*" * 300

    async def change(client: GdbClient) -> None:
        await client.set_register("rax", 0x1234)
        assert await client.register("rax") == 0x1234
        await client.write(0x1100, data)
        assert await client.read(0x1100, len(data)) == data

    talk(stub, change)
    assert stub.rax == 0x1234
    assert bytes(stub.memory[0x100 : 0x100 + len(data)]) == data


def x_write(stub: Stub, request: bytes) -> bytes:
    """``X``, by the manual: what is after the colon is binary and escaped."""
    span, _, data = request[1:].partition(b":")
    plain, at = bytearray(), 0
    while at < len(data):
        escaped = data[at] == 0x7D
        plain.append(data[at + 1] ^ 0x20 if escaped else data[at])
        at += 2 if escaped else 1
    return stub._put(span, bytes(plain))


def test_threads_are_selected_once() -> None:
    stub = Stub()

    async def look(client: GdbClient) -> None:
        threads = await client.threads()
        assert threads == [ThreadId(None, 1), ThreadId(None, 2)]
        for _ in range(3):
            await client.registers(threads[1])

    talk(stub, look)
    assert [r for r in stub.requests if r[:1] in (b"H", b"g")] == [b"Hg2", b"g"]


def test_a_stop_a_step_and_what_came_with_them() -> None:
    stub = Stub(stops=[b"T05thread:2;watch:1008;01:4012000000000000;"])

    async def run(client: GdbClient) -> None:
        await client.insert(Breakpoint(BreakKind.WRITE, 0x1008, 4))
        await client.resume()
        assert client.state is State.RUNNING
        stop = await client.wait_stop(5)
        assert stop is not None
        assert (stop.cause, stop.address, stop.thread) == (Cause.WRITE, 0x1008, ThreadId(None, 2))
        asked = len(stub.requests)
        assert await client.register("rip") == 0x1240
        assert len(stub.requests) == asked
        await client.step()
        assert (await client.wait_stop(5)) is not None
        assert stub.requests[-1] == b"vCont;s:2"
        assert await client.register("rip") == 0x1001

    talk(stub, run)
    assert stub.points == {b"2,1008,4"}


def test_time_that_is_over_leaves_the_guest_running_and_an_interrupt_stops_it() -> None:
    async def run(client: GdbClient) -> None:
        await client.resume()
        assert await client.wait_stop(0.01) is None
        assert client.state is State.RUNNING
        await client.interrupt()
        stop = await client.wait_stop(5)
        assert stop is not None and stop.signal == 2

    talk(Stub(), run)


def test_each_call_says_what_to_call_first_in_a_wrong_state() -> None:
    async def run(client: GdbClient) -> None:
        with pytest.raises(WrongState, match="resume"):
            await client.wait_stop(1)
        await client.resume()
        with pytest.raises(WrongState, match="interrupt") as caught:
            await client.read(0x1000, 1)
        assert caught.value.state == "running"
        client.close()
        with pytest.raises(WrongState, match="connect again"):
            await client.interrupt()

    talk(Stub(), run)


def test_a_guest_that_ended_is_a_stop_and_the_end() -> None:
    async def run(client: GdbClient) -> None:
        await client.resume()
        stop = await client.wait_stop(5)
        assert stop is not None and stop.ended and stop.status == 3
        assert client.state is State.ENDED

    talk(Stub(stops=[b"W03"]), run)


def test_a_breakpoint_is_passed_by_a_step_that_is_looked_at() -> None:
    stub = Stub(stops=[b"T05thread:1;"], pc=0x1010)

    async def run(client: GdbClient) -> Passing:
        await client.insert(HERE)
        await client.resume()
        assert await client.wait_stop(5) is not None
        return client.passing

    assert talk(stub, run) is Passing.STEP_AND_LOOK
    assert [r for r in stub.requests if r[:1] == b"v"][1:] == [b"vCont;s:1", b"vCont;c"]


def test_a_breakpoint_that_a_step_lands_on_is_a_stop() -> None:
    stub = Stub(stops=[b"T05thread:1;"], pc=0x100F)

    async def run(client: GdbClient) -> None:
        await client.insert(HERE)
        await client.insert(HERE._replace(address=0x100F))
        await client.resume()
        assert client.state is State.RUNNING
        assert await client.wait_stop(5) is not None
        assert await client.register("rip") == 0x1010

    talk(stub, run)
    assert stub.stops, "the guest was not told to go on"


def test_a_breakpoint_that_a_step_hits_again_is_lifted() -> None:
    stub = Stub(stops=[b"T05thread:1;"] * 2, pc=0x1010)

    def step(_: bytes) -> bytes:
        stub.pc += b"0,1010,1" not in stub.points
        return b"T05thread:1;"

    stub.answers[b"vCont;s"] = step

    async def run(client: GdbClient) -> None:
        await client.insert(HERE)
        for _ in range(2):
            await client.resume()
            assert await client.wait_stop(5) is not None
            stub.pc = 0x1010
            client._registers.clear()
        assert client.passing is Passing.LIFT

    talk(stub, run)
    assert stub.points == {b"0,1010,1"}


def test_what_a_stub_does_not_know_or_refuses_is_told_and_the_talk_goes_on() -> None:
    stub = Stub(answers={b"Z1": b"", b"Z2": b"E01", b"qRcmd": b""})

    async def run(client: GdbClient) -> None:
        with pytest.raises(StubRefused, match="does not know") as caught:
            await client.insert(Breakpoint(BreakKind.HARDWARE, 0x1000))
        assert caught.value.sent == b"Z1,1000,1"
        with pytest.raises(StubRefused, match="E01"):
            await client.insert(Breakpoint(BreakKind.WRITE, 0x1000, 8))
        with pytest.raises(StubRefused):
            await client.monitor("info")
        with pytest.raises(StubRefused, match="physical"):
            async with client.physical():
                pass
        assert client.inserted == ()
        assert await client.register("rax") == 7

    talk(stub, run)


def test_what_makes_no_sense_is_not_sent() -> None:
    stub = Stub()

    async def run(client: GdbClient) -> None:
        asked = len(stub.requests)
        with pytest.raises(UsageError, match="Did you mean rax"):
            await client.register("rxa")
        with pytest.raises(UsageError, match="does not fit"):
            await client.set_register("eflags", 1 << 32)
        for address, length in ((-1, 1), (0, 1 << 30), ((1 << 64) - 1, 2)):
            with pytest.raises(UsageError):
                await client.read(address, length)
        assert len(stub.requests) == asked

    talk(stub, run)


def test_the_monitor_prints_by_parts_or_at_once() -> None:
    def parts(request: bytes) -> list[bytes]:
        assert bytes.fromhex(request[6:].decode()) == b"info x"
        return [b"O" + b"a\n".hex().encode(), b"O" + b"b".hex().encode(), b"OK"]

    async def ask(client: GdbClient) -> str:
        return await client.monitor("info x")

    assert talk(Stub(answers={b"qRcmd": parts}), ask) == "a\nb"
    assert talk(Stub(answers={b"qRcmd": b"all".hex().encode()}), ask) == "all"


def test_leaving_a_guest_removes_what_was_inserted() -> None:
    stub = Stub()

    async def run(client: GdbClient) -> None:
        await client.insert(HERE)
        await client.detach()
        assert client.state is State.ENDED

    talk(stub, run)
    assert stub.requests[-2:] == [b"z0,1010,1", b"D"] and not stub.points


def test_an_asker_that_is_cancelled_leaves_no_answer_for_the_next() -> None:
    stub = Stub(answers={b"m1000": None})

    async def run(client: GdbClient) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.read(0x1000, 1)
        stub.rax = 8
        stub.answers[b"Hg1"] = [b"ff", b"OK"]  # the first is the late answer to m
        return await client.register("rax")

    assert talk(stub, run) == 8


KVM = {
    b"qqemu.sstepbits": b"ENABLE=1,NOIRQ=2,NOTIMER=4",
    b"qRcmd": b"kvm support: enabled".hex().encode(),
}


@pytest.mark.parametrize(("stop", "pc"), [(b"T06thread:1;", 0x1010), (b"T05thread:1;", 0x1011)])
def test_software_breakpoints_that_kill_a_kvm_guest_become_hardware_ones(
    stop: bytes, pc: int
) -> None:
    stub = Stub(answers=dict(KVM), stops=[stop])

    async def run(client: GdbClient) -> None:
        assert await client.insert(HERE) is BreakKind.SOFTWARE
        await client.resume()
        stub.pc = pc
        told = await client.wait_stop(5)
        assert told is not None and "hardware breakpoints are used" in told.note
        assert not client.kinds.software_works
        if told.signal == 6:
            with pytest.raises(StubRefused, match="start it again"):
                await client.resume()
        assert await client.insert(HERE._replace(address=0x1020)) is BreakKind.HARDWARE

    talk(stub, run)
    assert stub.points == {b"1,1010,1", b"1,1020,1"}


def test_software_breakpoints_that_are_hit_on_kvm_are_kept() -> None:
    stub = Stub(answers=dict(KVM), stops=[b"T05thread:1;", b"T05thread:1;"])

    async def run(client: GdbClient) -> None:
        await client.insert(HERE)
        await client.resume()
        stub.pc = 0x1010
        stop = await client.wait_stop(5)
        assert stop is not None and not stop.note
        assert client.kinds.software_works

    talk(stub, run)
    assert stub.points == {b"0,1010,1"}


def test_hopping_tells_the_stub_to_go_on_behind_a_no_operation() -> None:
    stub = Stub(pc=0x1010, stops=[], answers={b"c": b"T05thread:1;"})
    stub.memory[0x10:0x15] = bytes.fromhex("0f1f440000")

    async def run(client: GdbClient) -> None:
        client.passing = Passing.HOP
        await client.insert(HERE)
        await client.resume()
        assert await client.wait_stop(5) is not None

    talk(stub, run)
    assert stub.requests[-1] == b"c1015"


def test_hopping_asks_for_registers_and_code_at_once_and_trusts_only_code_of_here() -> None:
    nothing, more = bytes.fromhex("0f1f440000"), bytes.fromhex("0f1f4000")
    stub = Stub(pc=0x1010)
    stub.memory[0x10:0x15], stub.memory[0x20:0x24] = nothing, more
    way = [0x1010, 0x1020, 0x1020]

    def go_on(_request: bytes) -> bytes:
        stub.pc = way.pop(0)
        return b"T05thread:1;"

    async def run(client: GdbClient) -> None:
        client.passing = Passing.HOP
        for address in (0x1010, 0x1020):
            await client.insert(Breakpoint(BreakKind.SOFTWARE, address))
        while way:
            await client.resume()
            assert await client.wait_stop(5) is not None
        assert await client.register("rip") == 0x1020

    stub.answers[b"c"] = go_on
    talk(stub, run)
    asked = [request for request in stub.requests if request[:1] in b"gmcs"]
    guess = [b"g", b"m1010,f"]
    assert asked == [*guess, b"c1015", *guess, b"c1015", *guess, b"m1020,f", b"c1024"]


class Prompt:
    """A socket whose other end has always answered already: nobody ever waits for it."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def send(self, data: bytes, _flags: int = 0) -> int:
        return len(data)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        return b"+" + frame(b"OK")

    def fileno(self) -> int:
        return self._real.fileno()

    def close(self) -> None:
        self._real.close()


def test_others_have_their_turn_also_when_answers_come_at_once_for_ever() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            link = Link(ours)
            link._socket = Prompt(ours)  # type: ignore[assignment]
            other = asyncio.create_task(asyncio.sleep(0.01))
            for _ in range(200_000):
                link.begin()
                link.send(b"?")
                assert await link.receive(5) == b"OK"
                if other.done():
                    break
            link.close()
            assert other.done()

    asyncio.run(run())
