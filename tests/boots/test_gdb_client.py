"""The GDB client on real stubs: QEMU's, and gdbserver, which we did not write."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from boots.bare_guests import (
    build_guest,
    plugin_qemu,
    processes_with,
    sample_kernel,
    symbols_of,
    wait_until,
)
from timehands.errors import QemuFailed, StubGone, StubRefused, StubSilent
from timehands.kernels.kernel import Kernel
from timehands.machines.guest import Guest
from timehands.machines.machine import Load, Machine
from timehands.watch.gdb import BreakKind, Breakpoint, Cause, GdbClient, Passing, State

pytestmark = pytest.mark.boot

#: Calls tick for ever, and says so now and then.
TICKING = "for (;;) { tick(); if (n % 1000 == 0) put_char('.'); }"
TICK = 'volatile unsigned n;\n__attribute__((noinline)) void tick(void) { n++; __asm__(""); }'


class Heard:
    """A sink that keeps the console and the names of events."""

    def __init__(self) -> None:
        self.text = b""
        self.events: list[str] = []

    def console(self, _host_ns: int, data: bytes, /) -> None:
        self.text += data

    def stream(self, _host_ns: int, _data: bytes, /) -> None:
        raise AssertionError("nobody watches")

    def machine_event(self, _host_ns: int, name: str, _data: dict[str, Any], /) -> None:
        self.events.append(name)


@asynccontextmanager
async def steered(
    kernel: Path,
    machine: Machine | None = None,
    heard: Heard | None = None,
    *,
    together: bool = False,
) -> AsyncIterator[tuple[Guest, GdbClient]]:
    """A guest with its client, stopped before its first instruction."""
    guest = await Guest.start(
        plugin_qemu(), machine or Machine(), Load(kernel), heard or Heard(), gdb=True
    )
    async with guest:
        assert guest.gdb is not None
        process = guest.process_id if together else None
        async with await GdbClient.connect(guest.gdb, process=process) as client:
            yield guest, client


async def stops(client: GdbClient, times: int) -> list[int]:
    """Where the guest stops, so many times."""
    found = []
    for _ in range(times):
        await client.resume()
        stop = await client.wait_stop(20)
        assert stop is not None
        found.append((await client.registers()).pc)
    return found


async def count(client: GdbClient, address: int) -> int:
    data = await client.read(address, 4)
    assert data is not None
    return int.from_bytes(data, "little")


@pytest.mark.parametrize(
    "passing", [Passing.STEP, Passing.STEP_AND_LOOK, Passing.LIFT, Passing.HOP]
)
@pytest.mark.parametrize("kind", [BreakKind.SOFTWARE, BreakKind.HARDWARE])
def test_each_call_is_one_stop_however_a_breakpoint_is_passed(
    tmp_path: Path, passing: Passing, kind: BreakKind
) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        async with steered(kernel) as (_, client):
            assert (client.passing, client.features.qemu) == (Passing.STEP, True)
            client.passing = passing
            await client.insert(Breakpoint(kind, symbols["tick"]))
            assert await stops(client, 1) == [symbols["tick"]]
            for calls in range(1, 20):
                assert await stops(client, 1) == [symbols["tick"]]
                assert await count(client, symbols["n"]) == calls

    asyncio.run(run())


def test_console_qmp_and_timers_do_not_wait_for_the_end_of_a_storm_of_stops(
    tmp_path: Path,
) -> None:
    kernel = build_guest(tmp_path, "for (;;) { tick(); put_char('.'); }", before=TICK)
    heard, before = Heard(), os.sched_getaffinity(0)

    async def run() -> None:
        async with steered(kernel, heard=heard, together=True) as (guest, client):
            await client.insert(Breakpoint(BreakKind.WRITE, symbols_of(kernel)["n"], 4))
            asked = asyncio.create_task(guest.qmp("query-status"))
            slept = asyncio.create_task(asyncio.sleep(0.02))
            for calls in range(1, 20_000):
                await stops(client, 1)
                if asked.done() and slept.done() and calls >= 1000 and len(heard.text) > 100:
                    break
            assert asked.done() and slept.done() and len(heard.text) > 100
            assert await count(client, symbols_of(kernel)["n"]) == calls

    asyncio.run(run())
    assert os.sched_getaffinity(0) == before


def test_a_watchpoint_tells_every_write_and_who_wrote(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        async with steered(kernel) as (_, client):
            await client.insert(Breakpoint(BreakKind.WRITE, symbols["n"], 4))
            for written in range(1, 20):
                (pc,) = await stops(client, 1)
                assert client.stop is not None
                assert (client.stop.cause, client.stop.address) == (Cause.WRITE, symbols["n"])
                assert symbols["tick"] < pc < symbols["tick"] + 32
                assert await count(client, symbols["n"]) == written

    asyncio.run(run())


def test_values_are_those_of_qemus_monitor_and_can_be_changed(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        async with steered(kernel, Machine(vcpus=2)) as (guest, client):
            await client.insert(Breakpoint(BreakKind.SOFTWARE, symbols["tick"]))
            await stops(client, 3)
            registers = await client.registers()
            text = await client.monitor("info registers")
            for name, shown in (("cr0", "CR0"), ("cr3", "CR3"), ("cr4", "CR4"), ("rsp", "RSP")):
                short = shown.replace("R", "E", 1) if shown == "RSP" else shown
                assert any(f"{word}={registers[name]:0{width}x}" in text
                           for word in (shown, short) for width in (8, 16)), name  # fmt: skip
            assert "fs_base" in registers
            assert len(await client.threads()) == 2
            code = await client.read(symbols["tick"], 5000)
            assert code == await guest.memory(symbols["tick"], 5000)
            async with client.physical():
                assert await client.read(symbols["tick"], 5000) == code
            await client.write(symbols["n"], b"\x78\x56\x34\x12")
            await client.set_register("rbx", 0x5A5A)
            assert (await client.registers())["rbx"] == 0x5A5A
            assert await guest.memory(symbols["n"], 4) == b"\x78\x56\x34\x12"
            with pytest.raises(StubRefused):
                await client.insert(Breakpoint(BreakKind.WRITE, symbols["n"], 0))

    asyncio.run(run())


def test_beside_the_client_the_console_and_qmp_go_on_as_ever(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)

    async def run() -> None:
        heard = Heard()
        async with steered(kernel, heard=heard) as (guest, client):
            await client.resume()
            while heard.text.count(b".") < 3:
                await asyncio.sleep(0.01)
            await guest.pause()  # by QMP, while the client waits for a stop
            stop = await client.wait_stop(10)
            assert stop is not None and stop.signal == 2
            seen = len(heard.text)
            await guest.resume()
            while len(heard.text) < seen + 3:
                await asyncio.sleep(0.01)
            await guest.qmp("system_reset")  # told by an event; -action pauses at it
            assert await guest.wait(60) == "host-qmp-system-reset"
            assert heard.events == ["SHUTDOWN"]  # no STOP, no RESUME: the client knows of those

    asyncio.run(run())


def test_the_stub_dies_with_its_guest_and_the_guest_with_its_client(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)

    async def run() -> None:
        async with steered(kernel) as (guest, client):
            await client.resume()
            await guest.kill()
            with pytest.raises(StubGone):
                await client.wait_stop(10)
            assert client.state is State.LOST
        async with steered(kernel) as (guest, client):
            await client.kill()
            assert await guest.wait(60) is not None

    asyncio.run(run())
    assert wait_until(lambda: not processes_with(str(kernel)))


def test_a_second_client_of_one_stub_is_told_so(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    path = tmp_path / "stub"
    words = ["-nodefaults", "-display", "none", "-machine", "microvm", "-S", "-kernel", kernel]
    process = subprocess.Popen(
        [plugin_qemu(), *words, "-gdb", f"unix:{path},server=on,wait=off"],
        stderr=subprocess.DEVNULL,
    )

    async def run() -> None:
        async with await GdbClient.connect(path) as client:
            with pytest.raises(StubSilent, match="another debugger"):
                await GdbClient.connect(path, timeout_s=0.5)
            assert (await client.registers()).pc == 0xFFF0

    try:
        assert wait_until(path.exists)
        asyncio.run(run())
    finally:
        process.kill()
        process.wait()


def test_the_sample_kernel_stops_at_its_functions() -> None:
    path = sample_kernel()
    kernel = Kernel.open(path)
    names = ("tsc_early_init", "timekeeping_init", "tsc_init")
    addresses = {kernel.symbols.lookup(name)[0]: name for name in names}
    load = Load(path, ("console=ttyS0", "nokaslr", "reboot=t", "panic=-1"))

    async def run() -> list[str]:
        guest = await Guest.start(plugin_qemu(), Machine(), load, Heard(), gdb=True)
        async with guest:
            assert guest.gdb is not None
            async with await GdbClient.connect(guest.gdb) as client:
                for address in addresses:
                    await client.insert(Breakpoint(BreakKind.HARDWARE, address))
                return [addresses[pc] for pc in await stops(client, len(addresses))]

    assert asyncio.run(run()) == list(names)


PROGRAM = """
#include <stdio.h>
volatile int n;
__attribute__((noinline)) void tick(int by) { n += by; }
int main(void) { for (int i = 1; i <= 5; i++) tick(i); printf("%d\\n", n); return 3; }
"""


def test_gdbserver_steers_a_program(tmp_path: Path) -> None:
    gdbserver = shutil.which("gdbserver") or pytest.skip("no gdbserver")
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    source, program = tmp_path / "p.c", tmp_path / "p"
    source.write_text(PROGRAM)
    command = [compiler, "-O1", "-static", "-no-pie", "-fno-pie", "-o", program, source]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no static C library")
    symbols = symbols_of(program)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [gdbserver, "-", program], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    theirs.close()
    try:
        seen = asyncio.run(_steer(ours, symbols))
    except StubGone:
        process.kill()
        error = process.communicate()[1]
        if b"ptrace" in error or b"Operation not permitted" in error:
            pytest.skip("gdbserver may not trace processes here")
        raise
    finally:
        process.kill()
        process.communicate()
        ours.close()
    assert seen == [(1, 0), (2, 1), (100, 3), (4, 103), (5, 107)]


async def _steer(stub: socket.socket, symbols: dict[str, int]) -> list[tuple[int, int]]:
    """The argument of each call of tick and n before it; the third call gets another argument."""
    seen = []
    async with await GdbClient.connect(stub) as client:
        assert client.features.no_ack and not client.features.qemu
        assert "fs_base" in client.layout.by_name
        await client.insert(Breakpoint(BreakKind.SOFTWARE, symbols["tick"]))
        while True:
            await client.resume()
            stop = await client.wait_stop(10)
            assert stop is not None
            if stop.ended:
                assert stop.status == 3
                return seen
            registers = await client.registers()
            assert registers.pc == symbols["tick"]
            assert await client.register("rip") == symbols["tick"]
            if len(seen) == 2:
                await client.set_register("rdi", 100)
            by = await client.register("rdi") & 0xFFFFFFFF
            seen.append((by, await count(client, symbols["n"])))


@pytest.mark.parametrize("kind", [BreakKind.SOFTWARE, BreakKind.HARDWARE])
def test_kvm_stops_at_each_call_or_says_that_it_cannot(tmp_path: Path, kind: BreakKind) -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no /dev/kvm")
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        async with steered(kernel, Machine(accelerator="kvm", cpu="host")) as (_, client):
            assert client.features.kvm and client.kinds.suspect
            await client.insert(Breakpoint(kind, symbols["tick"]))
            await client.resume()
            stop = await client.wait_stop(3)
            if stop is None:
                pytest.skip(f"this KVM has no {kind.name.lower()} breakpoints")
            if stop.note:
                assert kind is BreakKind.SOFTWARE and not client.kinds.software_works
                with pytest.raises(StubRefused, match="start it again"):
                    await client.resume()
                return
            for calls in range(4):
                assert (await client.registers()).pc == symbols["tick"]
                assert await count(client, symbols["n"]) == calls
                await stops(client, 1)

    try:
        asyncio.run(run())
    except QemuFailed as error:
        pytest.skip(f"QEMU does not start on this KVM: {error.message}")
