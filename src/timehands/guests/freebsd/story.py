"""FreeBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from timehands.guests.base import ENTRY64, PVH_ENTRY, first_boundaries, last_boundary
from timehands.guests.freebsd.calibrations import calibrations_of
from timehands.guests.freebsd.clocks import clocks_of
from timehands.guests.freebsd.console import DUMMY
from timehands.guests.freebsd.delay import delays
from timehands.guests.freebsd.facts import facts
from timehands.guests.freebsd.faults import fault_of, instruction_pointers
from timehands.guests.freebsd.messages import matches, messages
from timehands.guests.telling import boundary_at, callers, entries, watched
from timehands.guests.tslog import log_spans
from timehands.story.model import Boundary, Mark, Outcome, OutcomeKind, References, SpanKind, Story
from timehands.story.outcome import Signs, outcome_of
from timehands.story.spans import Call, call_spans, calls_of, open_calls, stretches
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Event, Kind

ENTRIES = (PVH_ENTRY, ENTRY64, "hammer_time_xen", "hammer_time")
CALIBRATING = frozenset(
    {
        "tsc_init", "probe_tsc_freq_early", "tsc_freq_cpuid_vm", "start_TSC",
        "probe_tsc_freq_late", "tsc_freq_tc", "tsc_calibrate", "clockcalib",
        "lapic_calibrate_timer", "lapic_calibrate_initcount", "lapic_calibrate_deadline",
    }
)  # fmt: skip
ON_CLOCKS = frozenset(
    {
        "clock_init", "startrtclock", "cpu_initclocks", "cpu_initclocks_bsp", "inittimecounter",
        "tc_init", "init_TSC_tc", "test_tsc", "lapic_init", "kvm_clock_attach", "pvclock_init",
    }
)  # fmt: skip
ON_DEVICES = frozenset(
    {"attimer_attach", "atrtc_attach", "hpet_attach", "acpi_timer_attach", "xentimer_attach"}
)
DELAYS = frozenset({"DELAY", "i8254_delay", "xen_delay"})
MOUNTROOT = "mountroot>"
#: Lines after which the kernel waits for a person: the prompt itself has no line of its own.
LINES = {
    Mark.KERNEL_ENTRY: re.compile(r"^---<<BOOT>>---|^Copyright \(c\) 1992-\d{4} The FreeBSD"),
    Mark.CLOCK_KNOWN: re.compile(r'^Early TSC frequency [1-9]|^Timecounter "'),
    Mark.TIMER_ARMED: re.compile(r"^Timecounters tick every "),
    Mark.INIT: re.compile(
        r"^  <empty line>    Abort manual input|^mountroot> |^start_init: trying "
    ),
    Mark.ENDED: re.compile(
        r"^  <empty line>    Abort manual input|^KDB: enter: |^Automatic reboot in \d+ seconds"
        r"|^The operating system has halted"
    ),
}
_PANIC = re.compile(r"^(?:\S+> )?panic: (.{1,200})$")
_AT_PROMPT = {
    "boundary": "the kernel came to mountroot>: as far as it gets without a root file system",
    "interrupted": "the kernel came to mountroot>; then the boot was interrupted",
}


def tell(recording: Recording) -> Story:
    """What a FreeBSD recording means."""
    calls = calls_of(recording)
    calibrations = calibrations_of(recording, calls)
    clocks = clocks_of(recording, calibrations)
    boundaries = (
        *first_boundaries(recording),
        _kernel_entry(recording),
        _clock_known(recording),
        _timer_armed(recording),
        _init(recording),
        last_boundary(recording),
    )
    spans = call_spans(
        (call for call in calls if call.name not in DELAYS), recording, _kind_of, _name_of
    )
    return Story(
        "freebsd",
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
        messages=messages(recording),
        tslog=log_spans(recording, _tsc_hz(recording)),
    )


def _tsc_hz(recording: Recording) -> int | None:
    """What the kernel believes of its TSC in the end."""
    variables = recording.looked.get("variables")
    value = variables.get("tsc_freq") if isinstance(variables, dict) else None
    return value if isinstance(value, int) else None


def _kind_of(call: Call) -> SpanKind:
    if call.name in CALIBRATING:
        return SpanKind.CALIBRATION
    if call.name in ON_CLOCKS:
        return SpanKind.CLOCK
    return SpanKind.DEVICE if call.name in ON_DEVICES else SpanKind.KERNEL


def _name_of(call: Call) -> str:
    return call.name


def _line(recording: Recording, mark: Mark) -> ConsoleLine | None:
    return next((one for one in recording.console if LINES[mark].search(one.text)), None)


def _said(recording: Recording, mark: Mark, how: str) -> Boundary:
    line = _line(recording, mark)
    if line is None:
        return Boundary(mark, None)
    return Boundary(mark, recording.since_start(line.host_ns), how, (line.reference,))


def _kernel_entry(recording: Recording) -> Boundary:
    event = next(entries(recording, *ENTRIES), None)
    if event is None:
        return _said(recording, Mark.KERNEL_ENTRY, "no later than its first line")
    return boundary_at(recording, Mark.KERNEL_ENTRY, event, recording.function(event) or "")


def found_frequency(recording: Recording, event: Event) -> str | None:
    """Whether a return shows a clock whose rate the kernel knows: how, in words."""
    name = recording.function(event)
    if name in ("tsc_init", "start_TSC") and recording.number(event, "tsc_freq"):
        return f"{name} left a TSC frequency"
    current = recording.text(event, "current") if name == "tc_init" else None
    return f"tc_init selected {current}" if current not in (None, "", DUMMY) else None


def _clock_known(recording: Recording) -> Boundary:
    """The TSC's frequency, or the first timecounter that is one."""
    for event in recording.events:
        if how := found_frequency(recording, event):
            return boundary_at(recording, Mark.CLOCK_KNOWN, event, how)
    if watched(recording):
        return Boundary(Mark.CLOCK_KNOWN, None)
    return _said(recording, Mark.CLOCK_KNOWN, "seen on the console")


def _timer_armed(recording: Recording) -> Boundary:
    event = next(entries(recording, "cpu_initclocks_bsp"), None)
    if event is None:
        return _said(recording, Mark.TIMER_ARMED, "no later than it says so")
    return boundary_at(recording, Mark.TIMER_ARMED, event, "cpu_initclocks_bsp")


def _init(recording: Recording) -> Boundary:
    """A root file system, or the prompt at which a kernel ends that has none.

    start_init itself calls vfs_mountroot (sys/kern/init_main.c), and goes on when that returns.
    """
    asked = False
    for event in recording.events:
        name = recording.function(event)
        if name == "vfs_mountroot" and event.kind is Kind.LEAVE:
            how = "vfs_mountroot found a root: init is started"
            return boundary_at(recording, Mark.INIT, event, how)
        asked |= name == "vfs_mountroot"
        if name == "cngets" and asked:  # else for the passphrase of an encrypted disk
            return boundary_at(recording, Mark.INIT, event, MOUNTROOT)
    return _said(recording, Mark.INIT, f"{MOUNTROOT} or init, by the console")


def _outcome(recording: Recording, calls: tuple[Call, ...]) -> Outcome:
    init = _init(recording)
    panic, evidence = _panic(recording)
    busy = open_calls(calls, recording)
    signs = Signs(
        init.evidence,
        False,
        panic,
        evidence,
        next(entries(recording, "cpu_reset"), None) is not None,
        busy[-1].name if busy else None,
    )
    outcome = outcome_of(recording, signs)
    if outcome.kind is OutcomeKind.PANICKED:
        fault = fault_of(recording)
        if fault is None:
            return outcome
        text = f"{outcome.text} ({fault.text})"
        return replace(outcome, text=text, where=fault.where, evidence=(*evidence, *fault.evidence))
    reason = recording.header.ended_reason or "interrupted"
    if outcome.kind is OutcomeKind.INIT_REACHED and MOUNTROOT in init.how:
        return replace(outcome, text=_AT_PROMPT.get(reason, f"{_AT_PROMPT['boundary']} ({reason})"))
    return outcome


def _panic(recording: Recording) -> tuple[str | None, References]:
    for line in recording.console:
        if match := _PANIC.search(line.text):
            return match[1].strip(), (line.reference,)
    for event in entries(recording, "kassert_panic", "vpanic"):
        text = recording.text(event, "string") or "no message read"
        return text.strip(), (event.reference,)
    return None, ()


def _unknown(recording: Recording) -> Iterator[str]:
    """What this recording cannot show, said plainly."""
    functions = recording.header.functions
    if not functions:
        yield "no function was watched: clocks and calibrations are known from the console only"
    elif "tc_init" not in functions:
        yield "the kernel has no symbols: clocks and calibrations are known from the console only"
    if not any(known for known in matches(recording)):
        yield "no message about clocks was printed (boot_verbose=1 makes the kernel print them)"
    if recording.header.console_dropped:
        yield f"{recording.header.console_dropped:,} bytes of console output were not kept"


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, who serves DELAY, and where a fault happened: to be named."""
    yield from instruction_pointers(recording)
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield from callers(recording, event)
            for name in ("early_delay", "tf_rip", "caller1", "caller2", "caller3"):
                if address := recording.number(event, name):
                    yield address
