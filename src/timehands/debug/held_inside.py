"""A guest whose stops are made inside the plugin, for those who look after it."""

from __future__ import annotations

import asyncio
import contextlib

from timehands.errors import QemuFailed
from timehands.machines.vmm import Running
from timehands.watch.stops import Stop, Stops


class HeldInside:
    """Stops and lets go on as `HeldGuest` does, by QEMU's monitor.

    QEMU does not pause while a vCPU waits for us at a stop. So both are waited for; the stop that
    comes first is kept in ``waiting``, and what was asked of QEMU is taken back when it is done.
    """

    def __init__(self, guest: Running, stops: Stops) -> None:
        self.waiting: Stop | None = None
        self._guest = guest
        self._stops = stops
        self._taken_back: asyncio.Task[None] | None = None

    def take(self) -> Stop | None:
        """The stop that waits, if one does."""
        stop, self.waiting = self.waiting, None
        return stop

    async def pause(self) -> None:
        """Stop the vCPUs. Raises `QemuFailed` when QEMU is gone, or another stop came first."""
        if self.waiting is not None or not self._stops.running:
            raise QemuFailed("the guest has stopped by itself")
        pausing = asyncio.create_task(self._pause())
        stopping = asyncio.create_task(self._stops.run())
        try:
            await asyncio.wait({pausing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        await asyncio.wait({stopping})
        if stopping.cancelled() or stopping.exception() is not None:
            await pausing
            return
        self.waiting = stopping.result()
        self._taken_back = asyncio.create_task(self._take_back(pausing))
        raise QemuFailed("the guest has stopped by itself")

    async def _pause(self) -> None:
        await self.settle()
        await self._guest.pause()

    async def _take_back(self, pausing: asyncio.Task[None]) -> None:
        """When the guest has been paused at last, let it go on."""
        with contextlib.suppress(QemuFailed):
            await pausing
            await self._guest.resume()

    async def settle(self) -> None:
        """Wait until what was taken back is done: before QEMU is asked for something else."""
        if self._taken_back is not None:
            taken_back, self._taken_back = self._taken_back, None
            await taken_back

    async def resume(self) -> None:
        """Let them go on. Raises `QemuFailed` when QEMU is gone."""
        await self._guest.resume()

    async def registers(self) -> str:
        """The registers of all vCPUs as QEMU's monitor prints them."""
        return await self._guest.registers()

    def cpu_ns(self) -> int | None:
        """The CPU time that QEMU has used up to now; None when it is gone."""
        return self._guest.cpu_ns()
