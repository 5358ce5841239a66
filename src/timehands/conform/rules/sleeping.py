"""HLT and what wakes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from timehands.clocks.rate import Reading, fit
from timehands.conform.facts import NS_PER_S, Died, Facts, Missing, times
from timehands.conform.log import Sample
from timehands.conform.rules.discovery import EXACT_PPM
from timehands.conform.rules.lapic import early_cycles
from timehands.conform.rules.ticks import lateness
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, passed

#: What a host without high-resolution timers rounds to: its tick, at 100 Hz (NetBSD, PR 43997).
HOST_TICK_NS = 10_000_000
#: Of two rows of so many, in any order, one is above the other once in C(16, 8) = 12,870 times.
_MANY = 8


def lapic(facts: Facts) -> Outcome:
    """The LAPIC's one-shot timer never wakes early."""
    return _woken(facts, "sleeping.lapic")


def deadline(facts: Facts) -> Outcome:
    """Nor does the TSC deadline."""
    return _woken(facts, "sleeping.deadline")


def _late(facts: Facts, case: str) -> list[int]:
    """How late each wake-up was, in TSC cycles."""
    if case == "sleeping.lapic":
        counts = facts.many(case, "counts")
        wanted = [facts.cycles_of(count, facts.lapic_per_tsc).low for count in counts]
    else:
        wanted = list(facts.many(case, "wanted"))
    return [b - a for a, b in zip(wanted, facts.many(case, "took"), strict=False)]


def _woken(facts: Facts, case: str) -> Outcome:
    get = facts.one(case)
    if get("woken") < get("sleeps"):
        return failed(f"HLT ended {get('sleeps') - get('woken')} times without an interrupt")
    late = _late(facts, case)
    earliest = min(late)
    if earliest < -early_cycles(facts):
        count = sum(each < -early_cycles(facts) for each in late)
        ns = facts.ns_of(-earliest)
        return failed(f"{count} of {len(late)} wake-ups early, the worst by {ns:,} ns")
    saw = f"{len(late)} wake-ups, none early, {lateness(facts, late)}"
    if _evenly_late(facts, case, late):
        return failed(f"{saw}: each of them, while the other timer was never as late")
    return passed(saw)


def _evenly_late(facts: Facts, case: str, late: Sequence[int]) -> bool:
    """Whether it is not the host that is late.

    A host that is busy is late now and then, and for both timers. All of them later than a tick of
    the slowest host, alike, and each later than all of the other timer's: that is the timer.
    """
    other = "sleeping.deadline" if case == "sleeping.lapic" else "sleeping.lapic"
    try:
        others = _late(facts, other)
    except (Missing, Died):
        return False
    enough = min(len(late), len(others)) >= _MANY
    tick = facts.tsc_hz.high * HOST_TICK_NS // NS_PER_S
    return enough and min(late) > max(tick, *others) and max(late) <= 2 * min(late)


def tsc(facts: Facts) -> Outcome:
    """The TSC goes on in HLT."""
    return _asleep(facts, "tsc", facts.tsc_hz_first)


def pvclock(facts: Facts) -> Outcome:
    """pvclock goes on in HLT."""
    return _asleep(facts, "ns", Span.around(NS_PER_S, EXACT_PPM))


def _asleep(facts: Facts, key: str, wanted: Span) -> Outcome:
    facts.numbers("sleeping.clocks")
    before, after = (_row(facts, row, key) for row in ("awake", "slept"))
    rows = [*before, *after]
    rate = fit([Reading(s.numbers[key], *times(s)) for s in rows])
    asleep = Span(
        (after[0].asked_ns or 0) - (before[-1].came_ns or 0),
        (after[0].came_ns or 0) - (before[-1].asked_ns or 0),
    )
    moved = (after[0].numbers[key] - before[-1].numbers[key]) * NS_PER_S
    seen = Span(moved // asleep.high, -(-moved // max(1, asleep.low)))
    parts = (100 * bound / max(1, wanted.middle) for bound in seen)
    saw = f"{asleep.middle / 1e6:,.0f} ms with HLT, in which it went "
    saw += " to ".join(f"{part:.1f}" for part in parts) + " % of its way"
    if rate is None:
        return failed(saw + ": not the rate of before and after")
    return held(seen.meets(wanted.wider(EXACT_PPM)), saw)


def _row(facts: Facts, row: str, key: str) -> list[Sample]:
    samples = [s for s in facts.timed if s.row == row and key in s.numbers]
    if len(samples) < 2:
        there = key != "ns" or any("ns" in s.numbers for s in facts.rows(row))
        raise Missing("no samples with host time around the sleep" if there else "no pvclock")
    return samples


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "sleeping.lapic": lapic,
    "sleeping.deadline": deadline,
    "sleeping.tsc": tsc,
    "sleeping.pvclock": pvclock,
}
