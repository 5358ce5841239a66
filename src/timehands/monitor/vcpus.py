"""The threads that run the vCPUs: enter, come out, hand over what the guest wants, enter again.

All vCPUs stop at the `Gate` while the guest is paused, outside of KVM_RUN, so that their state can
be read and written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from timehands.errors import KvmRefused
from timehands.kvm import exits
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.bus import Bus
from timehands.monitor.devices.signals import Ending

STOP_SECONDS = 10.0
#: KVM_SYSTEM_EVENT_SHUTDOWN, _RESET, _CRASH.
_SYSTEM_ENDINGS = {1: "guest-shutdown", 2: "guest-reset", 3: "guest-panic"}


class Observer(Protocol):
    """Is told of the accesses that come out. Called from the threads of the vCPUs."""

    def accessed(self, vcpu: int, exit: exits.Exit, value: int, pc: int, host_ns: int) -> None:
        """An access to a port, to memory that is none, or to an MSR, with what it gave or took."""


class MsrHandler(Protocol):
    """Answers MSRs that are handed over."""

    def write_msr(self, vcpu: int, msr: int, value: int) -> bool:
        """False: the guest gets a fault."""

    def read_msr(self, vcpu: int, msr: int) -> int:
        """The value."""

    def before_entry(self, vcpu: int) -> None:
        """The vCPU is about to enter the guest."""


class Gate:
    """Where vCPUs wait while the guest is paused."""

    def __init__(self, count: int) -> None:
        self._condition = threading.Condition()
        self._count = count
        self._inside = 0
        self.open = False
        self.closing = False

    def pass_through(self) -> bool:
        """Wait until it is open. False: the guest is to end."""
        with self._condition:
            while not self.open and not self.closing:
                self._condition.wait()
            self._inside += not self.closing
            return not self.closing

    def leave(self) -> None:
        """A vCPU came out of the guest."""
        with self._condition:
            self._inside -= 1
            self._condition.notify_all()

    def set_open(self, is_open: bool) -> None:
        """Let vCPUs through, or not."""
        with self._condition:
            self.open = is_open
            self._condition.notify_all()

    def close(self) -> None:
        """Let none through any more, and send those who wait home."""
        with self._condition:
            self.closing = True
            self._condition.notify_all()

    def wait_empty(self, interrupt: Callable[[], None]) -> bool:
        """Wait until no vCPU is in the guest; ``interrupt`` takes them out. False: one stays."""
        deadline = time.monotonic() + STOP_SECONDS
        with self._condition:
            while self._inside and time.monotonic() < deadline:
                interrupt()
                self._condition.wait(0.05)
            return not self._inside


@dataclass(frozen=True, slots=True)
class Around:
    """What a vCPU finds around it. ``ended`` is told when it ended the guest."""

    gate: Gate
    ports: Bus
    addresses: Bus
    ended: Callable[[Ending], None]
    msrs: MsrHandler | None = None
    observer: Observer | None = None


class VcpuThread(threading.Thread):
    """Runs one vCPU until the gate closes. ``exits`` counts how often it came out."""

    def __init__(self, vcpu: Vcpu, around: Around) -> None:
        super().__init__(name=f"vcpu{vcpu.number}", daemon=True)
        self.vcpu, self.exits = vcpu, 0
        self._gate, self._ports, self._addresses = around.gate, around.ports, around.addresses
        self._msrs, self._observer = around.msrs, around.observer
        self._ended = ended = around.ended
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            exits.PortOut: self._port_out,
            exits.PortIn: self._port_in,
            exits.MmioWrite: self._mmio_write,
            exits.MmioRead: self._mmio_read,
            exits.MsrWrite: self._msr_write,
            exits.MsrRead: self._msr_read,
            exits.Shutdown: lambda _exit: ended(Ending("guest-reset")),
            exits.SystemEvent: self._system_event,
            exits.InternalError: self._broken,
            exits.EntryFailed: self._broken,
            exits.OtherExit: self._broken,
        }

    def run(self) -> None:
        """The thread's work."""
        try:
            while self._gate.pass_through():
                try:
                    self._until_interrupted()
                finally:
                    self._gate.leave()
        except (KvmRefused, ValueError) as error:
            self._ended(Ending("lost", words=f"{self.vcpu.name}: {error}"))

    def _until_interrupted(self) -> None:
        vcpu, msrs, handlers, gate = self.vcpu, self._msrs, self._handlers, self._gate
        while gate.open and not gate.closing:
            if msrs is not None:
                msrs.before_entry(vcpu.number)
            exit = vcpu.run()
            self.exits += 1
            handler = handlers.get(type(exit))
            if handler is not None:
                handler(exit)

    def _tell(self, exit: exits.Exit, value: int) -> None:
        if self._observer is not None:
            pc = self.vcpu.regs().rip
            self._observer.accessed(self.vcpu.number, exit, value, pc, time.monotonic_ns())

    def _port_out(self, exit: exits.PortOut) -> None:
        for at in range(0, len(exit.data), exit.size):
            value = int.from_bytes(exit.data[at : at + exit.size], "little")
            self._tell(exit, value)
            self._ports.write(exit.port, exit.size, value)

    def _port_in(self, exit: exits.PortIn) -> None:
        values = [self._ports.read(exit.port, exit.size) for _ in range(exit.count)]
        self.vcpu.answer(b"".join(value.to_bytes(exit.size, "little") for value in values))
        self._tell(exit, values[-1] if values else 0)

    def _mmio_write(self, exit: exits.MmioWrite) -> None:
        value = int.from_bytes(exit.data, "little")
        self._tell(exit, value)
        self._addresses.write(exit.address, len(exit.data), value)

    def _mmio_read(self, exit: exits.MmioRead) -> None:
        value = self._addresses.read(exit.address, exit.size)
        self.vcpu.answer(value)
        self._tell(exit, value)

    def _msr_write(self, exit: exits.MsrWrite) -> None:
        if self._msrs and self._msrs.write_msr(self.vcpu.number, exit.index, exit.value):
            self.vcpu.answer(0)
        self._tell(exit, exit.value)

    def _msr_read(self, exit: exits.MsrRead) -> None:
        value = self._msrs.read_msr(self.vcpu.number, exit.index) if self._msrs else 0
        self.vcpu.answer(value)
        self._tell(exit, value)

    def _system_event(self, exit: exits.SystemEvent) -> None:
        self._ended(Ending(_SYSTEM_ENDINGS.get(exit.kind, "guest-shutdown")))

    def _broken(self, exit: exits.Exit) -> None:
        self._ended(Ending("lost", words=f"{self.vcpu.name}: {exit}"))
