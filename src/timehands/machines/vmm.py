"""Who runs a guest, and what a running guest can be asked: the seam between QEMU and our monitor.

A `Vmm` makes a machine with a load in it, stopped before its first instruction. What it gives is
`Running`, whoever runs it: those who watch, survey and tell ask nothing else of it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from timehands.machines.guest import Ended, Guest, Sink, Watcher
from timehands.machines.machine import Load, Machine
from timehands.machines.qemu import command_line


class Running(Protocol):
    """One guest. It is gone after `end` and `kill`; everything here may raise `MachineError` then.

    Attributes:
        command: what a user types to run the same, as words; empty: there is no such thing.
        started_ns: when making it began; ready_ns: when it could be let go (CLOCK_MONOTONIC).
        gdb, stops: our ends of its stubs, where it was started with one.
    """

    command: tuple[str, ...]
    started_ns: int
    ready_ns: int
    gdb: socket.socket | None
    stops: socket.socket | None

    async def resume(self) -> None:
        """Let it run (on)."""

    async def pause(self) -> None:
        """Stop the vCPUs."""

    def send(self, data: bytes) -> None:
        """Type on its serial console."""

    def cpu_ns(self) -> int | None:
        """The CPU time that it has used up to now; None when it is gone."""

    async def memory(self, address: int, length: int) -> bytes | None:
        """Its memory by virtual address, as vCPU 0 sees it; None when it cannot be read."""

    async def registers(self) -> str:
        """The registers of all vCPUs as QEMU's monitor prints them (``info registers -a``)."""

    async def wait(self, timeout_s: float | None = None) -> str | None:
        """Wait until it ends by itself, and tell why; None when the time is over before."""

    async def end(self, reason: str = "stopped") -> Ended:
        """End it, and collect what it still has to say."""

    async def kill(self) -> None:
        """End it at once."""

    @property
    def process_id(self) -> int | None:
        """The process that runs it; None: this one."""

    @property
    def resets(self) -> str:
        """Notes of CPU resets, as QEMU makes them (the registers at a triple fault)."""


class Vmm(Protocol):
    """What makes guests. ``version`` is its own word for it; empty: it is of Timehands itself."""

    @property
    def version(self) -> str:
        """Which one it is."""

    def command(self, machine: Machine, load: Load) -> tuple[str, ...]:
        """What a user types to run the same on a terminal. Raises `MachineError`."""

    async def start(
        self,
        machine: Machine,
        load: Load,
        sink: Sink,
        *,
        watcher: Watcher | None = None,
        talks: bool = True,
        gdb: bool = False,
    ) -> Running:
        """A guest before its first instruction; see `Guest.start`. Raises `MachineError`."""


@dataclass(frozen=True, slots=True)
class QemuVmm:
    """QEMU, by the path of its program. ``sandbox`` False is for one that does not start so."""

    path: str
    version: str = ""
    sandbox: bool = True

    def command(self, machine: Machine, load: Load) -> tuple[str, ...]:
        """QEMU's command line. Raises `MachineError`."""
        return command_line(self.path, machine, load)

    async def start(
        self,
        machine: Machine,
        load: Load,
        sink: Sink,
        *,
        watcher: Watcher | None = None,
        talks: bool = True,
        gdb: bool = False,
    ) -> Guest:
        """See `Guest.start`. Raises `QemuFailed`, `MachineError`."""
        return await Guest.start(
            self.path,
            machine,
            load,
            sink,
            watcher=watcher,
            talks=talks,
            sandbox=self.sandbox,
            gdb=gdb,
        )
