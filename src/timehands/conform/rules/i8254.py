"""The i8254. Sources: Intel 8254 data sheet; IBM PC/AT Technical Reference (port 0x61)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.clocks.i8254 import MODULUS, PIT_HZ
from timehands.conform.facts import NS_PER_S, Facts, Missing, Unsteady
from timehands.conform.rules.discovery import hz_words
from timehands.conform.rules.lapic import early_cycles
from timehands.conform.rules.ticks import ticks
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, noted, passed

#: How far its rate may be from 1,193,182 Hz (FreeBSD calibrates by it: all else is off as much).
RATE_PPM = 1_000
_SLACK_PPM = 3_000
_MODE_BITS = 0x3F
_WORD_ACCESS = 0x30
_PIC_VECTOR = 0x20


def _nominal(facts: Facts) -> Span:
    """Ticks in 10^9 TSC cycles, if it runs at the rate that it has to."""
    hz = facts.tsc_hz
    low, high = PIT_HZ * NS_PER_S // hz.high, -(-PIT_HZ * NS_PER_S // hz.low)
    return Span(low, high).wider(_SLACK_PPM)


def rate(facts: Facts) -> Outcome:
    """1,193,182 Hz."""
    if not facts.timed:
        raise Missing("no host time in this log: the i8254 is the ruler itself")
    try:
        measured = facts.hz_of(facts.pit_per_tsc)
    except Unsteady as unsteady:
        return failed(str(unsteady))
    saw = f"{hz_words(measured)} by {facts.ruler}"
    return held(measured.meets(Span.around(PIT_HZ, RATE_PPM)), saw)


def _passed(facts: Facts, short: int, long: int) -> Span:
    per_tsc = _nominal(facts)
    return Span(short * per_tsc.low // NS_PER_S - 4, -(-long * per_tsc.high // NS_PER_S) + 4)


def _is_among(ticks_seen: int, wanted: Span) -> bool:
    """Whether a count modulo 65536 can be of a number within the span."""
    return (wanted.high - ticks_seen) // MODULUS > (wanted.low - 1 - ticks_seen) // MODULUS


def latch(facts: Facts) -> Outcome:
    """A latched count is held until it is read, and the counter goes on meanwhile."""
    get = facts.one("i8254.latch")
    on = (get("held") - get("later")) % MODULUS
    wanted = _passed(facts, get("shortest"), get("longest"))
    saw = f"held {get('held'):#x}; {on:,} ticks later {get('later'):#x}"
    return held(_is_among(on, wanted), f"{saw} (expected {wanted.low:,} to {wanted.high:,})")


def read_back(facts: Facts) -> Outcome:
    """The read-back command tells the mode."""
    get = facts.one("i8254.read_back")
    seen = [get(key) & _MODE_BITS for key in ("mode_2", "mode_3")]
    saw = f"status {get('mode_2'):#x} in mode 2, {get('mode_3'):#x} in mode 3"
    return held(seen == [_WORD_ACCESS | 4, _WORD_ACCESS | 6], saw)


def mode_0(facts: Facts) -> Outcome:
    """Channel 2 counts down once; its output is low until then."""
    get = facts.one("i8254.mode_0")
    wanted = _passed(facts, get("shortest"), get("longest"))
    if get("out_at_first"):
        if get("count") <= wanted.high:
            raise Missing("a host on which the count was over before it could be looked at")
        return failed("the output was high right after the count was written")
    if not get("out"):
        return failed("the output never went high")
    us = [facts.ns_of(get(key)) // 1000 for key in ("shortest", "longest")]
    saw = f"count {get('count'):,}: output high between {us[0]:,} and {us[1]:,} us"
    return held(wanted.low <= get("count") <= wanted.high, saw)


def _counting(case: str, step: int) -> Callable[[Facts], Outcome]:
    def rule(facts: Facts) -> Outcome:
        get = facts.one(case)
        if not facts.timed and case == "i8254.mode_2":
            raise Missing("no host time in this log: this is the ruler itself")
        one = _passed(facts, get("shortest"), get("longest"))
        wanted = Span(one.low * step, one.high * step)
        saw = f"{get('counts'):,} counts where {wanted.low:,} to {wanted.high:,} are expected"
        return held(_is_among(get("counts"), wanted), saw)

    return rule


def gate_starts(facts: Facts) -> Outcome:
    """In mode 2 a rising gate begins the count anew: else it goes on from when it was loaded."""
    get = facts.one("i8254.gate_starts")
    seen = -get("after") % MODULUS
    anew = _passed(facts, get("shortest"), get("longest"))
    went_on = _passed(facts, get("shortest_loaded"), get("longest_loaded"))
    saw = f"{seen:,} ticks into its count, {anew.low:,} to {anew.high:,} after the gate rose"
    if not _is_among(seen, anew):
        return failed(saw)
    if _is_among(seen, went_on):
        raise Missing("a host that lets the guest look soon after the gate has risen")
    return passed(saw)


def gate_holds(facts: Facts) -> Outcome:
    """In mode 0 a low gate holds the count. KVM's and QEMU's i8254 do not do that."""
    get = facts.one("i8254.gate_holds")
    on = (get("held") - get("later")) % MODULUS
    if on == 0:
        return passed("the count stood still while the gate was low")
    return noted(f"it counted {on:,} ticks while the gate was low, as KVM's and QEMU's do")


def interrupt(facts: Facts) -> Outcome:
    """Interrupt 0 at its period, through the PIC."""
    get = facts.one("i8254.interrupt")
    at = facts.numbers("i8254.interrupt").get("at", ())
    if at and get("vector") != _PIC_VECTOR:
        return failed(f"vector {get('vector'):#x} came, {_PIC_VECTOR:#x} was asked for")
    period = facts.cycles_of(get("count"), _nominal(facts))
    # Loading takes a tick, and so may the look at the count.
    early = early_cycles(facts) + period.high // get("count") * 2
    return ticks(facts, at, get("wanted"), period, early)


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "i8254.rate": rate,
    "i8254.latch": latch,
    "i8254.read_back": read_back,
    "i8254.mode_0": mode_0,
    "i8254.mode_2": _counting("i8254.mode_2", 1),
    "i8254.mode_3": _counting("i8254.mode_3", 2),
    "i8254.gate_starts": gate_starts,
    "i8254.gate_holds": gate_holds,
    "i8254.interrupt": interrupt,
}
