"""What a log tells of rates: the TSC against the host, the other counters against the TSC.

Everything is a `Span`: the bounds hold for any delay between the guest and us. Where a log has no
host times the i8254's nominal rate is the ruler, and the reports say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property

from timehands.clocks.i8254 import MODULUS, PIT_HZ
from timehands.clocks.rate import Reading, fit, unwrap
from timehands.conform.log import Kind, Log, Sample
from timehands.conform.span import Span

NS_PER_S = 1_000_000_000
_MASK_32 = 0xFFFF_FFFF
#: The rows in which nothing was done to the machine.
QUIET_ROWS = ("first", "awake", "slept", "last")
#: The i8254 wraps in 54.9 ms: one wrap unseen is one that can be missed.
_WRAP_MS = 40
#: Over more than that a few percent of doubt about its rate are half a wrap.
_MANY_WRAPS_MS = 500
_DAY_NS = 86_400 * NS_PER_S


class Missing(Exception):
    """What a rule needs is not to be had: the case is skipped, for this reason."""


class Unsteady(Missing):
    """A clock whose samples fit no one rate."""


class Died(Exception):
    """The machine ended in the middle of what a rule needs."""


class Facts:
    """A log, and what follows from it. Properties raise `Missing` when they cannot be had."""

    def __init__(self, log: Log) -> None:
        self.log = log

    # What was said

    def numbers(self, name: str) -> dict[str, tuple[int, ...]]:
        """The lists of a case's line. Raises `Missing`, `Died`."""
        said = self.log.said.get(name)
        if said is None and name in self.log.begun:
            raise Died(f"the guest ended in {name}{self._how()}")
        if said is None:
            raise Missing(
                "the log does not have it" if self.log.ended else "the guest ended before"
            )
        if said.kind is Kind.SKIP:
            raise Missing(said.why or "no reason given")
        return dict(said.numbers)

    def one(self, name: str) -> Callable[..., int]:
        """A function that gives the number of a key of that case's line.

        It raises `Missing` for a key that is not there, unless it has a default.
        """
        numbers = self.numbers(name)

        def get(key: str, default: int | None = None) -> int:
            if key in numbers:
                return numbers[key][0]
            if default is None:
                raise Missing(f"its line has no {key}")
            return default

        return get

    def begun_ns(self, name: str) -> int:
        """The host's time when a case began. Raises `Missing`."""
        for line in self.log.lines:
            if line.text.strip() == f"B {name}" and line.host_ns is not None:
                return line.host_ns
        raise Missing("no host time in this log")

    def many(self, name: str, key: str, least: int = 1) -> tuple[int, ...]:
        """A list of numbers of a case's line, ``least`` of them at least."""
        numbers = self.numbers(name).get(key, ())
        if len(numbers) < least:
            raise Missing(f"its line has no {key}")
        return numbers

    def _how(self) -> str:
        return f" with an exception ({self.log.fault})" if self.log.fault else ""

    # The samples

    def rows(self, *names: str) -> list[Sample]:
        """The samples of those rows."""
        return [sample for sample in self.log.samples if sample.row in names]

    @cached_property
    def timed(self) -> list[Sample]:
        """The samples of quiet rows whose host times are known."""
        return [s for s in self.rows(*QUIET_ROWS) if _has_times(s)]

    @cached_property
    def tsc_hz(self) -> Span:
        """The TSC's rate against the host's clock, or the i8254 where there is no host time."""
        if not self.timed:
            return self._tsc_hz_by_i8254()
        rate = fit([Reading(s.numbers["tsc"], *times(s)) for s in self.timed])
        if rate is None:
            raise Missing("the TSC's rate is not one number")
        return Span(rate.low_hz, rate.high_hz)

    @cached_property
    def tsc_hz_first(self) -> Span:
        """The same from the first rows alone, in which the guest did not sleep."""
        samples = [s for s in self.timed if s.row == "first"]
        rate = fit([Reading(s.numbers["tsc"], *times(s)) for s in samples])
        if rate is None:
            raise Missing("no samples with host time while awake")
        return Span(rate.low_hz, rate.high_hz)

    def realtime_ns(self, host_ns: int) -> int:
        """The host's date at a moment of its monotonic clock, in ns since 1970."""
        note = self.note("date")
        try:
            return int(note["realtime"], 0) - int(note["monotonic"], 0) + host_ns
        except (KeyError, ValueError) as error:
            raise Missing("the log does not tell the host's date") from error

    @property
    def ruler(self) -> str:
        """What the TSC was held against."""
        return "the host's clock" if self.timed else "the i8254"

    def _tsc_hz_by_i8254(self) -> Span:
        get = self.one_or_missing("i8254.mode_2")
        counts = get("counts")
        if counts < 16 or get("longest") >= get("shortest") + (MODULUS << 16):
            raise Missing("no host time in this log, and no i8254 to measure by")
        low = get("shortest") * PIT_HZ // (counts + 1)
        high = -(-get("longest") * PIT_HZ // (counts - 1))
        return Span(low, high)

    def one_or_missing(self, name: str) -> Callable[..., int]:
        """`one` for a ruler: when it is not to be had, there is no host time either."""
        try:
            return self.one(name)
        except (Missing, Died) as error:
            raise Missing("no host time in this log, and no i8254 to measure by") from error

    @cached_property
    def lapic_per_tsc(self) -> Span:
        """Counts of the LAPIC's timer (divided by 1) in 10^9 TSC cycles."""
        # It was set once, to count down from 2^32: on a slow host that is over before the rows are.
        samples = [s for s in self.rows("first") if s.numbers.get("lapic", 0) > 0]
        if len(samples) >= 3:
            down = [_MASK_32 - s.numbers["lapic"] for s in samples]
            return _per_tsc(samples, down, "the LAPIC timer")
        counts, shorts, longs = (
            self.many("lapic.divisors", key) for key in ("counts", "shortest", "longest")
        )
        return _ratio(counts[0], shorts[0], longs[0])

    @cached_property
    def pit_per_tsc(self) -> Span:
        """Ticks of the i8254 in 10^9 TSC cycles."""
        samples = [s for s in self.rows("first") if "pit" in s.numbers]
        if len(samples) >= 3:
            raw, total = [s.numbers["pit"] for s in samples], 0
            counts = [0]
            for before, after in itertools.pairwise(raw):
                total += (before - after) % MODULUS
                counts.append(total)
            if not self._too_slow_for_wraps(samples):
                whole = unwrap(counts, [s.numbers["tsc"] for s in samples], MODULUS)
                return _per_tsc(samples, whole, "the i8254")
        get = self.one("i8254.mode_2")
        if get("longest") > _WRAP_MS * self.tsc_hz.low // 1000:
            raise Missing("a host too busy to follow the i8254, which wraps in 55 ms")
        return _ratio(get("counts"), get("shortest"), get("longest"))

    def _too_slow_for_wraps(self, samples: Sequence[Sample]) -> bool:
        """Whether wraps that nobody saw cannot be told from the gaps in which all were seen."""
        gaps = [b.numbers["tsc"] - a.numbers["tsc"] for a, b in itertools.pairwise(samples)]
        ms = self.tsc_hz.middle // 1000
        long = [gap for gap in gaps if gap > _WRAP_MS * ms]
        return len(long) > len(gaps) // 4 or max(gaps) > _MANY_WRAPS_MS * ms

    def hz_of(self, per_tsc: Span) -> Span:
        """A rate per 10^9 TSC cycles as Hz."""
        return per_tsc.times(self.tsc_hz, NS_PER_S)

    def cycles_of(self, counts: int, per_tsc: Span) -> Span:
        """The TSC cycles that so many counts take."""
        if per_tsc.low <= 0:
            raise Missing("its rate is not known")
        return Span(counts * NS_PER_S // per_tsc.high, -(-counts * NS_PER_S // per_tsc.low))

    def ns_of(self, cycles: int) -> int:
        """TSC cycles as ns, for words."""
        return cycles * NS_PER_S // max(1, self.tsc_hz.middle)

    def note(self, word: str) -> dict[str, str]:
        """What the host's side noted. Raises `Missing`."""
        if word not in self.log.notes:
            raise Missing("nothing noted by the host's side")
        return dict(self.log.notes[word])


def times(sample: Sample) -> tuple[int, int]:
    """The host times before and after a sample that has them."""
    return sample.asked_ns or 0, sample.came_ns or 0


def _has_times(sample: Sample) -> bool:
    asked, came = times(sample)
    return 0 < asked < came < asked + _DAY_NS


def _per_tsc(samples: Sequence[Sample], counts: Sequence[int], what: str) -> Span:
    readings = [
        Reading(count, s.numbers["tsc"], s.numbers["tsc_after"])
        for s, count in zip(samples, counts, strict=True)
    ]
    rate = fit(readings)
    if rate is None:
        raise Unsteady(f"the rate of {what} is not one number")
    return Span(rate.low_hz, rate.high_hz)


def _ratio(counts: int, shortest: int, longest: int) -> Span:
    if counts < 16 or shortest <= 0 or longest < shortest:
        raise Missing("its rate is not known")
    return Span((counts - 1) * NS_PER_S // longest, -(-(counts + 1) * NS_PER_S // shortest))
