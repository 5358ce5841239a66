"""pvclock: the registration, the record, the protocol, the time.

Source: Linux Documentation/virt/kvm/x86/msr.rst and arch/x86/include/asm/pvclock-abi.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.rate import Reading, fit
from timehands.conform.facts import NS_PER_S, Facts, Missing, times
from timehands.conform.log import Sample
from timehands.conform.rules import tsc
from timehands.conform.rules.discovery import EXACT_PPM, hz_words, registered
from timehands.conform.rules.tsc import said_wrong
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, noted, passed

_FEATURES = {"old": 1 << 0, "new": 1 << 3}
_STABLE_FEATURE = 1 << 24
_ALL_FLAGS = int(Flags.TSC_STABLE | Flags.GUEST_STOPPED | Flags.COUNTS_FROM_ZERO)
#: How far apart in ns two vCPUs' records may be at one TSC when they claim to be of one clock.
AGREE_NS = 10
#: How far a new record may be from what the old one would say now.
JUMP_NS = 100_000
#: How far the date may be off.
WALL_NS = 100_000_000
#: A clock that reads more than this at boot began before its machine.
_BEGUN_NS = 3_600 * NS_PER_S
_MASK_64 = (1 << 64) - 1


def _registration(pair: str) -> Callable[[Facts], Outcome]:
    def rule(facts: Facts) -> Outcome:
        case = f"pvclock.{pair}_msrs"
        get = facts.one(case)
        if not registered(facts, case):
            if not get("announced"):
                raise Missing("not announced, and not there")
            how = "refused" if get("refused") else "taken, and no record came"
            return failed(f"announced, and the write was {how} (version {get('version')})")
        return _record(facts, case)

    return rule


def _record(facts: Facts, case: str) -> Outcome:
    """What must be true of any record that was just written."""
    get = facts.one(case)
    flags, shift = get("flags"), _signed(get("shift"))
    saw = f"version {get('version')}, mul {get('mul'):#x}, shift {shift}, flags {flags:#x}"
    wrong = [
        (get("version") & 1, "the version stayed odd"),
        (get("pad0") or get("pad"), "the padding is not 0"),
        (flags & ~_ALL_FLAGS, "flags that nobody defined are set"),
        (not get("behind_kept"), "bytes behind the 32 of the record were written"),
        (get("tsc_timestamp") > get("tsc"), "its TSC lies in the future"),
        (not get("read_refused") and get("read") != get("wrote"), "the MSR reads another value"),
        (not -31 <= shift <= 31, "no such shift"),
    ]
    words = next((words for bad, words in wrong if bad), "")
    return failed(f"{saw}: {words}") if words else passed(saw)


def _signed(byte: int) -> int:
    return byte - 256 if byte & 0x80 else byte


def _best(facts: Facts) -> str:
    for pair in ("new", "old"):
        if registered(facts, f"pvclock.{pair}_msrs"):
            return f"pvclock.{pair}_msrs"
    raise Missing("no pvclock")


def scale(facts: Facts) -> Outcome:
    """The record's multiplier is that of the TSC's rate."""
    get = facts.one(_best(facts))
    shift = _signed(get("shift"))
    hz = (NS_PER_S << 32) // get("mul")
    hz = hz << -shift if shift < 0 else hz >> shift
    saw = f"mul and shift make {hz / 1e6:,.3f} MHz, measured {hz_words(facts.tsc_hz)}"
    return held(facts.tsc_hz.meets(Span.around(hz, EXACT_PPM)), f"{saw} by {facts.ruler}")


def reading(facts: Facts) -> Outcome:
    """The time that the record makes is that of a machine that was just started."""
    get = facts.one(_best(facts))
    info = TimeInfo(
        0, get("tsc_timestamp"), get("system_time"), get("mul"), _signed(get("shift")), 0
    )
    ns = nanoseconds(info, get("tsc"))
    if ns != get("ns"):
        return failed(f"our arithmetic makes {ns:,} ns of the record, the guest's {get('ns'):,}")
    saw = f"{ns / 1e9:,.3f} s at the first look"
    return passed(saw) if ns < _BEGUN_NS else noted(f"{saw}: it did not begin with its machine")


def monotonic(facts: Facts) -> Outcome:
    """On one vCPU it never goes back."""
    get = facts.one("pvclock.monotonic")
    saw = f"{get('reads'):,} reads, {get('warps'):,} warps"
    return held(not get("warps"), saw + _worst(get("worst_ns")))


def stalls(facts: Facts) -> Outcome:
    """It does not stand still while the TSC goes on."""
    get = facts.one("pvclock.monotonic")
    longest = facts.ns_of(get("longest_stall"))
    saw = f"{get('reads'):,} reads, {get('stalls'):,} in which it stood still"
    return held(not get("stalls"), saw + (f", the longest {longest:,} ns" if longest else ""))


def _worst(ns: int) -> str:
    return f", the worst {ns:,} ns" if ns else ""


def across(facts: Facts) -> Outcome:
    """Each vCPU by its own record never less than another one before it."""
    get = facts.one("pvclock.across")
    saw = f"{get('reads'):,} reads in turn by {get('cpus')} vCPUs, {get('warps'):,} warps"
    versions = facts.many("pvclock.across", "versions")
    if not all(versions):
        return failed(f"vCPU {versions.index(0)} has registered, and no record came")
    stable = all(flag & Flags.TSC_STABLE for flag in facts.many("pvclock.across", "flags"))
    if get("warps") and not stable:
        return noted(f"{saw}{_worst(get('worst_ns'))}; TSC_STABLE is not set, so guests guard it")
    if get("warps"):
        return failed(saw + _worst(get("worst_ns")))
    tsc.need_turns(get)
    return passed(saw)


def stable(facts: Facts) -> Outcome:
    """Who sets TSC_STABLE announces it, and all records are of one clock."""
    flags = facts.one(_best(facts))("flags")
    announced = facts.many("discovery.features", "regs", 4)[0] & _STABLE_FEATURE
    if not flags & Flags.TSC_STABLE:
        if announced:
            return noted("announced in CPUID (bit 24), and not set in the record")
        return passed("not claimed: guests guard against steps back by themselves")
    if not announced:
        return noted("set in the record, and not announced in CPUID (bit 24): guests ignore it")
    if said_wrong(tsc.offset, facts):
        return failed("set, and the TSCs of the vCPUs disagree (tsc.offset)")
    if "pvclock.across" in facts.log.said and facts.log.said["pvclock.across"].kind == "data":
        ns = facts.many("pvclock.across", "ns")
        apart = max(ns) - min(ns)
        if apart > AGREE_NS or facts.one("pvclock.across")("warps"):
            return failed(f"set, and the records of {len(ns)} vCPUs are {apart:,} ns apart")
        return passed(f"set; the records of {len(ns)} vCPUs are {apart:,} ns apart at one TSC")
    return passed("set; with one vCPU there is nothing that it could hide")


def _timed(facts: Facts) -> list[Sample]:
    samples = [s for s in facts.timed if "ns" in s.numbers]
    if len(samples) < 3:
        raise Missing("no host time in this log" if not facts.timed else "no pvclock")
    return samples


def rate(facts: Facts) -> Outcome:
    """A second of it is a second of the host."""
    found = fit([Reading(s.numbers["ns"], *times(s)) for s in _timed(facts)])
    if found is None:
        return failed("it does not run at one rate against the host's clock")
    ppm = (found.hz - NS_PER_S) // 1000
    doubt = (found.high_hz - found.low_hz) // 2000
    saw = f"{ppm:+,} ± {doubt:,} ppm against the host's clock over {found.span_ns // 10**6:,} ms"
    return held(Span(found.low_hz, found.high_hz).meets(Span.around(NS_PER_S, EXACT_PPM)), saw)


def version(facts: Facts) -> Outcome:
    """Updates change the version, by steps forward, to an even one."""
    get = facts.one("pvclock.version")
    saw = f"{get('updates'):,} updates asked for, {get('versions'):,} new versions seen"
    wrong = [
        (get("changed"), f"{get('changed')} records changed under one version"),
        (get("back"), f"the version went back {get('back')} times"),
        (get("odd"), f"it was odd {get('odd')} times while its vCPU ran"),
        (get("updates") > 4 and not get("versions"), "the version never changed"),
        (get("behind_ns") > JUMP_NS, f"an update put it back by {get('behind_ns'):,} ns"),
        (get("ahead_ns") > JUMP_NS, f"an update put it forward by {get('ahead_ns'):,} ns"),
    ]
    words = next((words for bad, words in wrong if bad), "")
    return failed(f"{saw}; {words}") if words else passed(saw)


def version_across(facts: Facts) -> Outcome:
    """Another vCPU that looks while a record is written can tell."""
    get = facts.one("pvclock.version_across")
    saw = (
        f"{get('reads'):,} reads by another vCPU during {get('updates'):,} updates; "
        f"{get('odd') + get('torn'):,} reads begun again"
    )
    if get("changed"):
        return failed(f"{saw}; {get('changed')} records were written under their old version")
    if get("half"):
        return failed(
            f"{saw}; {get('half')} records had their new version before they were written"
        )
    if get("updates") > 4 and not get("odd") + get("torn") + get("good"):
        raise Missing("a host on which no update was seen from another vCPU")
    return passed(saw)


def register_again(facts: Facts) -> Outcome:
    """In a new place the clock goes on, and the old place is left alone."""
    get = facts.one("pvclock.register_again")
    if not get("version") or not get("mul"):
        return failed("no record came at the new address")
    if not get("old_kept"):
        return failed("the old address was written after a new one was registered")
    return _goes_on(get)


def disable(facts: Facts) -> Outcome:
    """After 0 is written the record is left alone; registered again the clock goes on."""
    get = facts.one("pvclock.disable")
    if not get("kept"):
        return failed("the record was written after it was disabled")
    if not get("version"):
        return failed("registered again, no record came")
    return _goes_on(get)


def bad_address(facts: Facts) -> Outcome:
    """Addresses outside of memory harm nobody."""
    get = facts.one("pvclock.bad_address")
    refused = facts.many("pvclock.bad_address", "refused")
    if not get("version"):
        return failed("after bad addresses a good one brings no record")
    outcome = _goes_on(get)
    saw = f"{sum(map(bool, refused))} of {len(refused)} refused, the others ignored; {outcome.saw}"
    return Outcome(outcome.verdict, saw)


def _goes_on(get: Callable[..., int]) -> Outcome:
    step = get("after_ns") - get("before_ns")
    saw = f"the clock went on ({step / 1e6:+,.1f} ms)"
    return held(
        0 <= step < 10 * NS_PER_S, saw if step >= 0 else f"the clock went back {-step:,} ns"
    )


def wall(facts: Facts) -> Outcome:
    """The wall clock record and the time make the host's date."""
    get = facts.one("pvclock.wall")
    if get("refused") or not get("version"):
        return failed("no wall clock record came")
    if not get("behind_kept") or get("nsec") >= NS_PER_S or get("version") & 1:
        return failed("the record is not well made (version, ns, or bytes behind it)")
    began_ns = get("sec") * NS_PER_S + get("nsec")
    said = facts.log.said["pvclock.wall"]
    if said.host_ns is None:
        raise Missing("no host time in this log")
    off_ns = began_ns + get("ns") - facts.realtime_ns(said.host_ns)
    saw = f"{off_ns / 1e6:+,.1f} ms against the host's date"
    # It was read after the case began, and before it was told.
    taken_ns = said.host_ns - facts.begun_ns("pvclock.wall")
    return held(-taken_ns - WALL_NS <= off_ns <= WALL_NS, saw)


def stopped(facts: Facts) -> Outcome:
    """GUEST_STOPPED is not set in a guest that was never stopped."""
    rows = [s for s in facts.rows("first", "last") if "flags" in s.numbers]
    if not rows:
        raise Missing("no pvclock, or nobody at the serial line")
    bad = [s for s in rows if s.numbers["flags"] & Flags.GUEST_STOPPED]
    saw = f"{len(rows)} looks at the flags, GUEST_STOPPED set in {len(bad)}"
    return held(not bad, saw)


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "pvclock.old_msrs": _registration("old"),
    "pvclock.new_msrs": _registration("new"),
    "pvclock.scale": scale,
    "pvclock.reading": reading,
    "pvclock.monotonic": monotonic,
    "pvclock.stalls": stalls,
    "pvclock.across": across,
    "pvclock.stable": stable,
    "pvclock.rate": rate,
    "pvclock.version": version,
    "pvclock.version_across": version_across,
    "pvclock.register_again": register_again,
    "pvclock.disable": disable,
    "pvclock.bad_address": bad_address,
    "pvclock.wall": wall,
    "pvclock.stopped": stopped,
}
