"""Timers that fire again and again, judged by when they were seen to.

A busy host makes ticks late and swallows some; it never makes one early, and it does not make all
of them late by the same time. So a period that is too short is always seen, and one that is too
long where the ticks come evenly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from timehands.conform.facts import Facts
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, noted, passed

#: Ticks farther apart than so many hundredths of the period are late or of another period.
_LATE_PERCENT = 130
#: A host that is so busy that fewer come in their time is none to test on.
_LEAST = 3
#: Ticks are even when the longest distance is at most so many hundredths of the shortest.
_EVEN_PERCENT = 110


def ticks(facts: Facts, at: Sequence[int], wanted: int, period: Span, early: int) -> Outcome:
    """The ticks of a timer: ``at`` in TSC cycles after its start, ``period`` in cycles.

    ``early``: slack in cycles for the start of the first one.
    """
    if not at:
        return failed("it never fired")
    if len(at) < min(wanted, _LEAST):
        return failed(f"it fired {len(at)} times in its time, not {wanted}")
    for number, cycles in enumerate(at, 1):
        too_early = number * period.low - cycles - early
        if too_early > 0:
            ns = facts.ns_of(too_early)
            return failed(f"tick {number} of {wanted} came {ns:,} ns too early")
    return _distances(facts, [b - a for a, b in itertools.pairwise(at)], period)


def _distances(facts: Facts, steps: Sequence[int], period: Span) -> Outcome:
    shortest, longest = min(steps), max(steps)
    us, wanted_us = facts.ns_of(shortest) // 1000, facts.ns_of(period.middle) // 1000
    saw = (
        f"{len(steps) + 1} ticks, none early, {us:,} to {facts.ns_of(longest) // 1000:,} us apart "
        f"(period {wanted_us:,} us)"
    )
    if shortest * 100 <= period.high * _LATE_PERCENT:
        return passed(saw)
    if longest * 100 <= shortest * _EVEN_PERCENT:
        return failed(f"evenly {us:,} us apart; its period is {wanted_us:,} us")
    return noted(saw + ": this host is too busy to say more")


def lateness(facts: Facts, late: Sequence[int]) -> str:
    """Words for how late wake-ups were, in TSC cycles."""
    ordered = sorted(late)
    low, median, high = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    least, middle, most = (facts.ns_of(max(0, n)) // 1000 for n in (low, median, high))
    return f"late by {least:,} us at least, {middle:,} us in the middle, {most:,} us at most"
