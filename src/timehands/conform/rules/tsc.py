"""The TSC: steps, agreement, rate, the invariant flag, writes, the deadline timer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.conform.facts import Died, Facts, Missing
from timehands.conform.rules.discovery import hz_words
from timehands.conform.verdicts import Outcome, failed, held, noted, passed

_INVARIANT = 1 << 8
_MASK_64 = (1 << 64) - 1
#: How far the vCPUs' TSCs may be apart, in ns: below what two vCPUs need to exchange a word.
AGREE_NS = 1_000
#: Slack of a timer that is said never to be early: rounding of its count.
EARLY_NS = 1_000
_MANY_MS = 50
#: So often the reading vCPU must have been another one than before, that reads are "in turn".
LEAST_TURNS = 4


def monotonic(facts: Facts) -> Outcome:
    """No read is less than the one before."""
    get = facts.one("tsc.monotonic")
    if get("reads") < 2:
        raise Missing("the guest came to no two reads")
    if not get("elapsed"):
        return failed(f"the TSC stood still over {get('reads'):,} reads")
    saw = f"{get('reads'):,} reads, {get('backwards'):,} backwards"
    worst = get("worst")
    return held(not get("backwards"), saw + (f", worst {worst:,} cycles" if worst else ""))


def across(facts: Facts) -> Outcome:
    """No vCPU reads less than another one did before it."""
    get = facts.one("tsc.across")
    saw = f"{get('reads'):,} reads in turn by {get('cpus')} vCPUs, {get('warps'):,} warps"
    worst = get("worst")
    if get("warps"):
        return failed(f"{saw}, worst {facts.ns_of(worst):,} ns")
    need_turns(get)
    return passed(saw)


def need_turns(get: Callable[..., int]) -> None:
    """Raises `Missing` where one vCPU had read all it wanted before another one came to it."""
    if get("turns", LEAST_TURNS) < LEAST_TURNS:
        raise Missing("a host that runs the vCPUs at one time, so that they take turns")


def offset(facts: Facts) -> Outcome:
    """Each vCPU's TSC between two reads of the first one's."""
    zero = facts.one("tsc.offset")("zero")
    lows, highs = facts.many("tsc.offset", "low"), facts.many("tsc.offset", "high")
    found = enumerate(zip(lows, highs, strict=False), 1)
    bounds = [(cpu, low - zero, high - zero) for cpu, (low, high) in found if high - low < zero]
    if not bounds:
        raise Missing("a host on which no vCPU answered in its time")
    slack = facts.tsc_hz.high * AGREE_NS // 10**9
    saw = "; ".join(
        f"vCPU {cpu} within {facts.ns_of(low):,} to {facts.ns_of(high):,} ns of vCPU 0"
        for cpu, low, high in bounds
    )
    return held(all(low <= slack and high >= -slack for _, low, high in bounds), saw)


def rate(facts: Facts) -> Outcome:
    """One rate over the whole run."""
    if len(facts.timed) < 3:
        raise Missing("no host time in this log")
    span_ms = ((facts.timed[-1].came_ns or 0) - (facts.timed[0].asked_ns or 0)) // 10**6
    try:
        return passed(f"{hz_words(facts.tsc_hz)}, the same over {span_ms:,} ms")
    except Missing:
        return failed(f"no one rate fits the {len(facts.timed)} samples of {span_ms:,} ms")


def invariant(facts: Facts) -> Outcome:
    """Who says invariant must run at one rate, and alike on all vCPUs."""
    says = bool(facts.one("discovery.limits")("power_edx") & _INVARIANT)
    if not says:
        return passed("CPUID does not claim it")
    if len(facts.timed) < 3:
        raise Missing("claimed, and no host time in this log to see it by")
    troubles = [
        name
        for name, rule in (("rate", rate), ("across", across), ("offset", offset))
        if said_wrong(rule, facts)
    ]
    if troubles:
        return failed(f"claimed, and yet tsc.{', tsc.'.join(troubles)} failed")
    return passed("claimed, and one rate was seen, on all vCPUs")


def said_wrong(rule: Callable[[Facts], Outcome], facts: Facts) -> bool:
    """Whether another case fails; what cannot be told does not."""
    try:
        return rule(facts).verdict == "fail"
    except (Missing, Died):
        return False


def deadline(facts: Facts) -> Outcome:
    """Fires once, not before its time, and the MSR reads 0 after it."""
    get = facts.one("tsc.deadline")
    if get("refused") or not get("fired"):
        what = "was refused" if get("refused") else "did not fire"
        return failed(f"CPUID announces it, and the deadline {what}")
    late = get("irq") - get("deadline")
    saw = f"fired {facts.ns_of(late):,} ns after its deadline"
    if late < -_cycles(facts, EARLY_NS):
        return failed(f"fired {facts.ns_of(-late):,} ns before its deadline")
    if get("msr_after"):
        return failed(f"{saw}, and IA32_TSC_DEADLINE then reads {get('msr_after'):#x}, not 0")
    if get("after_disarm") and get("disarmed") < get("disarm"):
        return failed(f"{saw}, and again after it was disarmed by writing 0")
    if not get("past_fired"):
        return failed(f"{saw}, but one that lay in the past never fired")
    return passed(saw + "; disarmed by 0; at once when in the past")


def _cycles(facts: Facts, ns: int) -> int:
    return facts.tsc_hz.high * ns // 10**9


def write(facts: Facts) -> Outcome:
    """What is written to IA32_TSC is where it counts on from, and TSC_ADJUST moves along."""
    get = facts.one("tsc.write")
    if get("refused"):
        return failed("a write to IA32_TSC was refused with an exception")
    moved, wanted = get("after") - get("before"), get("written") - get("before")
    many = _cycles(facts, _MANY_MS * 10**6)
    if abs(moved) < many and wanted > many:
        return noted("a write to IA32_TSC was ignored, as TCG and confidential guests do")
    if not 0 <= get("after") - get("written") < 40 * many:
        return failed(f"after writing {get('written'):#x} the TSC read {get('after'):#x}")
    if _has_adjust(facts):
        adjusted = (get("adjust_after") - get("adjust_before")) & _MASK_64
        if not wanted - 40 * many < adjusted <= wanted:
            return failed(f"the TSC moved by {wanted:,}, TSC_ADJUST by {adjusted:,}")
        return passed("it counts on from what is written, and TSC_ADJUST tells")
    return passed("it counts on from what is written")


def _has_adjust(facts: Facts) -> bool:
    return bool(facts.one("discovery.limits")("structured_ebx") & 1 << 1)


def adjust(facts: Facts) -> Outcome:
    """Adding to TSC_ADJUST adds to the TSC."""
    get = facts.one("tsc.adjust")
    if get("refused"):
        return failed("CPUID announces IA32_TSC_ADJUST, and an access was refused")
    moved = get("after") - get("before")
    if get("read_back") != get("by"):
        return failed(f"{get('by'):#x} was added to TSC_ADJUST, and {get('read_back'):#x} was read")
    good = get("by") <= moved < get("by") + 40 * _cycles(facts, _MANY_MS * 10**6)
    return held(good, f"TSC_ADJUST by {get('by'):,}, the TSC moved by {moved:,}")


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "tsc.monotonic": monotonic,
    "tsc.across": across,
    "tsc.offset": offset,
    "tsc.rate": rate,
    "tsc.invariant": invariant,
    "tsc.deadline": deadline,
    "tsc.write": write,
    "tsc.adjust": adjust,
}
