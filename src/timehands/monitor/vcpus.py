"""The threads that run the vCPUs: enter, come out, hand over what the guest wants, enter again.

All vCPUs stop at the `Gate` while the guest is paused, outside of KVM_RUN, so that their state can
be read and written. None stops with an access half done: KVM finishes an access when it is entered
again (Documentation/virt/kvm/api.rst, struct kvm_run), so a vCPU goes in once more and comes out at
once, as it was asked to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from timehands.errors import KvmRefused
from timehands.kvm.exits import (
    EntryFailed,
    Exit,
    InternalError,
    Interrupted,
    IoapicEoi,
    MmioRead,
    MmioWrite,
    MsrRead,
    MsrWrite,
    OtherExit,
    PortIn,
    PortOut,
    Shutdown,
    SystemEvent,
)
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.bus import Bus
from timehands.monitor.chips import SplitChips
from timehands.monitor.devices.signals import Ending
from timehands.monitor.gate import Gate
from timehands.monitor.whereabouts import whereabouts

#: KVM_SYSTEM_EVENT_SHUTDOWN, _RESET, _CRASH.
_SYSTEM_ENDINGS = {1: "guest-shutdown", 2: "guest-reset", 3: "guest-panic"}


class Observer(Protocol):
    """Is told of the accesses that come out. Called from the threads of the vCPUs."""

    def accessed(self, vcpu: int, exit: Exit, value: int, pc: int, host_ns: int) -> None:
        """An access to a port, to memory that is none, or to an MSR, with what it gave or took."""


class MsrHandler(Protocol):
    """Answers MSRs that are handed over."""

    def write_msr(self, vcpu: int, msr: int, value: int) -> bool:
        """False: the guest gets a fault."""

    def read_msr(self, vcpu: int, msr: int) -> int:
        """The value."""

    def before_entry(self, vcpu: int) -> None:
        """The vCPU is about to enter the guest."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a vCPU finds around it. ``ended`` is told when it ended the guest. ``chips``: those that
    are ours."""

    gate: Gate
    ports: Bus
    addresses: Bus
    ended: Callable[[Ending], None]
    msrs: MsrHandler | None = None
    observer: Observer | None = None
    chips: SplitChips | None = None


class VcpuThread(threading.Thread):
    """Runs one vCPU until the gate closes.

    Attributes:
        counts: how often it came out, by the class of the exit.
        handlers: what is done about an exit, by its class; one that is not there is passed over.
        handling: the exit that is being handled now, None else.
        cpu_ns: the CPU time that the thread used, when it has ended; None before.
    """

    def __init__(self, vcpu: Vcpu, around: Around) -> None:
        super().__init__(name=f"vcpu{vcpu.number}", daemon=True)
        self.vcpu = vcpu
        if around.observer is not None:
            vcpu.share_registers()
        self.counts: dict[type[Exit], int] = {}
        self.handling: Exit | None = None
        self.cpu_ns: int | None = None
        self._gate, self._ports, self._addresses = around.gate, around.ports, around.addresses
        self._msrs, self._observer, self._ended = around.msrs, around.observer, around.ended
        self._chips = around.chips
        self.handlers: dict[type, Callable[[Any], None]] = {
            PortOut: self._port_out,
            PortIn: self._port_in,
            MmioWrite: self._mmio_write,
            MmioRead: self._mmio_read,
            MsrWrite: self._msr_write,
            MsrRead: self._msr_read,
            Shutdown: self._triple_fault,
            SystemEvent: self._system_event,
            IoapicEoi: self._ioapic_eoi,
            InternalError: self._broken,
            EntryFailed: self._broken,
            OtherExit: self._broken,
        }

    @property
    def exits(self) -> int:
        """How often it came out of the guest."""
        return sum(self.counts.copy().values())

    def run(self) -> None:
        """The thread's work. Whatever goes wrong ends the guest."""
        try:
            while self._gate.pass_through(self.vcpu.number):
                try:
                    self._until_told_to_stop()
                finally:
                    self._gate.leave(self.vcpu.number)
        except Exception as error:  # the console and the observer are not ours
            self._ended(Ending("lost", words=self._failed(error), cause=error))
        finally:
            self.cpu_ns = time.thread_time_ns()

    def _until_told_to_stop(self) -> None:
        vcpu, msrs, chips, handlers, counts, gate = (
            self.vcpu, self._msrs, self._chips, self.handlers, self.counts, self._gate
        )  # fmt: skip
        may_stop = True
        while True:
            if msrs is not None:
                msrs.before_entry(vcpu.number)
            if chips is not None:
                chips.before_entry(vcpu)
            exit = vcpu.run()
            if chips is not None:
                may_stop = chips.came_out(vcpu)
            kind = type(exit)
            counts[kind] = counts.get(kind, 0) + 1
            handler = handlers.get(kind)
            if handler is not None:
                self.handling = exit
                handler(exit)
                self.handling = None
            elif kind is Interrupted and not gate.open and (may_stop or gate.closing):
                return

    def _failed(self, error: Exception) -> str:
        if isinstance(error, KvmRefused):
            return str(error)
        where = f" when it handled {self.handling}" if self.handling else ""
        return f"{self.vcpu.name}: {type(error).__name__}{where}: {error}"

    def _tell(self, exit: Exit, value: int) -> None:
        if self._observer is not None:
            now_ns = time.monotonic_ns()
            self._observer.accessed(self.vcpu.number, exit, value, self.vcpu.pc(), now_ns)

    def _port_out(self, exit: PortOut) -> None:
        port, size, data = exit.port, exit.size, exit.data
        for at in range(0, len(data), size):
            value = int.from_bytes(data[at : at + size], "little")
            if self._observer is not None:
                self._tell(exit, value)
            self._ports.write(port, size, value)

    def _port_in(self, exit: PortIn) -> None:
        port, size = exit.port, exit.size
        if exit.count == 1:
            value = self._ports.read(port, size)
            self.vcpu.answer(value)
        else:
            values = [self._ports.read(port, size) for _ in range(exit.count)]
            self.vcpu.answer(b"".join(each.to_bytes(size, "little") for each in values))
            value = values[-1] if values else 0
        self._tell(exit, value)

    def _mmio_write(self, exit: MmioWrite) -> None:
        value = int.from_bytes(exit.data, "little")
        self._tell(exit, value)
        self._addresses.write(exit.address, len(exit.data), value)

    def _mmio_read(self, exit: MmioRead) -> None:
        value = self._addresses.read(exit.address, exit.size)
        self.vcpu.answer(value)
        self._tell(exit, value)

    def _msr_write(self, exit: MsrWrite) -> None:
        if self._msrs and self._msrs.write_msr(self.vcpu.number, exit.index, exit.value):
            self.vcpu.answer(0)
        self._tell(exit, exit.value)

    def _msr_read(self, exit: MsrRead) -> None:
        value = self._msrs.read_msr(self.vcpu.number, exit.index) if self._msrs else 0
        self.vcpu.answer(value)
        self._tell(exit, value)

    def _triple_fault(self, _exit: Exit) -> None:
        self._ended(Ending("guest-reset", words=f"triple fault, or shutdown: {self._where()}"))

    def _system_event(self, exit: SystemEvent) -> None:
        self._ended(Ending(_SYSTEM_ENDINGS.get(exit.kind, "guest-shutdown")))

    def _ioapic_eoi(self, exit: IoapicEoi) -> None:
        if self._chips is not None:
            self._chips.ended(exit.vector)

    def _broken(self, exit: Exit) -> None:
        self._ended(Ending("lost", words=f"{exit}: {self._where()}"))

    def _where(self) -> str:
        try:
            return str(whereabouts(self.vcpu, self.vcpu.vm.memory))
        except KvmRefused as error:
            return f"{self.vcpu.name} does not say where it is ({error.message})"
