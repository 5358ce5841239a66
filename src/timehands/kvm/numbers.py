"""The numbers of KVM's interface on x86: ioctls, capabilities, exit reasons, flags.

Source: Linux include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h; the tests compare each
number with the compiler's. Names are the kernel's without their prefix. Layouts are in ``structs``,
words in ``descriptions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from pathlib import Path
from types import MappingProxyType

KVM_DEVICE = Path("/dev/kvm")
#: The only version that there has ever been since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
KVM_API_VERSION = 12
PAGE_SIZE = 4096
#: What KVM_SET_CPUID2 takes at most (arch/x86/include/asm/kvm_host.h, KVM_MAX_CPUID_ENTRIES).
MAX_CPUID_ENTRIES = 256
#: What KVM_GET_MSRS and KVM_SET_MSRS take at most (arch/x86/kvm/x86.c, MAX_IO_MSRS).
MAX_MSR_ENTRIES = 256
MSR_FILTER_MAX_RANGES = 16
#: Of one range's bitmap, in bytes: 8 MSRs a byte.
MSR_FILTER_MAX_BITMAP_SIZE = 0x600
#: How far, in parts per million, a TSC rate may be from the host's without scaling
#: (arch/x86/kvm/x86.c, module parameter tsc_tolerance_ppm).
TSC_TOLERANCE_PPM = 250

_KVMIO = 0xAE
_WRITE, _READ = 1, 2


def _io(number: int, size: int = 0, direction: int = 0) -> int:
    """As _IO, _IOW, _IOR and _IOWR make it (include/uapi/asm-generic/ioctl.h)."""
    return direction << 30 | size << 16 | _KVMIO << 8 | number


def _iow(number: int, size: int) -> int:
    return _io(number, size, _WRITE)


def _ior(number: int, size: int) -> int:
    return _io(number, size, _READ)


def _iowr(number: int, size: int) -> int:
    return _io(number, size, _READ | _WRITE)


class Request(IntEnum):
    """The ioctls, without ``KVM_``. The second number is the size of the structure, in bytes."""

    # of /dev/kvm
    GET_API_VERSION = _io(0x00)
    CREATE_VM = _io(0x01)
    GET_MSR_INDEX_LIST = _iowr(0x02, 4)
    CHECK_EXTENSION = _io(0x03)
    GET_VCPU_MMAP_SIZE = _io(0x04)
    GET_SUPPORTED_CPUID = _iowr(0x05, 8)
    # of a machine
    CREATE_VCPU = _io(0x41)
    SET_USER_MEMORY_REGION = _iow(0x46, 32)
    SET_TSS_ADDR = _io(0x47)
    SET_IDENTITY_MAP_ADDR = _iow(0x48, 8)
    CREATE_IRQCHIP = _io(0x60)
    IRQ_LINE = _iow(0x61, 8)
    GET_IRQCHIP = _iowr(0x62, 520)
    SET_IRQCHIP = _ior(0x63, 520)
    SET_GSI_ROUTING = _iow(0x6A, 8)
    CREATE_PIT2 = _iow(0x77, 64)
    SET_CLOCK = _iow(0x7B, 48)
    GET_CLOCK = _ior(0x7C, 48)
    GET_PIT2 = _ior(0x9F, 112)
    SET_PIT2 = _iow(0xA0, 112)
    SIGNAL_MSI = _iow(0xA5, 32)
    X86_SET_MSR_FILTER = _iow(0xC6, 392)
    # of a vCPU
    RUN = _io(0x80)
    GET_REGS = _ior(0x81, 144)
    SET_REGS = _iow(0x82, 144)
    GET_SREGS = _ior(0x83, 312)
    SET_SREGS = _iow(0x84, 312)
    TRANSLATE = _iowr(0x85, 24)
    INTERRUPT = _iow(0x86, 4)
    GET_MSRS = _iowr(0x88, 8)
    SET_MSRS = _iow(0x89, 8)
    SET_SIGNAL_MASK = _iow(0x8B, 4)
    GET_FPU = _ior(0x8C, 416)
    SET_FPU = _iow(0x8D, 416)
    GET_LAPIC = _ior(0x8E, 1024)
    SET_LAPIC = _iow(0x8F, 1024)
    SET_CPUID2 = _iow(0x90, 8)
    GET_CPUID2 = _iowr(0x91, 8)
    GET_MP_STATE = _ior(0x98, 4)
    SET_MP_STATE = _iow(0x99, 4)
    NMI = _io(0x9A)
    SET_GUEST_DEBUG = _iow(0x9B, 72)
    GET_VCPU_EVENTS = _ior(0x9F, 64)
    SET_VCPU_EVENTS = _iow(0xA0, 64)
    GET_DEBUGREGS = _ior(0xA1, 128)
    SET_DEBUGREGS = _iow(0xA2, 128)
    GET_XSAVE = _ior(0xA4, 4096)
    SET_XSAVE = _iow(0xA5, 4096)
    GET_XCRS = _ior(0xA6, 392)
    SET_XCRS = _iow(0xA7, 392)
    KVMCLOCK_CTRL = _io(0xAD)
    # of a machine and of a vCPU
    SET_TSC_KHZ = _io(0xA2)
    GET_TSC_KHZ = _io(0xA3)
    ENABLE_CAP = _iow(0xA3, 104)
    SET_DEVICE_ATTR = _iow(0xE1, 24)
    GET_DEVICE_ATTR = _iow(0xE2, 24)
    HAS_DEVICE_ATTR = _iow(0xE3, 24)


class Capability(IntEnum):
    """What KVM_CHECK_EXTENSION can be asked for, without ``KVM_CAP_``. 0 means absent; what
    another answer means depends on the capability."""

    IRQCHIP = 0
    USER_MEMORY = 3
    SET_TSS_ADDR = 4
    EXT_CPUID = 7
    CLOCKSOURCE = 8
    NR_VCPUS = 9
    NR_MEMSLOTS = 10
    MP_STATE = 14
    USER_NMI = 22
    SET_GUEST_DEBUG = 23
    IRQ_ROUTING = 25
    PIT2 = 33
    PIT_STATE2 = 35
    SET_IDENTITY_MAP_ADDR = 37
    XEN_HVM = 38
    ADJUST_CLOCK = 39
    VCPU_EVENTS = 41
    HYPERV = 44
    DEBUGREGS = 50
    XSAVE = 55
    XCRS = 56
    TSC_CONTROL = 60
    GET_TSC_KHZ = 61
    MAX_VCPUS = 66
    TSC_DEADLINE_TIMER = 72
    SYNC_REGS = 74
    KVMCLOCK_CTRL = 76
    SIGNAL_MSI = 77
    READONLY_MEM = 81
    HYPERV_TIME = 96
    ENABLE_CAP_VM = 98
    CHECK_EXTENSION_VM = 105
    GUEST_DEBUG_HW_BPS = 119
    GUEST_DEBUG_HW_WPS = 120
    SPLIT_IRQCHIP = 121
    VCPU_ATTRIBUTES = 127
    IMMEDIATE_EXIT = 136
    X86_DISABLE_EXITS = 143
    GET_MSR_FEATURES = 153
    X86_USER_SPACE_MSR = 188
    X86_MSR_FILTER = 189
    ENFORCE_PV_FEATURE_CPUID = 190
    SET_GUEST_DEBUG2 = 195
    XSAVE2 = 208
    VM_TSC_CONTROL = 214
    X86_TRIPLE_FAULT_EVENT = 218
    X86_APIC_BUS_CYCLES_NS = 237


_CLOCK_WORK = (
    Capability.IRQCHIP,
    Capability.NR_VCPUS,
    Capability.SET_GUEST_DEBUG,
    Capability.PIT2,
    Capability.PIT_STATE2,
    Capability.XEN_HVM,
    Capability.ADJUST_CLOCK,
    Capability.HYPERV,
    Capability.TSC_CONTROL,
    Capability.GET_TSC_KHZ,
    Capability.MAX_VCPUS,
    Capability.TSC_DEADLINE_TIMER,
    Capability.KVMCLOCK_CTRL,
    Capability.HYPERV_TIME,
    Capability.GUEST_DEBUG_HW_BPS,
    Capability.GUEST_DEBUG_HW_WPS,
    Capability.SPLIT_IRQCHIP,
    Capability.IMMEDIATE_EXIT,
    Capability.GET_MSR_FEATURES,
    Capability.X86_USER_SPACE_MSR,
    Capability.X86_MSR_FILTER,
    Capability.ENFORCE_PV_FEATURE_CPUID,
    Capability.SET_GUEST_DEBUG2,
    Capability.VM_TSC_CONTROL,
    Capability.X86_TRIPLE_FAULT_EVENT,
    Capability.X86_APIC_BUS_CYCLES_NS,
)
#: The capabilities that clock work rests on, by the kernel's name.
KVM_CAPABILITIES: Mapping[str, int] = MappingProxyType(
    {f"KVM_CAP_{capability.name}": capability.value for capability in _CLOCK_WORK}
)


class ExitReason(IntEnum):
    """Why KVM_RUN came back (``kvm_run.exit_reason``), without ``KVM_EXIT_``."""

    UNKNOWN = 0
    EXCEPTION = 1
    IO = 2
    HYPERCALL = 3
    DEBUG = 4
    HLT = 5
    MMIO = 6
    IRQ_WINDOW_OPEN = 7
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    SET_TPR = 11
    TPR_ACCESS = 12
    NMI = 16
    INTERNAL_ERROR = 17
    WATCHDOG = 21
    SYSTEM_EVENT = 24
    IOAPIC_EOI = 26
    HYPERV = 27
    X86_RDMSR = 29
    X86_WRMSR = 30
    DIRTY_RING_FULL = 31
    X86_BUS_LOCK = 33
    XEN = 34
    NOTIFY = 37
    MEMORY_FAULT = 39


class InternalErrorKind(IntEnum):
    """``kvm_run.internal.suberror``, without ``KVM_INTERNAL_ERROR_``."""

    EMULATION = 1
    SIMUL_EX = 2
    DELIVERY_EV = 3
    UNEXPECTED_EXIT_REASON = 4


class SystemEventKind(IntEnum):
    """``kvm_run.system_event.type``, without ``KVM_SYSTEM_EVENT_``."""

    SHUTDOWN = 1
    RESET = 2
    CRASH = 3
    WAKEUP = 4
    SUSPEND = 5
    SEV_TERM = 6


class MpState(IntEnum):
    """What a vCPU waits for, without ``KVM_MP_STATE_``."""

    RUNNABLE = 0
    UNINITIALIZED = 1
    INIT_RECEIVED = 2
    HALTED = 3
    SIPI_RECEIVED = 4


class IrqChip(IntEnum):
    """The interrupt chips in the kernel, without ``KVM_IRQCHIP_``."""

    PIC_MASTER = 0
    PIC_SLAVE = 1
    IOAPIC = 2


class ClockFlags(IntFlag):
    """Of KVM_GET_CLOCK and KVM_SET_CLOCK, without ``KVM_CLOCK_``."""

    TSC_STABLE = 2
    REALTIME = 4
    HOST_TSC = 8


class MemoryFlags(IntFlag):
    """Of a memory slot, without ``KVM_MEM_``."""

    NONE = 0
    LOG_DIRTY_PAGES = 1
    READONLY = 2


class MsrReason(IntFlag):
    """Which MSR accesses come to user space, and why one did; without
    ``KVM_MSR_EXIT_REASON_``."""

    INVAL = 1
    """The guest did what the MSR does not allow."""
    UNKNOWN = 2
    """KVM does not know the MSR."""
    FILTER = 4
    """The filter denied it."""


class MsrFilterFlags(IntFlag):
    """Of a range of the MSR filter, without ``KVM_MSR_FILTER_``."""

    READ = 1
    WRITE = 2


class GuestDebug(IntFlag):
    """Of KVM_SET_GUEST_DEBUG, without ``KVM_GUESTDBG_``."""

    ENABLE = 0x1
    SINGLESTEP = 0x2
    USE_SW_BP = 0x10000
    USE_HW_BP = 0x20000
    INJECT_DB = 0x40000
    INJECT_BP = 0x80000
    BLOCKIRQ = 0x100000


class CpuidFlags(IntFlag):
    """Of an answer of CPUID, without ``KVM_CPUID_FLAG_`` (and spelled right)."""

    SIGNIFICANT_INDEX = 1


class VcpuEventFlags(IntFlag):
    """Which parts of the pending events are set, without ``KVM_VCPUEVENT_VALID_``."""

    NMI_PENDING = 0x1
    SIPI_VECTOR = 0x2
    SHADOW = 0x4
    SMM = 0x8
    PAYLOAD = 0x10
    TRIPLE_FAULT = 0x20


#: The vCPU's attribute of its TSC offset: group KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET.
TSC_OFFSET_ATTRIBUTE = (0, 0)
#: ``flags`` of KVM_CREATE_PIT2: port 0x61 is KVM's too (KVM_PIT_SPEAKER_DUMMY).
PIT_SPEAKER_DUMMY = 1
#: ``type`` of a route to a chip in the kernel (KVM_IRQ_ROUTING_IRQCHIP), and by message (.._MSI).
ROUTE_IRQCHIP, ROUTE_MSI = 1, 2
IO_IN, IO_OUT = 0, 1
