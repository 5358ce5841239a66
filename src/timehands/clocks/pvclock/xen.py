"""Where Xen keeps pvclock: in the page that a domain shares with it, struct shared_info.

Each of the first 32 vCPUs has a struct vcpu_info of 64 bytes there, with its time at +32 (the same
record as KVM's; flags since interface 4.6, TSC_STABLE where Xen's own clocksource is the TSC). The
wall clock is one for all, and has the upper half of its seconds apart. More vCPUs have theirs where
VCPUOP_register_vcpu_info put it; VCPUOP_register_vcpu_time_memory_area gives the bare record.

Sources: Xen public/xen.h, public/arch-x86/xen.h (struct vcpu_info, struct shared_info; wc_sec_hi
follows the wall clock, but for 32-bit guests it ends arch_shared_info); Linux arch/x86/kvm/xen.h
(struct compat_shared_info), tools/testing/selftests/kvm/x86/xen_shinfo_test.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.numbers import TIME_INFO_SIZE
from timehands.errors import RecordTooShort, UsageError

SHARED_INFO_SIZE = 4096
VCPU_INFO_SIZE = 64
#: struct vcpu_info.time.
TIME_OFFSET = 32
#: XEN_LEGACY_MAX_VCPUS: as many vcpu_info are in the page.
MAX_VCPUS = 32


@dataclass(frozen=True, slots=True)
class WallOffsets:
    """Where the wall clock is in struct shared_info, in bytes."""

    wc_version: int
    wc_sec: int
    wc_nsec: int
    wc_sec_hi: int


#: By the guest's bits: two event channel bitmaps of 8 or 4 times 64 or 32 bits come before it.
WALL_OFFSETS: Mapping[int, WallOffsets] = MappingProxyType(
    {
        64: WallOffsets(0xC00, 0xC04, 0xC08, 0xC0C),
        32: WallOffsets(0x900, 0x904, 0x908, 0x924),
    }
)


def time_offset(vcpu: int) -> int:
    """Where the time of vCPU 0 to 31 is in struct shared_info. Raises `UsageError` for others."""
    if not 0 <= vcpu < MAX_VCPUS:
        raise UsageError(
            f"struct shared_info has no vCPU {vcpu}",
            advice=f"It has 0 to {MAX_VCPUS - 1}; others are where the guest registered them.",
        )
    return vcpu * VCPU_INFO_SIZE + TIME_OFFSET


def time_info(shared_info: bytes, vcpu: int = 0) -> TimeInfo:
    """A vCPU's time in struct shared_info. Raises `RecordTooShort`, `UsageError`."""
    at = time_offset(vcpu)
    return TimeInfo.parse(shared_info[at : at + TIME_INFO_SIZE])


def wall_clock(shared_info: bytes, bits: int = 64) -> tuple[WallClock, int]:
    """The wall clock and the upper 32 bits of its seconds, for a guest of 64 or 32 bits.

    Raises `RecordTooShort`.
    """
    at = WALL_OFFSETS[bits]
    end = at.wc_sec_hi + 4
    if len(shared_info) < end:
        raise RecordTooShort("Xen's shared_info up to wc_sec_hi", end, len(shared_info))
    sec_hi = int.from_bytes(shared_info[at.wc_sec_hi : end], "little")
    return WallClock.parse(shared_info[at.wc_version : at.wc_nsec + 4]), sec_hi
