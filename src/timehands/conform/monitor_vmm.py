"""The conformance guest on our own monitor, which can be paused, saved, and restored."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from timehands.conform.guest import conformance_guest
from timehands.conform.talk import Heard, Vmm
from timehands.conform.wish import MEMORY_MIB, WAITING, Wish, stand_still
from timehands.errors import TimehandsError
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks
from timehands.monitor.snapshot import restore, snapshot

_LOOK_SECONDS = 0.02


#: Changes a machine before it runs.
Bend = Callable[[Microvm], None]


class MonitorVmm:
    """A guest of our own monitor; after a restore it is another `Microvm`."""

    can = frozenset({"pause", "snapshot"})
    cannot: Mapping[str, str] = {
        "migration": "needs another TSC frequency: KVM_CAP_TSC_CONTROL",
    }

    def __init__(self, bend: Bend) -> None:
        self._bend = bend
        self.heard: Heard = asyncio.Queue(WAITING)
        self.guest: Microvm
        self._loop = asyncio.get_running_loop()

    def console(self, data: bytes) -> None:
        """What the guest says, from the threads of its vCPUs."""
        self._loop.call_soon_threadsafe(self._put, (time.monotonic_ns(), data))

    def _put(self, item: tuple[int, bytes] | None) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.heard.put_nowait(item)

    def send(self, data: bytes) -> None:
        """Type on its serial line."""
        self.guest.send(data)

    async def do(self, what: str) -> str:
        """Stop all vCPUs for a while; or save the guest, end it, and go on from what was saved."""
        if what == "snapshot":
            least_ns = await self._save_and_restore()
        else:
            await asyncio.to_thread(self.guest.pause)
            least_ns = await stand_still()
            await asyncio.to_thread(self.guest.resume)
        return f"least={least_ns:#x} policy={self.guest.settings.clocks.policy.value}"

    async def _save_and_restore(self) -> int:
        old = self.guest
        await asyncio.to_thread(old.pause)
        began_ns = time.monotonic_ns()
        try:
            self.guest = await self._another(old)
        except TimehandsError:
            await asyncio.to_thread(old.resume)
            raise
        await asyncio.to_thread(old.close)
        self._bend(self.guest)
        least_ns = time.monotonic_ns() - began_ns
        await asyncio.to_thread(self.guest.resume)
        return least_ns

    async def _another(self, old: Microvm) -> Microvm:
        with tempfile.TemporaryDirectory(prefix="timehands-") as folder:
            at = await asyncio.to_thread(snapshot, old, Path(folder) / "guest")
            await stand_still()
            return await asyncio.to_thread(restore, at, console=self.console)

    async def tell_end(self) -> None:
        """Put the end into `heard` when the guest ends: behind all that it said."""
        while self.guest.ending is None:
            await asyncio.sleep(_LOOK_SECONDS)
        self._loop.call_soon(self._put, None)


@asynccontextmanager
async def run_monitor(
    clocks: Clocks, wish: Wish, bend: Bend = lambda _guest: None
) -> AsyncIterator[Vmm]:
    """Our monitor with these clocks. ``bend`` may change it before it runs, and when restored.

    Raises `KvmUnavailable`, `KvmLacks`, `MachineError`.
    """
    vmm = MonitorVmm(bend)
    settings = Settings(memory_bytes=MEMORY_MIB << 20, vcpus=wish.vcpus, clocks=clocks)
    kernel = Load(memoryview(conformance_guest().read_bytes()), " ".join(wish.arguments))
    vmm.guest = Microvm(settings, kernel, console=vmm.console)
    ending = asyncio.create_task(vmm.tell_end())
    try:
        bend(vmm.guest)
        vmm.guest.resume()
        yield vmm
    finally:
        ending.cancel()
        vmm.guest.close()
