"""The date by pvclock: the wall clock record is the date at which kvmclock was 0.

``now = epoch + kvmclock``. Sources: Linux arch/x86/kvm/x86.c (kvm_write_wall_clock,
kvm_get_wall_clock_epoch), arch/x86/kvm/xen.c (kvm_xen_shared_info_init), arch/x86/kernel/pvclock.c
(pvclock_read_wallclock). Times are ns since 1970 (UTC) unless said otherwise.

Whoever writes the record twice may see 1 ns of difference: the epoch is the difference of two
numbers that were rounded down, each by itself, so it is one of two neighbours (`same_epoch`).
"""

from __future__ import annotations

from typing import NamedTuple

from timehands.clocks.pvclock.layout import WallClock, next_versions
from timehands.clocks.pvclock.numbers import MASK_32, MASK_64, NS_PER_S

#: The last second that fits u32: 2106-02-07 06:28:15 UTC. KVM and old Xen keep no more.
LAST_SECOND = MASK_32


class Parts(NamedTuple):
    """A time in the record's fields; ``sec_hi`` (u32) is kept by Xen alone."""

    sec: int
    nsec: int
    sec_hi: int


def epoch_ns(realtime_ns: int, system_ns: int) -> int:
    """The date at which kvmclock was 0, when both clocks are read at one moment (u64).

    ``system_ns`` is kvmclock. A kvmclock ahead of the date wraps, as it does in KVM's u64.
    """
    return (realtime_ns - system_ns) & MASK_64


def split(ns: int) -> Parts:
    """A time (u64) in the fields of the record; what does not fit 32 bits of seconds is apart."""
    seconds, nsec = divmod(ns & MASK_64, NS_PER_S)
    return Parts(seconds & MASK_32, nsec, seconds >> 32)


def compose(realtime_ns: int, system_ns: int, version: int = 0) -> WallClock:
    """The record that KVM writes over one of ``version``: complete, with the next even version.

    Seconds are cut to 32 bits (`truncated`).
    """
    sec, nsec, _ = split(epoch_ns(realtime_ns, system_ns))
    return WallClock(next_versions(version)[1], sec, nsec)


def truncated(ns: int) -> bool:
    """Whether the record without ``sec_hi`` cannot hold this time: from 2106 on."""
    return split(ns).sec_hi != 0


def record_ns(wall: WallClock, sec_hi: int = 0) -> int:
    """The record's time in ns; ``nsec`` of a second or more carries over, as guests add it up."""
    return ((sec_hi << 32) + wall.sec) * NS_PER_S + wall.nsec


def now_ns(wall: WallClock, system_ns: int, sec_hi: int = 0) -> int:
    """The present date: the record and kvmclock together."""
    return record_ns(wall, sec_hi) + system_ns


def same_epoch(first: WallClock, second: WallClock) -> bool:
    """Whether two records tell the same epoch, but for the 1 ns by which rounding may differ."""
    return abs(record_ns(first) - record_ns(second)) <= 1
