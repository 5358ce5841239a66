"""The pure functions of registers that readers and providers use, by the names that are shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_32, MASK_64, Flags
from timehands.clocks.pvclock.scale import scale_delta, scale_delta_64

#: What a page says at a TSC value (u64): ns (u64).
Arithmetic = Callable[[TimeInfo, int], int]
#: The registers from which a reader computes its time, in the order of `page_time`'s arguments.
PAGE = ("tsc", "tsc_timestamp", "system_time", "tsc_to_system_mul", "tsc_shift")


def page_time(arithmetic: Arithmetic) -> Callable[..., int]:
    """A reader's arithmetic as a function of the registers `PAGE`."""

    @lru_cache(maxsize=1 << 16)
    def ns(tsc: int, stamp: int, system_time: int, mul: int, shift: int) -> int:
        return arithmetic(TimeInfo(0, stamp, system_time, mul, shift, 0), tsc)

    ns.__name__ = getattr(arithmetic, "__name__", "nanoseconds")
    return ns


def nanoseconds_delta_clamped(info: TimeInfo, tsc: int) -> int:
    """As `timehands.clocks.pvclock.reading.nanoseconds`, but a TSC before the page counts as 0.

    OpenBSD sys/dev/pv/pvclock.c 1.15 (pvclock_get), and the driver proposed for NetBSD. Their
    product in two halves is the same as one of 96 bits.
    """
    delta = tsc - info.tsc_timestamp if tsc > info.tsc_timestamp else 0
    scaled = scale_delta(delta, info.tsc_to_system_mul, info.tsc_shift)
    return (info.system_time + scaled) & MASK_64


def nanoseconds_64(info: TimeInfo, tsc: int) -> int:
    """The product keeps 64 bits: OpenBSD sys/dev/pv/pvclock.c 1.1 (pvclock_get_timecount)."""
    delta = (tsc - info.tsc_timestamp) & MASK_64
    scaled = scale_delta_64(delta, info.tsc_to_system_mul, info.tsc_shift)
    return (info.system_time + scaled) & MASK_64


def even_below(version: int) -> int:
    """``version & ~1``: an odd version becomes one that no later load can equal."""
    return version & ~1


def odd(version: int) -> bool:
    """Being written."""
    return bool(version & 1)


def differ(a: int, b: int) -> bool:
    """Not the same."""
    return a != b


def equal(a: int, b: int) -> bool:
    """The same."""
    return a == b


def above(a: int, b: int) -> bool:
    """``a > b``, both unsigned."""
    return a > b


def at_most(a: int, b: int) -> bool:
    """``a <= b``, both unsigned."""
    return a <= b


def stable(flags: int) -> bool:
    """TSC_STABLE is set (and CPUID offers it)."""
    return bool(flags & Flags.TSC_STABLE)


def unstable(flags: int) -> bool:
    """TSC_STABLE is not set."""
    return not flags & Flags.TSC_STABLE


def running(flags: int) -> bool:
    """GUEST_STOPPED is not set."""
    return not flags & Flags.GUEST_STOPPED


def clear_stopped(flags: int) -> int:
    """The flags without GUEST_STOPPED."""
    return flags & ~Flags.GUEST_STOPPED


def same(value: int) -> int:
    """The value itself."""
    return value


def next_odd(version: int) -> int:
    """``(version + 1) | 1``: the version while the page is written (u32)."""
    return (version + 1 | 1) & MASK_32


def successor(version: int) -> int:
    """``version + 1`` (u32)."""
    return (version + 1) & MASK_32


def at_snapshot(_host_tsc: int, value: int) -> int:
    """The value for the page, which follows from the provider's own time."""
    return value


def keep_stopped(new: int, old: int) -> int:
    """The new flags, and GUEST_STOPPED where the guest has not cleared it."""
    return new | old & Flags.GUEST_STOPPED
