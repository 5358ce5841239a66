"""A guest that is let go on and stopped through its stub only, for those who look after it."""

from __future__ import annotations

from timehands.errors import GdbError, QemuFailed
from timehands.machines.vmm import Running
from timehands.watch.stops import Kind, Stop, Stops


class HeldGuest:
    """Stops and lets go on as `Guest` does (it is a `timehands.watch.vigil.Held`).

    A stop that was wanted may come instead of the one asked for: it is kept in ``waiting``, and the
    guest stands still until somebody takes it.
    """

    def __init__(self, guest: Running, stops: Stops) -> None:
        self.waiting: Stop | None = None
        self._guest = guest
        self._stops = stops

    def take(self) -> Stop | None:
        """The stop that waits, if one does."""
        stop, self.waiting = self.waiting, None
        return stop

    async def pause(self) -> None:
        """Stop the vCPUs. Raises `QemuFailed` when QEMU is gone, or another stop came first."""
        if self._stops.running:
            try:
                stop = await self._stops.interrupt()
            except GdbError as error:
                raise QemuFailed(f"the guest cannot be stopped: {error.message}") from error
            if stop.kind is Kind.INTERRUPTED:
                self._stops.log.forget()
            else:
                self.waiting = stop
        if self.waiting is not None:
            raise QemuFailed("the guest has stopped by itself")

    async def resume(self) -> None:
        """Let them go on. Raises `QemuFailed` when QEMU is gone."""
        try:
            await self._stops.go_on()
        except GdbError as error:
            raise QemuFailed(f"the guest cannot be let go on: {error.message}") from error

    async def registers(self) -> str:
        """The registers of all vCPUs as QEMU's monitor prints them."""
        return await self._guest.registers()

    def cpu_ns(self) -> int | None:
        """The CPU time that QEMU has used up to now; None when it is gone."""
        return self._guest.cpu_ns()
