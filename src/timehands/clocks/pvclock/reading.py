"""What a page says at a TSC value: the arithmetic of a read, without the protocol around it.

Sources: Linux arch/x86/include/asm/pvclock.h (__pvclock_read_cycles); FreeBSD
sys/x86/x86/pvclock.c (pvclock_read_time_info). Clamps and last values, which differ between
guests, are in `timehands.clocks.pvclock.programs`.
"""

from __future__ import annotations

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.clocks.pvclock.scale import least_delta, scale_delta


def cycles_since(info: TimeInfo, tsc: int) -> int:
    """Cycles since the page's update modulo 2^64 (u64): a TSC before it gives a huge number."""
    return (tsc - info.tsc_timestamp) & MASK_64


def nanoseconds(info: TimeInfo, tsc: int) -> int:
    """``system_time + scale_delta(tsc - tsc_timestamp)`` in ns, everything modulo 2^64 (u64)."""
    delta_ns = scale_delta(cycles_since(info, tsc), info.tsc_to_system_mul, info.tsc_shift)
    return (info.system_time + delta_ns) & MASK_64


def first_tsc(info: TimeInfo, ns: int) -> int | None:
    """The first TSC value (u64) at which the page says ``ns`` or more.

    For ``ns`` at or before the page's own time that is its timestamp. None when it never does.
    """
    delta = least_delta(ns - info.system_time, info.tsc_to_system_mul, info.tsc_shift)
    return None if delta is None else (info.tsc_timestamp + delta) & MASK_64
