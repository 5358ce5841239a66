"""TH5xx and TH6xx: time that is wrong while the guest runs, and a guest that waits for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.machines.initrd import MARK_INIT
from timehands.story.model import OutcomeKind
from timehands.watch.records import Kind

#: A guest clock that differs by more than this from the host's runs at another rate.
RATE_TOLERANCE_PPM = 500
#: An RTC counts whole seconds, and a boot takes a few.
WALL_TOLERANCE_NS = 3_000_000_000
_NS = 1_000_000_000
_LONGEST = 120
_MOST_LINES = 4


def wall_clock_wrong(case: Case) -> Iterable[Finding]:
    """TH501: the time of day that init finds is not the host's."""
    wall = case.story.wall
    if wall is None or abs(wall.offset_ns) <= WALL_TOLERANCE_NS:
        return
    seconds = wall.offset_ns // _NS
    side = "behind" if seconds < 0 else "ahead"
    without = case.lacks("rtc") and case.lacks("pvclock")
    yield Finding(
        "TH501",
        "wall clock wrong at init",
        Severity.ERROR,
        f"init finds a time of day that is {abs(seconds):,} s {side}"
        + (": the machine has no clock that keeps it (no RTC, no pvclock)." if without else ".")
        + " TLS, tokens and file dates fail with it.",
        (Evidence(f"{wall.source} against the host's", wall.evidence),),
        (Fix(FixKind.DEVICE, "rtc=on", "the kernel reads the time of day from the RTC"),)
        if case.lacks("rtc") and case.machine.type == "microvm"
        else (),
    )


def rate_wrong(case: Case) -> Iterable[Finding]:
    """TH502: between two readings of init the guest's clock and the host's moved differently."""
    rate = case.story.rate
    if rate is None:
        return
    if rate.low_ppm <= RATE_TOLERANCE_PPM and rate.high_ppm >= -RATE_TOLERANCE_PPM:
        return
    word = "fast" if rate.low_ppm > 0 else "slow"
    ticks = case.story.selected in case.knowledge.names.ticks
    why = "ticks were lost or came late" if ticks else "it does not tick as the kernel believes"
    yield Finding(
        "TH502",
        f"guest time runs {word}",
        Severity.ERROR,
        f"Over {rate.over_ns // 1_000_000:,} ms of host time the guest's monotonic clock was "
        f"between {rate.low_ppm:+,} and {rate.high_ppm:+,} ppm off. "
        f"It reads {case.story.selected}: {why}.",
        (Evidence("init's first and last reading", rate.evidence),),
        case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz),
    )


_BACKWARDS = re.compile(r"(?i)\b(time ?counter|TSC time|runtime) (?:time )?went backwards\b")


def goes_backwards(case: Case) -> Iterable[Finding]:
    """TH503: the kernel itself says that it read a time that lay before an earlier one."""
    lines = [line for line in case.recording.console if _BACKWARDS.search(line.text)]
    if not lines:
        return
    selected = case.story.selected or "not known"
    yield Finding(
        "TH503",
        "time went backwards",
        Severity.ERROR,
        f"The kernel said so {len(lines):,} times; the clock in use at the end is {selected}. "
        "Reads of it are not monotonic: vCPUs whose counters differ, a counter whose frequency "
        "was changed while it was in use, or one that wraps unseen.",
        tuple(Evidence(line.text[:_LONGEST], (line.reference,)) for line in lines[:_MOST_LINES]),
        (Fix(FixKind.ADVICE, "choose another time counter", "one that all vCPUs share"),),
    )


_WAITING = (OutcomeKind.HUNG, OutcomeKind.HALTED)


def _init_never_woke(case: Case) -> bool:
    """Our init sleeps once or twice: a guest that is idle after it was never woken."""
    begun = any(e.kind is Kind.CPUID and e.leaf[0] == MARK_INIT for e in case.recording.events)
    return begun and case.recording.header.ended_reason in ("idle", "hung", "timeout")


def _measures_in_vain(case: Case) -> bool:
    """The time was over within a calibration; without one the guest may only have been slow."""
    outcome = case.story.outcome
    unended = any(c.end_ns >= outcome.at_ns for c in case.story.calibrations)
    return outcome.kind is OutcomeKind.TIMED_OUT and unended


def waits_for_ever(case: Case) -> Iterable[Finding]:
    """TH601: the kernel spins or idles in a wait that no clock ends."""
    outcome = case.story.outcome
    waits = outcome.kind in _WAITING or _measures_in_vain(case)
    if not waits and not _init_never_woke(case):
        return
    timer = case.story.selected_timer
    watched = case.recording.header.planned
    unarmed = "no timer was ever armed" if watched else "which timer it has was not watched"
    ticking = f"its timer is {timer}" if timer else unarmed
    sources = [clock for clock in ("i8254", "lapic", "hpet") if case.offers(clock)]
    usable = f"the machine offers {' and '.join(sources)}" if sources else "the machine offers none"
    fixes: list[Fix] = []
    if not any(c.result_hz for c in case.story.calibrations if c.of == "tsc"):
        fixes += case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz)
    if not case.machine.has("pit") and case.lacks("i8254"):
        fixes.append(Fix(FixKind.DEVICE, "pit=on", "its interrupts are then the tick"))
    fixes += case.acpi_fixes
    yield Finding(
        "TH601",
        "the kernel waits for a clock that does not come",
        Severity.ERROR,
        f"{outcome.text[0].upper()}{outcome.text[1:]}; {ticking}, {usable}.",
        (Evidence(f"last seen in {outcome.where or 'unknown code'}", outcome.evidence),),
        tuple(fixes),
    )
