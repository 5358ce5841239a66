"""The LAPIC's timer. Source: Intel SDM volume 3, 10.5.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.conform.facts import NS_PER_S, Facts, Missing, Unsteady
from timehands.conform.rules.discovery import hz_words
from timehands.conform.rules.ticks import ticks
from timehands.conform.rules.tsc import EARLY_NS
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, passed

_DIVISORS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Slack for rates that were measured in a few ms.
_SLACK_PPM = 2_000
_TIMER_VECTOR = 0x40


def rate(facts: Facts) -> Outcome:
    """One rate, against the TSC and so against the host."""
    try:
        return passed(f"{hz_words(facts.hz_of(facts.lapic_per_tsc))} by {facts.ruler}")
    except Unsteady as unsteady:
        return failed(str(unsteady))


def divisors(facts: Facts) -> Outcome:
    """Each divisor divides."""
    counts, shorts, longs = (
        facts.many("lapic.divisors", key, 8) for key in ("counts", "shortest", "longest")
    )
    if counts[0] < 16:
        return failed(f"it counted {counts[0]} in {facts.ns_of(longs[0]) // 1000:,} us")
    wrong = []
    for divisor, count, short, long in zip(_DIVISORS, counts, shorts, longs, strict=False):
        wanted = _counts(facts, divisor, short, long)
        if not wanted.meets(Span(count, count)):
            wrong.append(
                f"/{divisor} counted {count:,}, expected {wanted.low:,} to {wanted.high:,}"
            )
    return failed("; ".join(wrong)) if wrong else passed("1, 2, 4, ... 128 all divide")


def _counts(facts: Facts, divisor: int, short: int, long: int) -> Span:
    """The counts that are to be seen in a time between two bounds."""
    per_tsc = facts.lapic_per_tsc.wider(_SLACK_PPM)
    low = short * per_tsc.low // NS_PER_S // divisor
    high = -(-long * per_tsc.high // NS_PER_S // divisor)
    return Span(low - 2, high + 2)


def early_cycles(facts: Facts) -> int:
    """Slack for what is said never to come early."""
    return facts.tsc_hz.high * EARLY_NS // NS_PER_S


def one_shot(facts: Facts) -> Outcome:
    """Fires once, not early, and stays at 0."""
    get = facts.one("lapic.one_shot")
    if not get("fired"):
        return failed("it never fired")
    if get("vector") != _TIMER_VECTOR:
        return failed(f"vector {get('vector'):#x} came, {_TIMER_VECTOR:#x} was asked for")
    wanted = facts.cycles_of(get("count"), facts.lapic_per_tsc)
    took = get("irq") - get("start")
    late = took - wanted.low
    saw = f"fired {facts.ns_of(late) // 1000:,} us late"
    if late < -early_cycles(facts):
        return failed(f"fired {facts.ns_of(-late):,} ns early")
    if get("again"):
        return failed(f"{saw}, and a second time")
    return held(not get("left"), saw + (f", and left {get('left'):,}" if get("left") else ", once"))


def periodic(facts: Facts) -> Outcome:
    """Fires again and again, at its period."""
    get = facts.one("lapic.periodic")
    at = facts.numbers("lapic.periodic").get("at", ())
    period = facts.cycles_of(get("count"), facts.lapic_per_tsc)
    return ticks(facts, at, get("wanted"), period, early_cycles(facts))


def masked(facts: Facts) -> Outcome:
    """A masked timer counts, and does not interrupt."""
    get = facts.one("lapic.masked")
    if get("left") and not get("interrupts"):
        raise Missing("a host on which its count was not over in its time")
    return held(not get("interrupts"), f"{get('interrupts')} interrupts while masked")


def stopped(facts: Facts) -> Outcome:
    """An initial count of 0 stops it."""
    get = facts.one("lapic.stopped")
    if get("left"):
        return failed(f"after a count of 0 was written it stands at {get('left'):,}")
    least = facts.cycles_of(get("count"), facts.lapic_per_tsc).low
    if get("stop") - get("start") >= least:
        raise Missing("a host on which it was over before it could be stopped")
    return held(not get("interrupts"), f"{get('interrupts')} interrupts after it was stopped")


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "lapic.rate": rate,
    "lapic.divisors": divisors,
    "lapic.one_shot": one_shot,
    "lapic.periodic": periodic,
    "lapic.masked": masked,
    "lapic.stopped": stopped,
}
