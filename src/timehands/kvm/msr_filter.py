"""Which MSRs a guest may access without user space: ranges for KVM_X86_SET_MSR_FILTER."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ctypes import Array, addressof, c_char
from dataclasses import dataclass

from timehands.kvm.numbers import (
    MSR_FILTER_MAX_BITMAP_SIZE,
    MSR_FILTER_MAX_RANGES,
    MsrFilterFlags,
)
from timehands.kvm.structs import MsrFilter, MsrFilterRange

_BOTH = MsrFilterFlags.READ | MsrFilterFlags.WRITE


@dataclass(frozen=True, slots=True)
class MsrRange:
    """``bitmap`` tells, bit by bit from MSR ``base`` on, what is allowed (1) or denied (0).

    ``flags`` says whether for reads, for writes, or for both. Raises `ValueError` when the bitmap
    is empty or has more than 0x600 bytes.
    """

    base: int
    bitmap: bytes
    flags: MsrFilterFlags = _BOTH

    def __post_init__(self) -> None:
        if not 0 < len(self.bitmap) <= MSR_FILTER_MAX_BITMAP_SIZE:
            raise ValueError(f"a bitmap of {len(self.bitmap)} bytes; KVM takes 1 to 1536")


def denying(msrs: Iterable[int], flags: MsrFilterFlags = _BOTH) -> tuple[MsrRange, ...]:
    """Ranges that deny just these MSRs: one for each group within 8 MSRs."""
    groups: dict[int, int] = {}
    for msr in msrs:
        groups[msr & ~7] = groups.get(msr & ~7, 0xFF) & ~(1 << (msr & 7))
    return tuple(MsrRange(base, bytes([bits]), flags) for base, bits in sorted(groups.items()))


def filter_of(
    ranges: Sequence[MsrRange], *, deny_others: bool = False
) -> tuple[MsrFilter, list[Array[c_char]]]:
    """The filter as KVM takes it, and the bitmaps that it points to: keep them until it is set.

    Raises `ValueError` for more than 16 ranges.
    """
    if len(ranges) > MSR_FILTER_MAX_RANGES:
        raise ValueError(f"{len(ranges)} ranges of MSRs; KVM takes {MSR_FILTER_MAX_RANGES}")
    bitmaps = [(c_char * len(each.bitmap)).from_buffer_copy(each.bitmap) for each in ranges]
    layout = MsrFilter(flags=int(deny_others))
    for at, (each, bitmap) in enumerate(zip(ranges, bitmaps, strict=True)):
        layout.ranges[at] = MsrFilterRange(
            each.flags, 8 * len(each.bitmap), each.base, addressof(bitmap)
        )
    return layout, bitmaps
