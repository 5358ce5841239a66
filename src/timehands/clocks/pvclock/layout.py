"""The records of pvclock as values: bytes in, bytes out.

Sources: Linux arch/x86/include/asm/pvclock-abi.h (struct pvclock_vcpu_time_info, struct
pvclock_wall_clock); Xen public/xen.h (struct vcpu_time_info); msr.rst for the MSRs. All little
endian. Any bytes that are long enough are a record: whether it makes sense says
`timehands.clocks.pvclock.check`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from timehands.clocks.pvclock.numbers import (
    MASK_32,
    MASK_64,
    SYSTEM_TIME_ALIGNMENT,
    SYSTEM_TIME_ENABLE,
    TIME_INFO_SIZE,
    WALL_CLOCK_SIZE,
    Flags,
)
from timehands.clocks.pvclock.scale import Scale
from timehands.errors import RecordTooShort

_TIME_INFO = struct.Struct("<IIQQIbBH")
_WALL_CLOCK = struct.Struct("<III")


def next_versions(version: int) -> tuple[int, int]:
    """The versions (u32) while a record of ``version`` is written anew, and after that.

    Odd, then even; KVM does so for both records (kvm_setup_guest_pvclock, kvm_write_wall_clock),
    also over an odd version that somebody left there.
    """
    odd = (version + 1 | 1) & MASK_32
    return odd, (odd + 1) & MASK_32


@dataclass(frozen=True, slots=True)
class TimeInfo:
    """struct pvclock_vcpu_time_info, 32 bytes: one vCPU's page.

    ``version`` u32, odd while it is written; ``tsc_timestamp`` u64, guest TSC at the update;
    ``system_time`` u64, ns at the update; ``tsc_to_system_mul`` u32; ``tsc_shift`` s8;
    ``flags`` u8 (`Flags`); ``pad0`` u32 and ``pad`` u16 are 0.
    """

    version: int
    tsc_timestamp: int
    system_time: int
    tsc_to_system_mul: int
    tsc_shift: int
    flags: int
    pad0: int = 0
    pad: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The record at the beginning of ``data``. Raises `RecordTooShort` (also a ValueError)."""
        if len(data) < TIME_INFO_SIZE:
            raise RecordTooShort("pvclock time information", TIME_INFO_SIZE, len(data))
        version, pad0, tsc, ns, mul, shift, flags, pad = _TIME_INFO.unpack_from(data)
        return cls(version, tsc, ns, mul, shift, flags, pad0, pad)

    def build(self) -> bytes:
        """The 32 bytes. Raises `struct.error` when a field is outside of its type."""
        return _TIME_INFO.pack(
            self.version,
            self.pad0,
            self.tsc_timestamp,
            self.system_time,
            self.tsc_to_system_mul,
            self.tsc_shift,
            self.flags,
            self.pad,
        )

    @property
    def scale(self) -> Scale:
        """The factors by which cycles become ns."""
        return Scale(self.tsc_to_system_mul, self.tsc_shift)

    @property
    def stable(self) -> bool:
        """TSC_STABLE is set (to be believed only when CPUID offers the bit)."""
        return bool(self.flags & Flags.TSC_STABLE)

    @property
    def being_written(self) -> bool:
        """The version is odd: a reader must try again."""
        return bool(self.version & 1)


@dataclass(frozen=True, slots=True)
class WallClock:
    """struct pvclock_wall_clock, 12 bytes: the date at which kvmclock was 0, not the present one.

    ``version`` u32, odd while it is written; ``sec`` u32 since 1970, low 32 bits; ``nsec`` u32.
    """

    version: int
    sec: int
    nsec: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The record at the beginning of ``data``. Raises `RecordTooShort` (also a ValueError)."""
        if len(data) < WALL_CLOCK_SIZE:
            raise RecordTooShort("pvclock wall clock", WALL_CLOCK_SIZE, len(data))
        return cls(*_WALL_CLOCK.unpack_from(data))

    def build(self) -> bytes:
        """The 12 bytes. Raises `struct.error` when a field is outside of its type."""
        return _WALL_CLOCK.pack(self.version, self.sec, self.nsec)


@dataclass(frozen=True, slots=True)
class SystemTimeMsr:
    """What a guest writes to the system time MSR: where its record is, and whether it wants it.

    ``address`` is guest physical, bit 0 clear. KVM stops updates when ``enabled`` is false and
    leaves the record as it is.
    """

    address: int
    enabled: bool

    @classmethod
    def parse(cls, value: int) -> Self:
        """From the MSR's 64 bits."""
        value &= MASK_64
        return cls(value & ~SYSTEM_TIME_ENABLE, bool(value & SYSTEM_TIME_ENABLE))

    def build(self) -> int:
        """The MSR's 64 bits."""
        return self.address | int(self.enabled)

    @property
    def aligned(self) -> bool:
        """As KVM's documentation asks: to 4 bytes."""
        return self.address % SYSTEM_TIME_ALIGNMENT == 0

    @property
    def crosses_page(self) -> bool:
        """The record lies in two pages of 4 KiB: KVM takes the value and never writes the record.

        So since commit 916d3608df82 (2022; virt/kvm/pfncache.c, kvm_gpc_is_valid_len).
        """
        return self.address % 4096 > 4096 - TIME_INFO_SIZE
