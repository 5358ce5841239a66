"""Axes of charts: which stretch they show, where their ticks are, and what is written there.

Ticks stand at 1, 2 or 5 times a power of ten of the axis's unit (for hours and minutes: at steps
that people use for them). Values are integers in the smallest unit; everything is exact but the
place on the paper. Where most values would lie on top of each other since a few are thousands of
times larger, the axis is logarithmic to both sides of zero, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

_TICKS = 6
#: A stretch of values this much larger than that of nine tenths of them calls for a log axis.
_UNEVEN = 1000


@dataclass(frozen=True, slots=True)
class Unit:
    """A kind of number and the units to write it in, the largest first: ``(factor, name)``.

    ``steps`` besides 1, 2 and 5 times a power of ten: in the smallest unit.
    """

    scales: tuple[tuple[int, str], ...]
    steps: tuple[int, ...] = ()

    def of(self, value: int) -> tuple[int, str]:
        """The largest unit that the value fills."""
        return next((row for row in self.scales if abs(value) >= row[0]), self.scales[-1])

    def words(self, value: int) -> str:
        """``-12.5 ms``: four digits, in the unit that suits it."""
        scale, name = self.of(value)
        whole = abs(value) // scale
        places = 0 if scale == 1 else max(0, 4 - len(str(whole)))
        return f"{decimal(value, scale, places)} {name}"


_S = 10**9
_LONG = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600)
TIME = Unit(
    ((3600 * _S, "h"), (60 * _S, "min"), (_S, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns")),
    tuple(step * _S for step in _LONG),
)
RATE = Unit(((10**7, "%"), (10**3, "ppm"), (1, "ppb")))


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high`` with ``ticks``, written in ``scale`` of the unit.

    ``linear`` is None on a linear axis; on one that is logarithmic to both sides it is the value
    up to which it is linear.
    """

    low: int
    high: int
    ticks: tuple[int, ...]
    unit: Unit
    scale: tuple[int, str]
    linear: int | None = None

    @property
    def unit_name(self) -> str:
        """``ms``; of a logarithmic axis, that it is one."""
        return self.scale[1] if self.linear is None else "logarithmic to both sides of 0"

    def share(self, value: int) -> Fraction:
        """Where a value lies: 0 at ``low``, 1 at ``high``."""
        if self.linear is None:
            return Fraction(value - self.low, self.high - self.low)
        low, high, at = (self._bent(v) for v in (self.low, self.high, value))
        return Fraction((at - low) / (high - low))

    def tick_words(self, tick: int) -> str:
        """What is written at a tick."""
        if self.linear is not None:
            return self.unit.words(tick) if tick else "0"
        return decimal(tick, self.scale[0], 12)

    def _bent(self, value: int) -> float:
        """Linear around zero, then logarithmic; continuous and odd."""
        assert self.linear is not None
        size = abs(value) / self.linear
        bent = size if size <= 1 else 1 + math.log10(size)
        return math.copysign(bent, value)


@dataclass(frozen=True, slots=True)
class Break:
    """A stretch of time in which nothing happens, from ``start_ns`` to ``end_ns``."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class TimeTick:
    """A tick of the axis of time and what is written there; ``+`` after a break that is cut."""

    at_ns: int
    words: str


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """True time from 0 to ``end_ns``. ``cut``: breaks that would leave no room for the rest.

    A break that is cut takes `CUT` of the width, however long it is; times after it are written
    from its end.
    """

    end_ns: int
    cut: tuple[Break, ...]
    scale: tuple[int, str]
    step_ns: int

    @property
    def unit_name(self) -> str:
        """``s``."""
        return self.scale[1]

    def share(self, at_ns: int) -> Fraction:
        """Where a moment lies: 0 at the beginning, 1 at the end."""
        room = 1 - CUT * len(self.cut)
        running = self.end_ns - sum(stop.length_ns for stop in self.cut)
        before, place = at_ns, Fraction(0)
        for stop in self.cut:
            if at_ns >= stop.start_ns:
                inside = min(at_ns, stop.end_ns) - stop.start_ns
                before -= inside
                place += CUT * Fraction(inside, stop.length_ns)
        return place + room * Fraction(before, max(1, running))

    @property
    def ticks(self) -> tuple[TimeTick, ...]:
        """The ticks, by time, without those that would stand at the end of a stretch."""
        starts = [0, *(stop.end_ns for stop in self.cut)]
        ends = [*(stop.start_ns for stop in self.cut), self.end_ns]
        return tuple(
            TimeTick(at, ("+" if start else "") + decimal(at - start, self.scale[0], 12))
            for start, end in zip(starts, ends, strict=True)
            for at in range(start, end + 1, self.step_ns)
            if end == self.end_ns or (end - at) * 3 > self.step_ns
        )


#: What of the width a break takes that is cut, and how much of the rest it must exceed for that.
CUT = Fraction(6, 100)
_CUT_FROM = 2


def time_axis(end_ns: int, breaks: Sequence[Break] = ()) -> TimeAxis:
    """From 0 to ``end_ns`` (at least 1); ``breaks`` lie within, in order, apart from each other."""
    end_ns = max(1, end_ns)
    running = end_ns - sum(stop.length_ns for stop in breaks)
    long = [stop for stop in breaks if stop.length_ns > running * _CUT_FROM][:MOST_CUT]
    shown = max(1, end_ns - sum(stop.length_ns for stop in long))
    step = _step(shown, TIME)
    return TimeAxis(end_ns, tuple(long), _scale(TIME, shown, step), step)


#: More than these are not cut: the rest would have no room.
MOST_CUT = 8


def axis_for(values: Iterable[int], unit: Unit, *, even: bool = False) -> Axis:
    """An axis that holds all values and zero, its ends at ticks; linear in any case if ``even``."""
    all_of_them = sorted([0, *values])
    low, high = all_of_them[0], all_of_them[-1]
    if low == high:
        high = unit.scales[-1][0]
    linear = None if even else _uneven(all_of_them)
    if linear is not None:
        return _bent_axis(low, high, unit, linear)
    step = _step(high - low, unit)
    low, high = low // step * step, -(-high // step) * step
    size = max(abs(low), abs(high))
    return Axis(low, high, tuple(range(low, high + 1, step)), unit, _scale(unit, size, step))


def _scale(unit: Unit, size: int, step: int) -> tuple[int, str]:
    """The unit for the ticks: that of the largest one, or smaller if steps are odd in it."""
    fit = [
        row
        for row in unit.scales
        if row[0] <= size and (step % row[0] == 0 or row[0] <= _S)
        if row[0] <= step * 100
    ]
    return fit[0] if fit else unit.scales[-1]


def _step(stretch: int, unit: Unit) -> int:
    """The distance of ticks: the least good one that gives no more than `_TICKS` stretches."""
    least = -(-stretch // _TICKS)
    longest = max(unit.steps, default=0)
    if unit.steps and unit.steps[0] < least <= longest:
        return next(step for step in unit.steps if step >= least)
    day = longest * 2
    if longest and least > longest:
        return day * _round_step(-(-least // day))
    return _round_step(least)


def _round_step(least: int) -> int:
    """1, 2 or 5 times a power of ten, at least ``least``."""
    power: int = 10 ** (len(str(least)) - 1)
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least)


def _uneven(values: Sequence[int]) -> int | None:
    """Where most values are tiny beside the largest: up to where they go, as a power of ten."""
    sizes = sorted(abs(value) for value in values)
    most = sizes[len(sizes) * 9 // 10 - 1] if len(sizes) >= 10 else sizes[-1]
    if most * _UNEVEN >= sizes[-1]:
        return None
    return int(10 ** max(0, len(str(max(1, most))) - 1))


def _bent_axis(low: int, high: int, unit: Unit, linear: int) -> Axis:
    """Ticks at zero and at powers of a thousand, or of ten where few of those would do."""
    exponents = range(len(str(linear)) - 1, len(str(max(-low, high))) + 1)
    every = 3 if len(exponents) > 7 else 2 if len(exponents) > 4 else 1
    sizes = [10**n for n in exponents][::every]
    least, most = min(low, 0), max(high, 0)
    ticks = [-size for size in reversed(sizes) if -size >= least] + [0]
    ticks += [size for size in sizes if size <= most]
    return Axis(least, most, tuple(ticks), unit, unit.scales[-1], linear)


def decimal(value: int, scale: int, places: int) -> str:
    """value / scale, rounded half up to at most so many places, without zeros at the end."""
    unit = 10**places
    whole, part = divmod((abs(value) * unit * 2 + scale) // (scale * 2), unit)
    digits = str(part).rjust(places, "0").rstrip("0") if places else ""
    sign = "-" if value < 0 and (whole or digits) else ""
    return f"{sign}{whole:,}" + (f".{digits}" if digits else "")
