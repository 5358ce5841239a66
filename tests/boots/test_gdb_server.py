"""Our own GDB client on the monitor's server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, symbols_of
from timehands.errors import KvmUnavailable, StubRefused
from timehands.kvm import Kvm
from timehands.monitor.breakpoints import Breakpoints, Kind
from timehands.monitor.gdb_server import Architecture, serve
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.watch.gdb import BreakKind, Breakpoint, Cause, GdbClient

pytestmark = pytest.mark.boot
PATIENCE_S = 60
TICKING = "for (;;) tick();"
TICK = 'volatile unsigned n;\n__attribute__((noinline)) void tick(void) { n++; __asm__(""); }'
KINDS = {BreakKind.SOFTWARE: Kind.SOFTWARE, BreakKind.HARDWARE: Kind.EXECUTE}


@pytest.fixture
def kvm() -> None:
    """The host's KVM can be opened; or a skip that says what is wrong with it."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)


@asynccontextmanager
async def attached(folder: Path, kernel: Path) -> AsyncIterator[tuple[Microvm, GdbClient]]:
    """A guest that has not run yet, and its client."""
    file = kernel.read_bytes()
    with (
        Microvm(Settings(16 * MIB), Load(memoryview(file))) as guest,
        serve(guest, folder / "gdb", architecture=Architecture.of(file)),
    ):
        async with await GdbClient.connect(folder / "gdb", timeout_s=PATIENCE_S) as client:
            yield guest, client


async def count(client: GdbClient, address: int) -> int:
    data = await client.read(address, 4)
    assert data is not None
    return int.from_bytes(data, "little")


@pytest.mark.parametrize("kind", KINDS)
def test_our_client_stops_at_each_call_and_steps(
    kvm: None, tmp_path: Path, kind: BreakKind
) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    at = symbols_of(kernel)

    async def run() -> None:
        async with attached(tmp_path, kernel) as (guest, client):
            if not Breakpoints(guest).abilities.has(KINDS[kind]):
                pytest.skip(f"this host's KVM tells of no {KINDS[kind].value}")
            code = await client.read(at["tick"], 16)
            await client.insert(Breakpoint(kind, at["tick"]))
            for calls in range(10):
                await client.resume()
                stop = await client.wait_stop(PATIENCE_S)
                assert stop is not None
                assert stop.cause in (Cause.BREAKPOINT, Cause.HARDWARE_BREAKPOINT)
                assert (await client.registers()).pc == at["tick"]
                assert await count(client, at["n"]) == calls
            await client.step()
            assert await client.wait_stop(PATIENCE_S) is not None
            assert (await client.registers()).pc != at["tick"]
            assert await client.read(at["tick"], 16) == code

    asyncio.run(run())


def test_our_client_interrupts_looks_changes_and_hears_the_end(kvm: None, tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TICKING, before=TICK)
    at = symbols_of(kernel)

    async def run() -> None:
        async with attached(tmp_path, kernel) as (guest, client):
            assert not guest.running
            await client.resume()
            await client.interrupt()
            assert await client.wait_stop(PATIENCE_S) is not None
            await client.set_register("edi", 0x12345678)
            assert (await client.registers())["edi"] == 0x12345678
            await client.write(at["n"], b"\x01\0\0\0")
            async with client.physical():
                assert await count(client, at["n"]) == 1
            with pytest.raises(StubRefused, match="no watchpoint for reads"):
                await client.insert(Breakpoint(BreakKind.READ, at["n"], 4))
            await client.resume()
            guest.stop()
            stop = await client.wait_stop(PATIENCE_S)
            assert stop is not None
            assert stop.cause is Cause.EXITED
            assert client.output == b"the guest ended: stopped\n"

    asyncio.run(run())
