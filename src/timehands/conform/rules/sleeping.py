"""HLT and what wakes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from timehands.clocks.rate import Reading, fit
from timehands.conform.facts import NS_PER_S, Facts, Missing, times
from timehands.conform.log import Sample
from timehands.conform.rules.discovery import EXACT_PPM
from timehands.conform.rules.lapic import early_cycles
from timehands.conform.rules.ticks import lateness
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, passed


def lapic(facts: Facts) -> Outcome:
    """The LAPIC's one-shot timer never wakes early."""
    counts, took = (facts.many("sleeping.lapic", key) for key in ("counts", "took"))
    wanted = [facts.cycles_of(count, facts.lapic_per_tsc).low for count in counts]
    return _woken(facts, "sleeping.lapic", wanted, took)


def deadline(facts: Facts) -> Outcome:
    """Nor does the TSC deadline."""
    wanted, took = (facts.many("sleeping.deadline", key) for key in ("wanted", "took"))
    return _woken(facts, "sleeping.deadline", wanted, took)


def _woken(facts: Facts, case: str, wanted: Sequence[int], took: Sequence[int]) -> Outcome:
    get = facts.one(case)
    if get("woken") < get("sleeps"):
        return failed(f"HLT ended {get('sleeps') - get('woken')} times without an interrupt")
    late = [b - a for a, b in zip(wanted, took, strict=False)]
    earliest = min(late)
    if earliest < -early_cycles(facts):
        count = sum(each < -early_cycles(facts) for each in late)
        ns = facts.ns_of(-earliest)
        return failed(f"{count} of {len(late)} wake-ups early, the worst by {ns:,} ns")
    return passed(f"{len(late)} wake-ups, none early, {lateness(facts, late)}")


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
