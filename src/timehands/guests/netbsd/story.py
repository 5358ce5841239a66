"""NetBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from timehands.guests.base import ENTRY64, PVH_ENTRY, first_boundaries, last_boundary
from timehands.guests.bsd.clocks import delay_func, delays
from timehands.guests.bsd.ending import (
    Fault,
    Words,
    clock_known,
    init_boundary,
    kernel_entry,
    outcome,
    timer_armed,
    unknown,
)
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.messages import matches, messages
from timehands.guests.netbsd.calibrations import calibrations_of
from timehands.guests.netbsd.clocks import clocks_of
from timehands.guests.netbsd.facts import facts
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ
from timehands.guests.telling import callers
from timehands.guests.tslog import log_spans
from timehands.story.model import Mark, SpanKind, Story
from timehands.story.spans import Call, call_spans, calls_of, stretches
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

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
WORDS = Words(
    entries=(PVH_ENTRY, ENTRY64, "init_x86_64", "main"),
    lines={
        Mark.KERNEL_ENTRY: re.compile(r"^Copyright \(c\) 1996, 1997|^NetBSD \d+\.\d"),
        Mark.CLOCK_KNOWN: re.compile(r'^timecounter: Timecounter "'),
        Mark.TIMER_ARMED: re.compile(r'^timecounter: Timecounter "(clockinterrupt|lapic)"'),
        Mark.INIT: re.compile(r"^root device(?: \(default \S+\))?: $|^root file system type: "),
        Mark.ENDED: re.compile(
            r"^(?:root|dump) device(?: \(default \S+\))?: $|^file system \(default \S+\): $"
            r"|^Stopped in pid |press any key to reboot"
        ),
    },
    asks="cngetsn",
    roots="setroot",
    panics=("vpanic",),
    restarts=("cpu_reboot",),
)


def tell(recording: Recording) -> Story:
    """What a NetBSD recording means."""
    calls = calls_of(recording)
    calibrations = calibrations_of(recording, calls)
    clocks = clocks_of(recording, calibrations)
    init = init_boundary(recording, WORDS)
    boundaries = (
        *first_boundaries(recording),
        kernel_entry(recording, WORDS),
        clock_known(recording, WORDS, found_frequency),
        timer_armed(recording, WORDS, clocks.timer_armed),
        init,
        last_boundary(recording),
    )
    spans = call_spans(calls, recording, _kind_of, lambda call: call.name)
    return Story(
        "netbsd",
        outcome(recording, WORDS, calls, init, _fault),
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
        tslog=log_spans(recording, variable(recording, "tsc_freq") or variable(recording, CC_FREQ)),
    )


def _kind_of(call: Call) -> SpanKind:
    if call.name in CALIBRATING:
        return SpanKind.CALIBRATION
    return SpanKind.CLOCK if call.name in ON_CLOCKS else SpanKind.KERNEL


def found_frequency(recording: Recording, event: Event) -> str | None:
    """Whether a return shows a clock whose rate the kernel knows: how, in words."""
    name = recording.function(event)
    if name == "cpu_get_tsc_freq" and event.kind is Kind.LEAVE and recording.number(event, CC_FREQ):
        return f"{name} left a TSC frequency"
    return "tc_init" if name == "tc_init" and event.kind is Kind.LEAVE else None


def _fault(recording: Recording) -> Fault | None:
    for one, line, match in matches(recording, KNOWN):
        if one.name == "trap":
            rip = int(match[2], 16)
            where = recording.symbols.get(rip, match[2])
            told = f"(trap {match[1]} at {match[3]} in {where})"
            return Fault(told, where, (line.reference,))
    return None


def _unknown(recording: Recording) -> Iterator[str]:
    """What this recording cannot show, said plainly."""
    yield from unknown(recording)
    if not any(True for _ in matches(recording, KNOWN)):
        yield "no message about clocks was seen (console=com and -v make the kernel print them)"
    if recording.header.load.disk and recording.looked and not recording.looked.get("virtio_mmio"):
        yield (
            "the disk is announced by virtio_mmio.device= on the command line, and this kernel has "
            "no driver that reads it (no symbol virtio_mmio_*): it does not see the disk"
        )


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
