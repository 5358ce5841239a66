"""The pages that a provider publishes in the explorer: small numbers in which any mix shows.

A page's line is ``system_time + 2 * (tsc - tsc_timestamp)``, its epoch begins at ``tsc_timestamp``,
and readers find TSC values from 1 to a few ticks after that. Timestamps are 16 apart; where factors
change, two that mean the same (a half shifted by 2, a quarter shifted by 3) take turns, so that a
time made of parts of two pages is the time of none (a test tries all mixes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import scale_delta

_FACTORS = ((0x80000000, 2), (0x40000000, 3))
#: Where the TSCs of other hosts stand, and their factors: one runs at half the rate of the other.
_ELSEWHERE = (100_000, 300, 7_000, 90)
_OTHER_FACTORS = ((0x80000000, 2), (0x80000000, 3))
_STEP = 16
#: By how much a page is behind the one before it where updates go back, in ns: more than the time
#: that passes from one update to the next.
BACK_NS = 40


@dataclass(frozen=True, slots=True)
class Setting:
    """A sequence of pages: the first is there at the beginning, each other one is an update.

    ``ahead_ns``: by how much pages may differ at the same TSC value, and so how far a last value
    may be ahead of the page. ``since`` are the cycles from a page's timestamp to the beginning of
    its epoch. ``walls`` are wall clocks (sec, nsec) instead. ``about`` in words.
    """

    name: str
    about: str
    pages: tuple[TimeInfo, ...] = ()
    ahead_ns: int = 0
    since: int = 0
    walls: tuple[tuple[int, int], ...] = ()

    @property
    def bases(self) -> tuple[int, ...]:
        """The TSC values at which epochs begin."""
        if self.walls:
            return (0,) * len(self.walls)
        return tuple(page.tsc_timestamp + self.since for page in self.pages)

    def page(self, stamp: int) -> int:
        """The number of the page with this timestamp; -1: there is none."""
        stamps = [page.tsc_timestamp for page in self.pages]
        return stamps.index(stamp) if stamp in stamps else -1


def true_ns(page: TimeInfo, tsc: int) -> int:
    """What a page says at a TSC value, also before its timestamp: then less than its own time."""
    if tsc >= page.tsc_timestamp:
        return nanoseconds(page, tsc)
    before = scale_delta(page.tsc_timestamp - tsc, page.tsc_to_system_mul, page.tsc_shift)
    return page.system_time - before


def _page(
    number: int,
    system_time: int,
    flags: int,
    stamp: int | None = None,
    factors: tuple[int, int] = _FACTORS[0],
) -> TimeInfo:
    mul, shift = factors
    stamp = _STEP * (number + 1) if stamp is None else stamp
    return TimeInfo(2 * number, stamp, system_time, mul, shift, flags)


def _line(number: int) -> int:
    """The system time at which page ``number`` lies on one line with all others."""
    return 1000 + 2 * _STEP * number


def _settings(updates: int) -> Sequence[Setting]:
    numbers = range(updates + 1)
    stable, none = int(Flags.TSC_STABLE), 0
    return (
        Setting(
            "stable",
            "all pages say the same (master clock), TSC_STABLE",
            tuple(_page(n, _line(n), stable) for n in numbers),
        ),
        Setting(
            "steps",
            f"each update goes {BACK_NS} ns back, not stable",
            tuple(_page(n, _line(n) - BACK_NS * n, none) for n in numbers),
            ahead_ns=BACK_NS * updates,
        ),
        Setting(
            "turns",
            f"everything changes, TSC_STABLE too; each update goes {BACK_NS} ns back",
            tuple(
                _page(n, _line(n) - BACK_NS * n, (stable, none)[n % 2], factors=_FACTORS[n % 2])
                for n in numbers
            ),
            ahead_ns=BACK_NS * updates,
        ),
        Setting(
            "moves",
            "each update is for a host whose TSC stands elsewhere and runs twice as fast or slow",
            tuple(
                _page(n, 1000 + 500 * n, stable, _ELSEWHERE[n % 4], _OTHER_FACTORS[n % 2])
                for n in numbers
            ),
        ),
        Setting(
            "negative",
            "factors with a negative shift (a TSC above 2 GHz)",
            tuple(
                TimeInfo(2 * n, 64 * (n + 1), 1000 + 16 * n, 0x80000000, -1, stable)
                for n in numbers
            ),
            since=8,
        ),
        Setting(
            "long",
            "2^33 cycles since the page was written",
            tuple(_page(n, _line(n), stable) for n in numbers),
            since=1 << 33,
        ),
        Setting(
            "wraps",
            "the low 32 bits of the time go through zero",
            tuple(_page(n, (1 << 32) - 20 + 2 * _STEP * n, none) for n in numbers),
        ),
        Setting(
            "wall",
            "the wall clock",
            walls=tuple((100 + n, 999 - 100 * n) for n in numbers),
        ),
    )


def settings(updates: int) -> Mapping[str, Setting]:
    """All settings by name, for a number of updates (1 to 3)."""
    return MappingProxyType({setting.name: setting for setting in _settings(updates)})
