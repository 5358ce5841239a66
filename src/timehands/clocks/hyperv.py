"""Hyper-V's reference time: the TSC page, its MSR, and how a provider fills them.

Reference time counts 100 ns from the partition's start:
``((tsc * scale) >> 64) + offset`` modulo 2^64, where ``scale`` is a fraction of 2^64. A page whose
sequence is 0 is not to be used: the guest then reads MSR 0x40000020, an exit each time.

A guest reads the sequence, then scale, offset and TSC, then the sequence again, and starts over
when it changed. A provider sets it to 0, writes the rest, and writes the next sequence.

Sources: Hyper-V TLFS, "Partition Reference TSC Mechanism", "Reference TSC Page MSR"; Linux
arch/x86/kvm/hyperv.c: compute_tsc_page_parameters, kvm_hv_setup_tsc_page; include/clocksource/
hyperv_timer.h: hv_read_tsc_page_tsc. For `units_up`: microsoft/openvmm#4066.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.errors import FrequencyOutOfRange, RecordTooShort

U64 = (1 << 64) - 1
#: A unit of reference time.
UNIT_NS = 100
UNITS_PER_S = 10_000_000
PAGE_SIZE = 4096
#: Do not use the page: use the reference counter's MSR.
SEQUENCE_INVALID = 0
#: Older descriptions give this value the same meaning, so KVM never uses it. To guests of today
#: (Linux) it is a valid sequence like any other.
SEQUENCE_INVALID_ONCE = 0xFFFF_FFFF
#: Bit 0 of MSR 0x40000021; bits 11:1 are to be kept as they are.
MSR_ENABLE = 1

_PAGE = struct.Struct("<IIQQ")


@dataclass(frozen=True, slots=True)
class ReferenceTscPage:
    """HV_REFERENCE_TSC_PAGE: 24 bytes at the start of a page whose rest is reserved.

    ``sequence`` u32; ``scale`` u64, units of 100 ns per cycle times 2^64; ``offset`` u64 (signed in
    the specification: two's complement), in units of 100 ns.
    """

    sequence: int
    scale: int
    offset: int
    reserved: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The page at the beginning of ``data``. Raises `RecordTooShort` (also a ValueError)."""
        if len(data) < _PAGE.size:
            raise RecordTooShort("Hyper-V reference TSC page", _PAGE.size, len(data))
        sequence, reserved, scale, offset = _PAGE.unpack_from(data)
        return cls(sequence, scale, offset, reserved)

    def build(self) -> bytes:
        """The 24 bytes. Raises `struct.error` when a field is outside of its type."""
        return _PAGE.pack(self.sequence, self.reserved, self.scale, self.offset)

    @property
    def valid(self) -> bool:
        """Whether guests use the page."""
        return self.sequence != SEQUENCE_INVALID

    def reference_time(self, tsc: int) -> int | None:
        """Units of 100 ns (u64) at a TSC value; None when the page is not valid."""
        if not self.valid:
            return None
        return (((tsc & U64) * self.scale >> 64) + self.offset) & U64

    @property
    def tsc_hz(self) -> Fraction | None:
        """The TSC frequency that the scale implies, exactly; None when the scale is 0."""
        return Fraction(UNITS_PER_S << 64, self.scale) if self.scale else None


@dataclass(frozen=True, slots=True)
class ReferenceTscMsr:
    """MSR 0x40000021: where the guest wants the page (guest physical), and whether.

    ``preserved``: bits 11:1, which both sides leave as they are.
    """

    address: int
    enabled: bool
    preserved: int = 0

    @classmethod
    def parse(cls, value: int) -> Self:
        """From the MSR's 64 bits."""
        value &= U64
        return cls(value & ~0xFFF, bool(value & MSR_ENABLE), value & 0xFFE)

    def build(self) -> int:
        """The MSR's 64 bits."""
        return self.address & ~0xFFF & U64 | self.preserved & 0xFFE | int(self.enabled)


def tsc_scale(tsc_hz: int) -> int:
    """The scale for a TSC frequency, rounded down: reference time is slow by under 2^-64 a cycle.

    Raises `FrequencyOutOfRange` up to 10 MHz, where it does not fit in 64 bits.
    """
    if not UNITS_PER_S < tsc_hz <= U64:
        raise FrequencyOutOfRange("tsc_hz", tsc_hz, U64)
    return (UNITS_PER_S << 64) // tsc_hz


def scale_error(scale: int, tsc_hz: int) -> Fraction:
    """By how much reference time is faster than true at that frequency, as a fraction."""
    return Fraction(scale * tsc_hz, UNITS_PER_S << 64) - 1


def page_at(tsc: int, units: int, scale: int, sequence: int) -> ReferenceTscPage:
    """The page on which reference time is exactly ``units`` when the TSC is ``tsc``."""
    return ReferenceTscPage(sequence, scale, (units - (tsc * scale >> 64)) & U64)


def kvm_page(info: TimeInfo, sequence: int) -> ReferenceTscPage | None:
    """The page that KVM makes of a vCPU's pvclock page; None when it makes none.

    That is so when TSC_STABLE is not set (no master clock: guests read the MSR, 18 times slower)
    and when the scale does not fit in 64 bits. A ``system_time`` that is negative in two's
    complement is divided as the huge number that it is in u64.
    """
    shift = 32 + info.tsc_shift
    if not info.stable or not 0 <= shift < 64:
        return None
    scale = (info.tsc_to_system_mul << shift) // UNIT_NS
    if scale > U64:
        return None
    return page_at(info.tsc_timestamp, info.system_time // UNIT_NS, scale, sequence)


def next_sequence(sequence: int) -> int:
    """KVM's next sequence (u32): 1 after 0xfffffffe and after 0xffffffff."""
    following = (sequence + 1) & 0xFFFF_FFFF
    return 1 if following in (SEQUENCE_INVALID, SEQUENCE_INVALID_ONCE) else following


def units_down(ns: int) -> int:
    """What a guest reads: whole units of 100 ns."""
    return ns // UNIT_NS


def units_up(ns: int) -> int:
    """What a snapshot must keep: rounded up, or a restored clock of ns would step back."""
    return -(-ns // UNIT_NS)
