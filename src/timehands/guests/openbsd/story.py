"""OpenBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from timehands.guests.base import ENTRY64, PVH_ENTRY, first_boundaries, last_boundary
from timehands.guests.bsd.clocks import delay_func, delays
from timehands.guests.bsd.ending import (
    Words,
    clock_known,
    init_boundary,
    kernel_entry,
    outcome,
    timer_armed,
    unknown,
)
from timehands.guests.bsd.facts import Meaning, facts, in_hz, whether
from timehands.guests.bsd.messages import messages
from timehands.guests.openbsd.calibrations import calibrations_of
from timehands.guests.openbsd.clocks import clocks_of
from timehands.guests.openbsd.messages import KNOWN
from timehands.guests.telling import callers, watched
from timehands.story.model import Mark, SpanKind, Story
from timehands.story.spans import Call, call_spans, calls_of, stretches
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

CALIBRATING = frozenset(
    {
        "tsc_identify", "tsc_freq_cpuid", "lapic_calibrate_timer", "calibrate_tsc_freq",
        "measure_tsc_freq", "cpu_recalibrate_tsc",
    }
)  # fmt: skip
ON_CLOCKS = frozenset(
    {
        "startclocks", "i8254_startclock", "cpu_initclocks", "i8254_initclocks",
        "lapic_initclocks", "lapic_startclock", "i8254_inittimecounter",
        "i8254_inittimecounter_simple", "tsc_timecounter_init", "tsc_test_sync_bp", "tc_init",
        "pvclock_attach", "acpitimerattach", "acpihpet_attach", "inittodr", "rtcget",
    }
)  # fmt: skip
WORDS = Words(
    entries=(PVH_ENTRY, ENTRY64, "init_x86_64", "main"),
    lines={
        Mark.KERNEL_ENTRY: re.compile(r"^Copyright \(c\) 1982, 1986|^OpenBSD \d+\.\d"),
        Mark.CLOCK_KNOWN: re.compile(r"^cpu0: .{1,80}, [1-9]\d*\.\d\d MHz|apic clock running at"),
        Mark.TIMER_ARMED: re.compile(r"^cpu0: apic clock running at "),
        Mark.INIT: re.compile(r"^root device(?: \(default \S+\))?: $|^root on \S+"),
        Mark.ENDED: re.compile(
            r"^root device(?: \(default \S+\))?: $|^Stopped at |press any key to reboot"
        ),
    },
    asks="getsn",
    roots="setroot",
    panics=("panic",),
    restarts=("cpu_reset",),
)
_MEANINGS: dict[str, Meaning] = {
    "tsc_frequency": lambda v: f"the TSC: {in_hz(v)}",
    "tsc_is_invariant": whether("the TSC is invariant", "the TSC is not invariant"),
    "tsc_is_synchronized": whether("the CPUs' TSCs are the same", "the CPUs' TSCs differ"),
    "tsc_recalibrate": whether("the TSC is measured again by better clocks", "it was told"),
    "lapic_per_second": lambda v: f"the LAPIC timer's rate: {in_hz(v)}",
    "lapic_tval": lambda v: f"the LAPIC timer counts {v:,} a tick",
    "rtclock_tval": lambda v: f"the i8254 counts down from {v:,}",
    "hz": lambda v: f"{v} ticks a second",
}
_TEXTS = {
    "delay_func": "serves DELAY",
    "initclock_func": "starts the clocks",
    "startclock_func": "starts the clock interrupt",
}


def tell(recording: Recording) -> Story:
    """What an OpenBSD recording means."""
    calls = calls_of(recording)
    calibrations = calibrations_of(recording, calls)
    clocks = clocks_of(recording, calibrations)
    init = init_boundary(recording, WORDS)
    boundaries = (
        *first_boundaries(recording),
        kernel_entry(recording, WORDS),
        clock_known(recording, WORDS, _found_frequency),
        timer_armed(recording, WORDS, clocks.timer_armed),
        init,
        last_boundary(recording),
    )
    return Story(
        "openbsd",
        outcome(recording, WORDS, calls, init),
        boundaries,
        clocks.clocks,
        clocks.selected,
        clocks.selected_timer,
        calibrations,
        (*stretches(boundaries), *call_spans(calls, recording, _kind_of, lambda call: call.name)),
        unknown=tuple(_unknown(recording)),
        delay=delays(recording),
        facts=facts(recording, _MEANINGS, _TEXTS),
        messages=messages(recording, KNOWN),
    )


def _kind_of(call: Call) -> SpanKind:
    if call.name in CALIBRATING:
        return SpanKind.CALIBRATION
    return SpanKind.CLOCK if call.name in ON_CLOCKS else SpanKind.KERNEL


def _found_frequency(recording: Recording, event: Event) -> str | None:
    """Whether a return shows a clock whose rate the kernel knows: how, in words."""
    if event.kind is not Kind.LEAVE:
        return None
    if recording.number(event, "tsc_frequency"):
        return f"{recording.function(event)} left a TSC frequency"
    return "tc_init" if recording.function(event) == "tc_init" else None


def _unknown(recording: Recording) -> Iterator[str]:
    yield from unknown(recording)
    if not watched(recording) and not recording.looked:
        yield "OpenBSD does not print its timecounters: which one is in use was not seen"


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, and who serves DELAY: to be named."""
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield from callers(recording, event)
        if target := delay_func(recording, event):
            yield target
