"""NetBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial

from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.bsd import story
from timehands.guests.bsd.ending import Fault, Words, unknown
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.messages import matches, messages
from timehands.guests.netbsd.calibrations import calibrations_of
from timehands.guests.netbsd.clocks import clocks_of
from timehands.guests.netbsd.facts import facts
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ
from timehands.guests.tslog import log_spans
from timehands.story.model import LogSpan, Mark, SpanKind
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


def _log(recording: Recording) -> tuple[LogSpan, ...]:
    return log_spans(recording, variable(recording, "tsc_freq") or variable(recording, CC_FREQ))


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, who serves DELAY, and where a fault happened: to be named."""
    yield from story.addresses(recording)
    for one, _, match in matches(recording, KNOWN):
        if one.name == "trap":
            yield int(match[2], 16)


TELLER = story.Teller(
    "netbsd",
    WORDS,
    {SpanKind.CALIBRATION: CALIBRATING, SpanKind.CLOCK: ON_CLOCKS},
    calibrations_of,
    clocks_of,
    found_frequency,
    facts,
    partial(messages, table=KNOWN),
    _unknown,
    fault=_fault,
    tslog=_log,
)
