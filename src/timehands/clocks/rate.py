"""The rate of a counter, with bounds that hold: from readings taken between two host times.

A reading tells that at some moment between ``not_before_ns`` and ``not_after_ns`` the counter stood
at ``value``. Two readings bound the rate: the counter cannot have been faster than their values
over the shortest time that may lie between them, nor slower than over the longest. Each pair gives
such bounds; all pairs together give the tightest ones that the readings allow (a line that passes
through all the vertical segments; in the plane it is enough to look at pairs: Helly's theorem).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

NS_PER_S = 1_000_000_000
#: More readings than this are thinned out: the work goes with the square.
MAX_READINGS = 48


class Reading(NamedTuple):
    """A counter's value (it only grows), and the host times between which it was taken."""

    value: int
    not_before_ns: int
    not_after_ns: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in Hz: ``low_hz <= true rate <= high_hz``, and ``hz`` in the middle.

    The bounds hold for any delay of the readings, if the counter's rate was constant over
    ``span_ns``.
    """

    hz: int
    low_hz: int
    high_hz: int
    readings: int
    span_ns: int

    def off_ppb(self, reference_hz: int) -> int:
        """How far ``hz`` is from a reference, in parts per billion of the reference (rounded)."""
        return _divide((self.hz - reference_hz) * 10**9, reference_hz)

    @property
    def uncertainty_ppb(self) -> int:
        """Half the distance between the bounds, in parts per billion of ``hz``."""
        return _divide((self.high_hz - self.low_hz) * 10**9, 2 * self.hz)

    def allows(self, hz: int) -> bool:
        """Whether a rate lies within the bounds."""
        return self.low_hz <= hz <= self.high_hz

    def to_json(self) -> dict[str, int]:
        """The value as JSON types; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The rate that `to_json` wrote. Raises `ValueError`, `KeyError`, `TypeError`."""
        return cls(*(int(data[name]) for name in cls.__slots__))


def fit(readings: Sequence[Reading]) -> Rate | None:
    """The rate that these readings allow.

    None when they allow none: fewer than three, a counter that stood still or went back, or whose
    rate was not constant.
    """
    chosen = _thin(readings)
    if len(chosen) < 3 or any(a.value > b.value for a, b in itertools.pairwise(chosen)):
        return None
    low_hz, high_hz = 0, None
    for at, first in enumerate(chosen):
        for second in chosen[at + 1 :]:
            low_hz = max(low_hz, _slowest_hz(first, second))
            fastest = _fastest_hz(first, second)
            if fastest is not None:
                high_hz = fastest if high_hz is None else min(high_hz, fastest)
    if high_hz is None or low_hz == 0 or low_hz > high_hz:
        return None
    span_ns = chosen[-1].not_after_ns - chosen[0].not_before_ns
    return Rate((low_hz + high_hz) // 2, low_hz, high_hz, len(chosen), span_ns)


def unwrap(counts: Sequence[int], ruler: Sequence[int], modulus: int) -> tuple[int, ...]:
    """Counts to which wraps that nobody saw are added, so that they go along with the ruler.

    ``ruler`` is another counter read at the same moments. Where the counts grew less than the
    median ratio between the two lets expect, whole multiples of ``modulus`` are missing.
    """
    steps = [(b - a, d - c) for (a, b), (c, d) in zip(_pairs(counts), _pairs(ruler), strict=True)]
    ordered = sorted((s for s in steps if s[1] > 0), key=lambda s: s[0] * 10**9 // s[1])
    if not ordered:
        return tuple(counts)
    step, of = ordered[len(ordered) // 2]
    result, missing = [counts[0]], 0
    for count, (done, passed) in zip(counts[1:], steps, strict=True):
        missing += max(0, _divide(passed * step - done * of, of * modulus)) * modulus
        result.append(count + missing)
    return tuple(result)


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(numbers))


def _slowest_hz(first: Reading, second: Reading) -> int:
    """The counter advanced at least by the counts' difference less one, in at most this time."""
    counts = second.value - first.value - 1
    ns = second.not_after_ns - first.not_before_ns
    return counts * NS_PER_S // ns if counts > 0 and ns > 0 else 0


def _fastest_hz(first: Reading, second: Reading) -> int | None:
    """... and at most by the difference and one, in at least this time; None when that is none."""
    ns = second.not_before_ns - first.not_after_ns
    counts = second.value - first.value + 1
    return -(-counts * NS_PER_S // ns) if ns > 0 else None


def _thin(readings: Sequence[Reading]) -> list[Reading]:
    """At most `MAX_READINGS`: those with the least doubt about their time, in order."""
    if len(readings) <= MAX_READINGS:
        return list(readings)
    size = -(-len(readings) // MAX_READINGS)
    groups = (readings[at : at + size] for at in range(0, len(readings), size))
    return [min(group, key=lambda r: r.not_after_ns - r.not_before_ns) for group in groups]


def _divide(a: int, b: int) -> int:
    """a / b rounded to the nearest integer; b > 0."""
    return (2 * a + b) // (2 * b)
