"""NetBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from timehands.guests.base import ENTRY64, PVH_ENTRY, first_boundaries, last_boundary
from timehands.guests.bsd.messages import matches, messages, without_stamp
from timehands.guests.netbsd.calibrations import calibrations_of
from timehands.guests.netbsd.clocks import Clocks, clocks_of, delay_func, delays
from timehands.guests.netbsd.facts import facts
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ
from timehands.guests.telling import boundary_at, callers, entries, watched
from timehands.story.model import Boundary, Mark, Outcome, OutcomeKind, References, SpanKind, Story
from timehands.story.outcome import Signs, outcome_of
from timehands.story.spans import Call, call_spans, calls_of, open_calls, stretches
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

ENTRIES = (PVH_ENTRY, ENTRY64, "init_x86_64", "main")
CALIBRATING = frozenset(
    {"cpu_get_tsc_freq", "cpu_tsc_freq_cpuid", "hpet_tsc_freq", "lapic_calibrate_timer"}
)
ON_CLOCKS = frozenset(
    {
        "startrtclock", "xen_startrtclock", "inittimecounter", "initclocks", "cpu_initclocks",
        "lapic_initclock", "i8254_initclocks", "xen_initclocks", "pvclock_attach", "tsc_sync_bp",
        "tsc_tc_init", "tc_init", "inittodr", "rtc_get_ymdhms", "lapic_reset",
    }
)  # fmt: skip
PROMPT = "root device:"
#: Lines by which a boundary is known from the console. The prompt has no line of its own: what is
#: printed before it counts.
LINES = {
    Mark.KERNEL_ENTRY: re.compile(r"^Copyright \(c\) 1996, 1997|^NetBSD \d+\.\d"),
    Mark.CLOCK_KNOWN: re.compile(r'^timecounter: Timecounter "'),
    Mark.TIMER_ARMED: re.compile(r'^timecounter: Timecounter "(clockinterrupt|lapic)"'),
    Mark.INIT: re.compile(r"^boot device: <unknown>$|^root file system type: "),
    Mark.ENDED: re.compile(r"^boot device: <unknown>$|^Stopped in pid |press any key to reboot"),
}
_PANIC = re.compile(r"^panic: (.{1,200})$")
_AT_PROMPT = {
    "boundary": "the kernel asks for its root device: as far as it gets without a root file system",
    "interrupted": "the kernel asked for its root device; then the boot was interrupted",
}


def tell(recording: Recording) -> Story:
    """What a NetBSD recording means."""
    calls = calls_of(recording)
    calibrations = calibrations_of(recording, calls)
    clocks = clocks_of(recording, calibrations)
    boundaries = (
        *first_boundaries(recording),
        _kernel_entry(recording),
        _clock_known(recording),
        _timer_armed(recording, clocks),
        init_boundary(recording),
        last_boundary(recording),
    )
    spans = call_spans(calls, recording, _kind_of, lambda call: call.name)
    return Story(
        "netbsd",
        _outcome(recording, calls),
        boundaries,
        clocks.clocks,
        clocks.selected,
        clocks.selected_timer,
        calibrations,
        (*stretches(boundaries), *spans),
        unknown=tuple(_unknown(recording)),
        delay=delays(recording),
        facts=facts(recording),
        messages=messages(recording, KNOWN),
    )


def _kind_of(call: Call) -> SpanKind:
    if call.name in CALIBRATING:
        return SpanKind.CALIBRATION
    return SpanKind.CLOCK if call.name in ON_CLOCKS else SpanKind.KERNEL


def _said(recording: Recording, mark: Mark, how: str) -> Boundary:
    for line in recording.console:
        if LINES[mark].search(without_stamp(line.text)):
            return Boundary(mark, recording.since_start(line.host_ns), how, (line.reference,))
    return Boundary(mark, None)


def _kernel_entry(recording: Recording) -> Boundary:
    event = next(entries(recording, *ENTRIES), None)
    if event is None:
        return _said(recording, Mark.KERNEL_ENTRY, "no later than its first line")
    return boundary_at(recording, Mark.KERNEL_ENTRY, event, recording.function(event) or "")


def found_frequency(recording: Recording, event: Event) -> str | None:
    """Whether a return shows a clock whose rate the kernel knows: how, in words."""
    name = recording.function(event)
    if name == "cpu_get_tsc_freq" and event.kind is Kind.LEAVE and recording.number(event, CC_FREQ):
        return f"{name} left a TSC frequency"
    return "tc_init" if name == "tc_init" and event.kind is Kind.LEAVE else None


def _clock_known(recording: Recording) -> Boundary:
    """The TSC's frequency, or the first timecounter: the i8254, whose rate is fixed."""
    for event in recording.events:
        if how := found_frequency(recording, event):
            return boundary_at(recording, Mark.CLOCK_KNOWN, event, how)
    if watched(recording):
        return Boundary(Mark.CLOCK_KNOWN, None)
    return _said(recording, Mark.CLOCK_KNOWN, "seen on the console")


def _timer_armed(recording: Recording, clocks: Clocks) -> Boundary:
    event = clocks.timer_armed
    if event is None:
        return _said(recording, Mark.TIMER_ARMED, "no later than it says so")
    return boundary_at(recording, Mark.TIMER_ARMED, event, recording.function(event) or "")


def init_boundary(recording: Recording) -> Boundary:
    """init itself, or the question at which a kernel ends that has no root file system."""
    asks = False
    for event in recording.events:
        name = recording.function(event) if event.kind is Kind.ENTER else None
        asks = asks or name == "setroot"
        if name == "sys_execve":
            return boundary_at(recording, Mark.INIT, event, "start_init starts init")
        if name == "cngetsn" and asks:
            return boundary_at(recording, Mark.INIT, event, PROMPT)
    line = _said(recording, Mark.INIT, "")
    how = PROMPT if line.evidence and not _mounted(recording) else "the root file system is there"
    return replace(line, how=how if line.evidence else "")


def _mounted(recording: Recording) -> bool:
    return any("root file system type: " in line.text for line in recording.console)


def _outcome(recording: Recording, calls: tuple[Call, ...]) -> Outcome:
    init = init_boundary(recording)
    panic, evidence = _panic(recording)
    busy = open_calls(calls, recording)
    rebooted = next(entries(recording, "cpu_reboot"), None) is not None
    signs = Signs(init.evidence, False, panic, evidence, rebooted, busy[-1].name if busy else None)
    outcome = outcome_of(recording, signs)
    reason = recording.header.ended_reason or "interrupted"
    if outcome.kind is OutcomeKind.INIT_REACHED and init.how == PROMPT:
        return replace(outcome, text=_AT_PROMPT.get(reason, f"{_AT_PROMPT['boundary']} ({reason})"))
    return outcome


def _panic(recording: Recording) -> tuple[str | None, References]:
    """The message of a panic; of a trap that led to it, where it was."""
    for line in recording.console:
        if match := _PANIC.search(without_stamp(line.text)):
            fault, evidence = _fault(recording)
            return f"{match[1].strip()}{fault}", (line.reference, *evidence)
    for event in entries(recording, "vpanic"):
        text = recording.text(event, "string") or "no message read"
        return text.strip(), (event.reference,)
    return None, ()


def _fault(recording: Recording) -> tuple[str, References]:
    for one, line, match in matches(recording, KNOWN):
        if one.name == "trap":
            rip = int(match[2], 16)
            where = recording.symbols.get(rip, match[2])
            return f" (trap {match[1]} in {where}, address {match[3]})", (line.reference,)
    return "", ()


def _unknown(recording: Recording) -> Iterator[str]:
    """What this recording cannot show, said plainly."""
    functions = recording.header.functions
    if not functions:
        yield "no function was watched: clocks and calibrations are known from the console only"
    elif "tc_init" not in functions:
        yield "the kernel has no symbols: clocks and calibrations are known from the console only"
    if not any(True for _ in matches(recording, KNOWN)):
        yield "no message about clocks was seen (console=com and -v make the kernel print them)"
    if recording.header.console_dropped:
        yield f"{recording.header.console_dropped:,} bytes of console output were not kept"


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, who serves DELAY, and where a fault happened: to be named."""
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield from callers(recording, event)
        if target := delay_func(recording, event):
            yield target
    for one, _, match in matches(recording, KNOWN):
        if one.name == "trap":
            yield int(match[2], 16)
