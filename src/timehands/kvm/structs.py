"""The layouts of KVM's interface on x86-64, as ctypes structures.

Source: Linux include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h. Classes are named after
the kernel's structures without ``kvm_``; fields have the kernel's names. The tests compare size and
offset of each field with the compiler's. Numbers are little endian and unsigned unless said.
"""

from __future__ import annotations

from ctypes import (
    Array,
    Structure,
    Union,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
)
from typing import Any, ClassVar

_Fields = list[tuple[str, Any]]


class Layout(Structure):
    """A structure that prints its fields, and can be kept as bytes."""

    _fields_: ClassVar[_Fields] = []

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_show(getattr(self, name))}" for name, _ in self._fields_)
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(self) == bytes(other)

    __hash__ = None  # type: ignore[assignment]


def _show(value: object) -> str:
    if isinstance(value, int):
        return hex(value)
    return bytes(value).hex() if isinstance(value, Array) else repr(value)


class Regs(Layout):
    """General registers (KVM_GET_REGS)."""

    _fields_: ClassVar[_Fields] = [
        (name, c_uint64)
        for name in (
            "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp",
            "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags",
        )
    ]  # fmt: skip


class Segment(Layout):
    """A segment register with its hidden part. ``limit`` is in bytes, whatever ``g`` says."""

    _fields_: ClassVar[_Fields] = [
        ("base", c_uint64),
        ("limit", c_uint32),
        ("selector", c_uint16),
        *((name, c_uint8) for name in ("type", "present", "dpl", "db", "s", "l", "g", "avl")),
        ("unusable", c_uint8),
        ("padding", c_uint8),
    ]


class Dtable(Layout):
    """The GDT's or IDT's place."""

    _fields_: ClassVar[_Fields] = [
        ("base", c_uint64),
        ("limit", c_uint16),
        ("padding", c_uint16 * 3),
    ]


class Sregs(Layout):
    """Segments, tables and control registers (KVM_GET_SREGS)."""

    _fields_: ClassVar[_Fields] = [
        *((name, Segment) for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")),
        ("gdt", Dtable),
        ("idt", Dtable),
        *((name, c_uint64) for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")),
        ("interrupt_bitmap", c_uint64 * 4),
    ]


class Fpu(Layout):
    """x87 and SSE registers (KVM_GET_FPU)."""

    _fields_: ClassVar[_Fields] = [
        ("fpr", c_uint8 * 16 * 8),
        ("fcw", c_uint16),
        ("fsw", c_uint16),
        ("ftwx", c_uint8),
        ("pad1", c_uint8),
        ("last_opcode", c_uint16),
        ("last_ip", c_uint64),
        ("last_dp", c_uint64),
        ("xmm", c_uint8 * 16 * 16),
        ("mxcsr", c_uint32),
        ("pad2", c_uint32),
    ]


class Xsave(Layout):
    """The XSAVE area (KVM_GET_XSAVE), 4096 bytes."""

    _fields_: ClassVar[_Fields] = [("region", c_uint32 * 1024)]


class Xcr(Layout):
    """One extended control register."""

    _fields_: ClassVar[_Fields] = [("xcr", c_uint32), ("reserved", c_uint32), ("value", c_uint64)]


class Xcrs(Layout):
    """Extended control registers (KVM_GET_XCRS)."""

    _fields_: ClassVar[_Fields] = [
        ("nr_xcrs", c_uint32),
        ("flags", c_uint32),
        ("xcrs", Xcr * 16),
        ("padding", c_uint64 * 16),
    ]


class Debugregs(Layout):
    """Debug registers (KVM_GET_DEBUGREGS)."""

    _fields_: ClassVar[_Fields] = [
        ("db", c_uint64 * 4),
        ("dr6", c_uint64),
        ("dr7", c_uint64),
        ("flags", c_uint64),
        ("reserved", c_uint64 * 9),
    ]


class LapicState(Layout):
    """The LAPIC's registers (KVM_GET_LAPIC), each at its offset in the LAPIC's page."""

    _fields_: ClassVar[_Fields] = [("regs", c_uint8 * 1024)]


class MpStateLayout(Layout):
    """What a vCPU waits for (KVM_GET_MP_STATE); ``numbers.MpState``."""

    _fields_: ClassVar[_Fields] = [("mp_state", c_uint32)]


class ExceptionEvent(Layout):
    """The exception part of `VcpuEvents`."""

    _fields_: ClassVar[_Fields] = [
        *((name, c_uint8) for name in ("injected", "nr", "has_error_code", "pending")),
        ("error_code", c_uint32),
    ]


class InterruptEvent(Layout):
    """The interrupt part of `VcpuEvents`."""

    _fields_: ClassVar[_Fields] = [(name, c_uint8) for name in ("injected", "nr", "soft", "shadow")]


class NmiEvent(Layout):
    """The NMI part of `VcpuEvents`."""

    _fields_: ClassVar[_Fields] = [
        (name, c_uint8) for name in ("injected", "pending", "masked", "pad")
    ]


class SmiEvent(Layout):
    """The SMI part of `VcpuEvents`."""

    _fields_: ClassVar[_Fields] = [
        (name, c_uint8) for name in ("smm", "pending", "smm_inside_nmi", "latched_init")
    ]


class TripleFaultEvent(Layout):
    """The triple fault part of `VcpuEvents`."""

    _fields_: ClassVar[_Fields] = [("pending", c_uint8)]


class VcpuEvents(Layout):
    """Events that are pending or being delivered (KVM_GET_VCPU_EVENTS)."""

    _fields_: ClassVar[_Fields] = [
        ("exception", ExceptionEvent),
        ("interrupt", InterruptEvent),
        ("nmi", NmiEvent),
        ("sipi_vector", c_uint32),
        ("flags", c_uint32),
        ("smi", SmiEvent),
        ("triple_fault", TripleFaultEvent),
        ("reserved", c_uint8 * 26),
        ("exception_has_payload", c_uint8),
        ("exception_payload", c_uint64),
    ]


class GuestDebugArch(Layout):
    """DR0 to DR7 for `GuestDebugLayout`."""

    _fields_: ClassVar[_Fields] = [("debugreg", c_uint64 * 8)]


class GuestDebugLayout(Layout):
    """For KVM_SET_GUEST_DEBUG; ``control`` is ``numbers.GuestDebug``."""

    _fields_: ClassVar[_Fields] = [
        ("control", c_uint32),
        ("pad", c_uint32),
        ("arch", GuestDebugArch),
    ]


class Translation(Layout):
    """For KVM_TRANSLATE."""

    _fields_: ClassVar[_Fields] = [
        ("linear_address", c_uint64),
        ("physical_address", c_uint64),
        ("valid", c_uint8),
        ("writeable", c_uint8),
        ("usermode", c_uint8),
        ("pad", c_uint8 * 5),
    ]


class Interrupt(Layout):
    """For KVM_INTERRUPT: a vector, on machines without a LAPIC in the kernel."""

    _fields_: ClassVar[_Fields] = [("irq", c_uint32)]


class CpuidEntry2(Layout):
    """One answer of CPUID: ``function`` is the leaf, ``index`` the subleaf."""

    _fields_: ClassVar[_Fields] = [
        *((name, c_uint32) for name in ("function", "index", "flags")),
        *((name, c_uint32) for name in ("eax", "ebx", "ecx", "edx")),
        ("padding", c_uint32 * 3),
    ]


class Cpuid2(Layout):
    """The head of KVM_SET_CPUID2's argument; ``nent`` of `CpuidEntry2` follow."""

    _fields_: ClassVar[_Fields] = [("nent", c_uint32), ("padding", c_uint32)]


class MsrEntry(Layout):
    """One MSR and its value."""

    _fields_: ClassVar[_Fields] = [
        ("index", c_uint32),
        ("reserved", c_uint32),
        ("data", c_uint64),
    ]


class Msrs(Layout):
    """The head of KVM_SET_MSRS's argument; ``nmsrs`` of `MsrEntry` follow."""

    _fields_: ClassVar[_Fields] = [("nmsrs", c_uint32), ("pad", c_uint32)]


class MsrList(Layout):
    """The head of KVM_GET_MSR_INDEX_LIST's argument; ``nmsrs`` 32-bit numbers follow."""

    _fields_: ClassVar[_Fields] = [("nmsrs", c_uint32)]


class SignalMask(Layout):
    """The head of KVM_SET_SIGNAL_MASK's argument; ``len`` bytes follow."""

    _fields_: ClassVar[_Fields] = [("len", c_uint32)]


class UserspaceMemoryRegion(Layout):
    """A memory slot. Size 0 takes it away."""

    _fields_: ClassVar[_Fields] = [
        ("slot", c_uint32),
        ("flags", c_uint32),
        ("guest_phys_addr", c_uint64),
        ("memory_size", c_uint64),
        ("userspace_addr", c_uint64),
    ]


class ClockData(Layout):
    """kvmclock (KVM_GET_CLOCK): ``clock`` and ``realtime`` in ns; flags ``numbers.ClockFlags``."""

    _fields_: ClassVar[_Fields] = [
        ("clock", c_uint64),
        ("flags", c_uint32),
        ("pad0", c_uint32),
        ("realtime", c_uint64),
        ("host_tsc", c_uint64),
        ("pad", c_uint32 * 4),
    ]


class EnableCap(Layout):
    """For KVM_ENABLE_CAP."""

    _fields_: ClassVar[_Fields] = [
        ("cap", c_uint32),
        ("flags", c_uint32),
        ("args", c_uint64 * 4),
        ("pad", c_uint8 * 64),
    ]


class DeviceAttr(Layout):
    """For KVM_GET_DEVICE_ATTR and its like; ``addr`` is the value's address in our memory."""

    _fields_: ClassVar[_Fields] = [
        ("flags", c_uint32),
        ("group", c_uint32),
        ("attr", c_uint64),
        ("addr", c_uint64),
    ]


class MsrFilterRange(Layout):
    """A range of MSRs; ``bitmap`` is an address in our memory: bit 1 allows, 0 denies."""

    _fields_: ClassVar[_Fields] = [
        ("flags", c_uint32),
        ("nmsrs", c_uint32),
        ("base", c_uint32),
        ("bitmap", c_uint64),
    ]


class MsrFilter(Layout):
    """For KVM_X86_SET_MSR_FILTER."""

    _fields_: ClassVar[_Fields] = [("flags", c_uint32), ("ranges", MsrFilterRange * 16)]


class IrqLevel(Layout):
    """For KVM_IRQ_LINE."""

    _fields_: ClassVar[_Fields] = [("irq", c_uint32), ("level", c_uint32)]


class Msi(Layout):
    """For KVM_SIGNAL_MSI."""

    _fields_: ClassVar[_Fields] = [
        *((name, c_uint32) for name in ("address_lo", "address_hi", "data", "flags", "devid")),
        ("pad", c_uint8 * 12),
    ]


class IrqRoutingIrqchip(Layout):
    """Where a route to a chip in the kernel leads."""

    _fields_: ClassVar[_Fields] = [("irqchip", c_uint32), ("pin", c_uint32)]


class IrqRoutingMsi(Layout):
    """Where a route of messages leads."""

    _fields_: ClassVar[_Fields] = [
        (name, c_uint32) for name in ("address_lo", "address_hi", "data", "devid")
    ]


class _Route(Union):
    _fields_: ClassVar[_Fields] = [
        ("irqchip", IrqRoutingIrqchip),
        ("msi", IrqRoutingMsi),
        ("pad", c_uint32 * 8),
    ]


class IrqRoutingEntry(Layout):
    """One route; ``type`` is `numbers.ROUTE_IRQCHIP` or `numbers.ROUTE_MSI`."""

    _fields_: ClassVar[_Fields] = [
        *((name, c_uint32) for name in ("gsi", "type", "flags", "pad")),
        ("u", _Route),
    ]


class IrqRouting(Layout):
    """Before the routes (KVM_SET_GSI_ROUTING)."""

    _fields_: ClassVar[_Fields] = [("nr", c_uint32), ("flags", c_uint32)]


class PicState(Layout):
    """One 8259."""

    _fields_: ClassVar[_Fields] = [
        (name, c_uint8)
        for name in (
            "last_irr", "irr", "imr", "isr", "priority_add", "irq_base", "read_reg_select", "poll",
            "special_mask", "init_state", "auto_eoi", "rotate_on_auto_eoi",
            "special_fully_nested_mode", "init4", "elcr", "elcr_mask",
        )
    ]  # fmt: skip


class IoapicState(Layout):
    """The IOAPIC; ``redirtbl`` holds the 24 redirection entries as the chip has them."""

    _fields_: ClassVar[_Fields] = [
        ("base_address", c_uint64),
        *((name, c_uint32) for name in ("ioregsel", "id", "irr", "pad")),
        ("redirtbl", c_uint64 * 24),
    ]


class _Chip(Union):
    _fields_: ClassVar[_Fields] = [
        ("pic", PicState),
        ("ioapic", IoapicState),
        ("dummy", c_uint8 * 512),
    ]


class Irqchip(Layout):
    """An interrupt chip's state (KVM_GET_IRQCHIP); ``chip_id`` is ``numbers.IrqChip``."""

    _fields_: ClassVar[_Fields] = [("chip_id", c_uint32), ("pad", c_uint32), ("chip", _Chip)]


class PitConfig(Layout):
    """For KVM_CREATE_PIT2."""

    _fields_: ClassVar[_Fields] = [("flags", c_uint32), ("pad", c_uint32 * 15)]


class PitChannelState(Layout):
    """A channel of the i8254. ``count`` can be 65536; ``count_load_time`` is signed, ns."""

    _fields_: ClassVar[_Fields] = [
        ("count", c_uint32),
        ("latched_count", c_uint16),
        *(
            (name, c_uint8)
            for name in (
                "count_latched", "status_latched", "status", "read_state", "write_state",
                "write_latch", "rw_mode", "mode", "bcd", "gate",
            )
        ),
        ("count_load_time", c_int64),
    ]  # fmt: skip


class PitState2(Layout):
    """The i8254 (KVM_GET_PIT2)."""

    _fields_: ClassVar[_Fields] = [
        ("channels", PitChannelState * 3),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 9),
    ]
