"""Why a vCPU came back, as plain values.

`PortIn`, `MmioRead`, `MsrRead`, `MsrWrite` and `Hypercall` want an answer before the vCPU runs on:
see `timehands.kvm.vcpu.Vcpu.answer`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from mmap import mmap

from timehands.kvm.descriptions import EXIT_WORDS, INTERNAL_ERROR_WORDS
from timehands.kvm.numbers import IO_OUT, ExitReason, MsrReason
from timehands.kvm.run_struct import Run

IO = int(ExitReason.IO)


@dataclass(frozen=True, slots=True)
class PortOut:
    """The guest wrote ``data`` to a port: several units of ``size`` bytes for a string."""

    port: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PortIn:
    """The guest reads ``count`` units of ``size`` bytes from a port."""

    port: int
    size: int
    count: int


@dataclass(frozen=True, slots=True)
class MmioWrite:
    """The guest wrote 1 to 8 bytes where no memory is."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MmioRead:
    """The guest reads 1 to 8 bytes where no memory is."""

    address: int
    size: int


@dataclass(frozen=True, slots=True)
class MsrRead:
    """The guest reads an MSR that was handed over to us."""

    index: int
    reason: MsrReason


@dataclass(frozen=True, slots=True)
class MsrWrite:
    """The guest writes an MSR that was handed over to us."""

    index: int
    value: int
    reason: MsrReason


@dataclass(frozen=True, slots=True)
class Hypercall:
    """The guest called; six arguments, of which it may have meant fewer."""

    number: int
    arguments: tuple[int, ...]
    long_mode: bool


@dataclass(frozen=True, slots=True)
class Halt:
    """The guest executed HLT (only without a LAPIC in the kernel, which waits by itself)."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A triple fault, or another shutdown."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A signal or `Vcpu.interrupt` took the vCPU out of the guest. It can run on."""


@dataclass(frozen=True, slots=True)
class InterruptWindow:
    """An interrupt could be injected now; asked for by ``request_interrupt_window``."""


@dataclass(frozen=True, slots=True)
class Debugged:
    """A breakpoint, a watchpoint, or a single step: exception 1 or 3, and the debug registers."""

    exception: int
    pc: int
    dr6: int
    dr7: int


@dataclass(frozen=True, slots=True)
class IoapicEoi:
    """The guest acknowledged an interrupt of an IOAPIC that is ours."""

    vector: int


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """The guest asks for shutdown or reset; ``numbers.SystemEventKind``."""

    kind: int
    data: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EntryFailed:
    """The processor refused to enter the guest: its state is not valid. ``reason`` is its own."""

    reason: int
    cpu: int

    def __str__(self) -> str:
        return f"the processor refused to enter the guest (its reason: {self.reason:#x})"


@dataclass(frozen=True, slots=True)
class InternalError:
    """KVM cannot go on. ``kind`` is ``numbers.InternalErrorKind``; ``data`` depends on it."""

    kind: int
    data: tuple[int, ...]

    def __str__(self) -> str:
        words = INTERNAL_ERROR_WORDS.get(self.kind, f"internal error {self.kind}")
        return f"KVM cannot go on: {words} [{' '.join(f'{each:#x}' for each in self.data)}]"


@dataclass(frozen=True, slots=True)
class OtherExit:
    """An exit that has no class here. ``raw`` are its first 32 bytes."""

    reason: int
    raw: bytes

    def __str__(self) -> str:
        return EXIT_WORDS.get(self.reason, f"exit reason {self.reason}")


Exit = (
    PortOut | PortIn | MmioWrite | MmioRead | MsrRead | MsrWrite | Hypercall | Halt | Shutdown
    | Interrupted | InterruptWindow | Debugged | IoapicEoi | SystemEvent | EntryFailed
    | InternalError | OtherExit
)  # fmt: skip


#: An access to ports as `run_struct.Io` has it: direction, size, port, count, place of the data.
_IO = struct.Struct("<BBHIQ")
_IO_AT = Run.io.offset
#: Guests make the same accesses over and over, and exits are values: the same ones are kept, since
#: making one takes longer than all else that is done here.
_KEPT, _KEPT_BYTES = 4096, 8


def decode(run: Run, page: mmap) -> Exit:
    """The exit that the shared page tells of. ``run`` is what it begins with."""
    reason = run.exit_reason
    if reason == IO:
        return port_access(page)
    decoder = _DECODERS.get(reason)
    return decoder(run) if decoder else OtherExit(reason, bytes(run.padding)[:32])


def port_access(page: mmap) -> PortIn | PortOut:
    """The access to ports that the page tells of. Raises `ValueError` for data that are not in it.

    By far the most frequent exit: read without ctypes.
    """
    direction, size, port, count, start = _IO.unpack_from(page, _IO_AT)
    end = start + size * count
    if end > len(page):
        raise _outside(start)
    if direction != IO_OUT:
        return _port_in(port, size, count)
    data = page[start:end]
    return _port_out(port, size, data) if len(data) <= _KEPT_BYTES else PortOut(port, size, data)


def wanted_data(page: mmap) -> tuple[slice, int, int]:
    """Where `PortIn` wants its data in the page, the size of a unit, and how many.

    Raises `ValueError` when it is no such access.
    """
    direction, size, _port, count, start = _IO.unpack_from(page, _IO_AT)
    end = start + size * count
    if end > len(page):
        raise _outside(start)
    if direction == IO_OUT:
        raise ValueError("a write to a port wants no answer")
    return slice(start, end), size, count


def _outside(start: int) -> ValueError:
    return ValueError(f"KVM says that data lie at {start:#x}, outside of its page")


_port_out = lru_cache(_KEPT)(PortOut)
_port_in = lru_cache(_KEPT)(PortIn)


def _mmio(run: Run) -> Exit:
    mmio = run.mmio
    size = min(mmio.len, 8)
    if mmio.is_write:
        return MmioWrite(mmio.phys_addr, bytes(mmio.data)[:size])
    return MmioRead(mmio.phys_addr, size)


def _msr_read(run: Run) -> Exit:
    return MsrRead(run.msr.index, MsrReason(run.msr.reason))


def _msr_write(run: Run) -> Exit:
    return MsrWrite(run.msr.index, run.msr.data, MsrReason(run.msr.reason))


def _hypercall(run: Run) -> Exit:
    call = run.hypercall
    return Hypercall(call.nr, tuple(call.args), bool(call.longmode))


def _debug(run: Run) -> Exit:
    debug = run.debug.arch
    return Debugged(debug.exception, debug.pc, debug.dr6, debug.dr7)


def _system_event(run: Run) -> Exit:
    event = run.system_event
    return SystemEvent(event.type, tuple(event.data[: min(event.ndata, 16)]))


def _internal_error(run: Run) -> Exit:
    error = run.internal
    return InternalError(error.suberror, tuple(error.data[: min(error.ndata, 16)]))


def _entry_failed(run: Run) -> Exit:
    return EntryFailed(run.fail_entry.hardware_entry_failure_reason, run.fail_entry.cpu)


_DECODERS: Mapping[int, Callable[[Run], Exit]] = {
    ExitReason.MMIO: _mmio,
    ExitReason.X86_RDMSR: _msr_read,
    ExitReason.X86_WRMSR: _msr_write,
    ExitReason.HYPERCALL: _hypercall,
    ExitReason.HLT: lambda _run: Halt(),
    ExitReason.SHUTDOWN: lambda _run: Shutdown(),
    ExitReason.INTR: lambda _run: Interrupted(),
    ExitReason.IRQ_WINDOW_OPEN: lambda _run: InterruptWindow(),
    ExitReason.DEBUG: _debug,
    ExitReason.IOAPIC_EOI: lambda run: IoapicEoi(run.eoi.vector),
    ExitReason.SYSTEM_EVENT: _system_event,
    ExitReason.FAIL_ENTRY: _entry_failed,
    ExitReason.INTERNAL_ERROR: _internal_error,
}
