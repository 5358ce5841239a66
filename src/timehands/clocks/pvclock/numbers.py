"""The numbers of pvclock: flags, MSRs, CPUID feature bits, sizes and offsets.

Sources: Linux arch/x86/include/asm/pvclock-abi.h, arch/x86/include/uapi/asm/kvm_para.h,
Documentation/virt/kvm/x86/msr.rst and cpuid.rst; Xen public/xen.h. What people read is in
`timehands.clocks.pvclock.describe`.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from timehands.clocks.cpuid.numbers import KvmFeature
from timehands.clocks.msr import ClockMsr

NS_PER_S = 1_000_000_000
#: Arithmetic of the clock is that of u64; multipliers are u32.
MASK_32 = (1 << 32) - 1
MASK_64 = (1 << 64) - 1


class Flags(IntFlag):
    """Byte 29 of the time information (u8)."""

    #: PVCLOCK_TSC_STABLE_BIT: the pages of all vCPUs are of one clock. To be believed only when
    #: CPUID offers `STABLE_FEATURE`.
    TSC_STABLE = 1 << 0
    #: PVCLOCK_GUEST_STOPPED: the guest was paused. It stays until the guest clears it.
    GUEST_STOPPED = 1 << 1
    #: PVCLOCK_COUNTS_FROM_ZERO: defined, and used by nobody.
    COUNTS_FROM_ZERO = 1 << 2


#: The bits of the byte that nobody defined.
UNKNOWN_FLAGS = 0xFF & ~int(Flags.TSC_STABLE | Flags.GUEST_STOPPED | Flags.COUNTS_FROM_ZERO)

#: A guest writes an address to these; the new ones are preferred where both are offered.
SYSTEM_TIME_MSRS = (ClockMsr.KVM_SYSTEM_TIME, ClockMsr.KVM_SYSTEM_TIME_OLD)
WALL_CLOCK_MSRS = (ClockMsr.KVM_WALL_CLOCK, ClockMsr.KVM_WALL_CLOCK_OLD)

#: KVM's leaf base + 1, EAX: the old MSRs, the new MSRs, and that `Flags.TSC_STABLE` has a meaning.
OLD_MSRS_FEATURE = KvmFeature.CLOCKSOURCE
NEW_MSRS_FEATURE = KvmFeature.CLOCKSOURCE2
STABLE_FEATURE = KvmFeature.CLOCKSOURCE_STABLE

#: Bit 0 of the system time MSR. Its address is at least 4-byte aligned (msr.rst).
SYSTEM_TIME_ENABLE = 1
SYSTEM_TIME_ALIGNMENT = 4
#: With this alignment the record is within one cache line, hence within one page.
TIME_INFO_ALIGNMENT = 32

#: struct pvclock_vcpu_time_info and struct pvclock_wall_clock in bytes.
TIME_INFO_SIZE = 32
WALL_CLOCK_SIZE = 12


class TimeInfoOffset(IntEnum):
    """Where the fields of struct pvclock_vcpu_time_info are, in bytes."""

    VERSION = 0
    PAD0 = 4
    TSC_TIMESTAMP = 8
    SYSTEM_TIME = 16
    TSC_TO_SYSTEM_MUL = 24
    TSC_SHIFT = 28
    FLAGS = 29
    PAD = 30


class WallClockOffset(IntEnum):
    """Where the fields of struct pvclock_wall_clock are, in bytes."""

    VERSION = 0
    SEC = 4
    NSEC = 8
