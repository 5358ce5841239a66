"""OpenBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.bsd.ending import Words, unknown
from timehands.guests.bsd.facts import Meaning, facts, in_hz, whether
from timehands.guests.bsd.messages import messages
from timehands.guests.bsd.story import Teller
from timehands.guests.openbsd.calibrations import calibrations_of
from timehands.guests.openbsd.clocks import clocks_of
from timehands.guests.openbsd.messages import KNOWN
from timehands.guests.telling import watched
from timehands.story.model import Mark, SpanKind
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


TELLER = Teller(
    "openbsd",
    WORDS,
    {SpanKind.CALIBRATION: CALIBRATING, SpanKind.CLOCK: ON_CLOCKS},
    calibrations_of,
    clocks_of,
    _found_frequency,
    partial(facts, meanings=_MEANINGS, texts=_TEXTS),
    partial(messages, table=KNOWN),
    _unknown,
)
