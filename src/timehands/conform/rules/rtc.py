"""The RTC. Source: Motorola MC146818A data sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from timehands.clocks.rtc import UPDATE_WARNING_NS, RtcTime
from timehands.conform.facts import NS_PER_S, Facts, Missing
from timehands.conform.rules.lapic import early_cycles
from timehands.conform.rules.ticks import ticks
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, passed

#: How far its date may be from the host's, in seconds: it shows whole ones.
DATE_S = 2
#: Two looks at whole seconds are up to one off.
WHOLE_NS = 1_000_000_000
_FLAG_SLACK_PPM = 5_000
#: So few looks may all have come just before the second's change.
_CHANCE_LOOKS = 4


def _shown(facts: Facts, case: str) -> datetime:
    second, minute, hour, day, month, year, century = (
        number & 0xFF for number in facts.many(case, "date", 7)[:7]
    )
    register_b = facts.one(case)("register_b") & 0xFF
    date = RtcTime(second, minute, hour, day, month, year, century, register_b).as_utc()
    if date is None:
        shown = bytes((second, minute, hour, day, month, year, century)).hex(" ")
        raise _NoDate(f"its registers make no date ({shown})")
    return date


class _NoDate(Exception):
    """The registers hold no date."""


def date(facts: Facts) -> Outcome:
    """The host's date, in UTC."""
    try:
        shown = _shown(facts, "rtc.date")
    except _NoDate as none:
        return failed(str(none))
    said = facts.log.said["rtc.date"]
    if said.host_ns is None:
        raise Missing("no host time in this log")
    off_ns = _unix_s(shown) * NS_PER_S + NS_PER_S // 2 - facts.realtime_ns(said.host_ns)
    saw = f"{shown:%Y-%m-%d %H:%M:%S}, {off_ns / 1e9:+,.1f} s against the host's date (UTC)"
    return held(abs(off_ns) <= DATE_S * NS_PER_S, saw)


def _unix_s(date: datetime) -> int:
    return int((date - datetime.fromtimestamp(0, UTC)).total_seconds())


def goes_on(facts: Facts) -> Outcome:
    """Its seconds go on as the TSC does."""
    try:
        first, last = _shown(facts, "rtc.date"), _shown(facts, "rtc.goes_on")
    except _NoDate as none:
        return failed(str(none))
    if not facts.one("rtc.goes_on")("changed"):
        return failed("its seconds stand still")
    one, other = facts.one("rtc.date"), facts.one("rtc.goes_on")
    cycles = Span(other("tsc") - one("tsc_after"), other("tsc_after") - one("tsc"))
    passed_ns = Span(
        cycles.low * NS_PER_S // facts.tsc_hz.high, -(-cycles.high * NS_PER_S // facts.tsc_hz.low)
    )
    shown_ns = (_unix_s(last) - _unix_s(first)) * NS_PER_S
    saw = f"{shown_ns // NS_PER_S} s on, while {passed_ns.middle / 1e9:.2f} s passed"
    return held(Span(shown_ns - WHOLE_NS, shown_ns + WHOLE_NS).meets(passed_ns), saw)


def update(facts: Facts) -> Outcome:
    """The update flag, before the second changes.

    The last look at the flag that is known to have been before a change, and the change itself,
    lie within the time that the guest tells, the shortest of a few changes: where that is shorter
    than the flag is set for, a look fell into it.
    """
    get = facts.one("rtc.update")
    if not get("changes"):
        raise Missing("a second that changed while it was looked at")
    looks, seen = get("looks"), get("seen")
    if seen == looks > _CHANCE_LOOKS:
        return failed(f"the update flag was set in each of {looks:,} looks")
    if seen:
        return passed(f"the update flag was set in {seen:,} of {looks:,} looks")
    within_ns = get("within") * NS_PER_S // facts.tsc_hz.low
    if within_ns >= UPDATE_WARNING_NS:
        raise Missing(f"a host that lets the guest look more often than every {within_ns:,} ns")
    return failed(f"never set in {looks:,} looks, the last ones within {within_ns // 1000:,} us")


def periodic(facts: Facts) -> Outcome:
    """Its periodic flag, at the rate that the guest has chosen."""
    get = facts.one("rtc.periodic")
    at = facts.numbers("rtc.periodic").get("at", ())
    hz = facts.tsc_hz
    period = Span(hz.low // get("hz"), hz.high // get("hz")).wider(_FLAG_SLACK_PPM)
    # It runs before we look: the first flag may come at once.
    return ticks(facts, at, get("wanted"), period, period.high + early_cycles(facts))


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "rtc.date": date,
    "rtc.goes_on": goes_on,
    "rtc.update": update,
    "rtc.periodic": periodic,
}
