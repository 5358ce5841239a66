"""The page that KVM shares with user space for each vCPU: ``struct kvm_run``, as far as x86 has it.

Source: Linux include/uapi/linux/kvm.h. The fields that user space sets are
``request_interrupt_window``, ``immediate_exit``, ``cr8``, ``kvm_valid_regs``, and the answers in
the exit's part.
"""

from __future__ import annotations

from ctypes import Union, c_uint8, c_uint16, c_uint32, c_uint64
from typing import ClassVar

from timehands.kvm.structs import Layout, Regs, Sregs, VcpuEvents, _Fields

#: KVM_SYNC_X86_REGS: the general registers, in ``kvm_valid_regs``.
SHARED_REGS = 1


class FailEntry(Layout):
    """KVM_EXIT_FAIL_ENTRY."""

    _fields_: ClassVar[_Fields] = [("hardware_entry_failure_reason", c_uint64), ("cpu", c_uint32)]


class Hardware(Layout):
    """KVM_EXIT_UNKNOWN."""

    _fields_: ClassVar[_Fields] = [("hardware_exit_reason", c_uint64)]


class Io(Layout):
    """KVM_EXIT_IO. The data are at ``data_offset`` from the page's start: count times size."""

    _fields_: ClassVar[_Fields] = [
        ("direction", c_uint8),
        ("size", c_uint8),
        ("port", c_uint16),
        ("count", c_uint32),
        ("data_offset", c_uint64),
    ]


class DebugExitArch(Layout):
    """Where, and why, as the debug registers tell it."""

    _fields_: ClassVar[_Fields] = [
        ("exception", c_uint32),
        ("pad", c_uint32),
        *((name, c_uint64) for name in ("pc", "dr6", "dr7")),
    ]


class DebugExit(Layout):
    """KVM_EXIT_DEBUG."""

    _fields_: ClassVar[_Fields] = [("arch", DebugExitArch)]


class Mmio(Layout):
    """KVM_EXIT_MMIO."""

    _fields_: ClassVar[_Fields] = [
        ("phys_addr", c_uint64),
        ("data", c_uint8 * 8),
        ("len", c_uint32),
        ("is_write", c_uint8),
    ]


class Hypercall(Layout):
    """KVM_EXIT_HYPERCALL. In newer headers ``longmode`` shares its place with 64 flags."""

    _fields_: ClassVar[_Fields] = [
        ("nr", c_uint64),
        ("args", c_uint64 * 6),
        ("ret", c_uint64),
        ("longmode", c_uint32),
    ]


class Internal(Layout):
    """KVM_EXIT_INTERNAL_ERROR."""

    _fields_: ClassVar[_Fields] = [
        ("suberror", c_uint32),
        ("ndata", c_uint32),
        ("data", c_uint64 * 16),
    ]


class SystemEvent(Layout):
    """KVM_EXIT_SYSTEM_EVENT."""

    _fields_: ClassVar[_Fields] = [("type", c_uint32), ("ndata", c_uint32), ("data", c_uint64 * 16)]


class Eoi(Layout):
    """KVM_EXIT_IOAPIC_EOI."""

    _fields_: ClassVar[_Fields] = [("vector", c_uint8)]


class Msr(Layout):
    """KVM_EXIT_X86_RDMSR and KVM_EXIT_X86_WRMSR."""

    _fields_: ClassVar[_Fields] = [
        ("error", c_uint8),
        ("pad", c_uint8 * 7),
        ("reason", c_uint32),
        ("index", c_uint32),
        ("data", c_uint64),
    ]


class _Exit(Union):
    _fields_: ClassVar[_Fields] = [
        ("hw", Hardware),
        ("fail_entry", FailEntry),
        ("io", Io),
        ("debug", DebugExit),
        ("mmio", Mmio),
        ("hypercall", Hypercall),
        ("internal", Internal),
        ("system_event", SystemEvent),
        ("eoi", Eoi),
        ("msr", Msr),
        ("padding", c_uint8 * 256),
    ]


class SyncRegs(Layout):
    """``struct kvm_sync_regs``: what can be shared in the page. Only ``regs`` is asked for here."""

    _fields_: ClassVar[_Fields] = [("regs", Regs), ("sregs", Sregs), ("events", VcpuEvents)]


class _Shared(Union):
    _fields_: ClassVar[_Fields] = [("regs", SyncRegs), ("padding", c_uint8 * 2048)]


class Run(Layout):
    """``struct kvm_run``.

    KVM writes into ``s`` at each exit what ``kvm_valid_regs`` says (KVM_CAP_SYNC_REGS).
    """

    _anonymous_ = ("exit",)
    _fields_: ClassVar[_Fields] = [
        ("request_interrupt_window", c_uint8),
        ("immediate_exit", c_uint8),
        ("padding1", c_uint8 * 6),
        ("exit_reason", c_uint32),
        ("ready_for_interrupt_injection", c_uint8),
        ("if_flag", c_uint8),
        ("flags", c_uint16),
        ("cr8", c_uint64),
        ("apic_base", c_uint64),
        ("exit", _Exit),
        ("kvm_valid_regs", c_uint64),
        ("kvm_dirty_regs", c_uint64),
        ("s", _Shared),
    ]
