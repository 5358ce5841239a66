"""Our own monitor, as one of those that make guests."""

from __future__ import annotations

from dataclasses import dataclass

from timehands.errors import MachineError
from timehands.machines.guest import Sink, Watcher
from timehands.machines.machine import Load, Machine
from timehands.watch.exits.guest import MonitorGuest
from timehands.watch.exits.made import command_for, settings_for
from timehands.watch.plan import Function


@dataclass(frozen=True, slots=True)
class MonitorVmm:
    """The monitor: see `timehands.machines.vmm.Vmm`. There is nothing to find, and no process.

    Each entry of ``functions``, four at most, is an event of its guests.
    """

    functions: tuple[Function, ...] = ()

    @property
    def version(self) -> str:
        """It is of Timehands itself."""
        return ""

    def command(self, machine: Machine, load: Load) -> tuple[str, ...]:
        """``timehands run``, which is the monitor's command line."""
        settings_for(machine, load)
        return command_for(machine, load)

    async def start(
        self,
        machine: Machine,
        load: Load,
        sink: Sink,
        *,
        watcher: Watcher | None = None,
        talks: bool = True,
        gdb: bool = False,
    ) -> MonitorGuest:
        """See `MonitorGuest.start`. It always talks. Raises what that raises."""
        del talks
        if watcher is not None:
            raise MachineError("the monitor has no place for QEMU's plugin")
        return await MonitorGuest.start(machine, load, sink, gdb=gdb, functions=self.functions)
