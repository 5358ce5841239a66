"""FreeBSD's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.bsd.ending import Words, said, unknown
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.story import Teller
from timehands.guests.freebsd.calibrations import calibrations_of
from timehands.guests.freebsd.clocks import clocks_of
from timehands.guests.freebsd.console import DUMMY
from timehands.guests.freebsd.delay import delays
from timehands.guests.freebsd.facts import facts
from timehands.guests.freebsd.faults import fault_of, instruction_pointers
from timehands.guests.freebsd.messages import matches, messages
from timehands.guests.telling import boundary_at, callers
from timehands.guests.tslog import log_spans
from timehands.story.model import Boundary, LogSpan, Mark, SpanKind
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

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
#: The prompt itself has no line of its own: the last before it is known.
WORDS = Words(
    entries=(PVH_ENTRY, ENTRY64, "hammer_time_xen", "hammer_time"),
    lines={
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
    },
    asks="cngets",
    roots="vfs_mountroot",
    panics=("kassert_panic", "vpanic"),
    restarts=("cpu_reset",),
    prompt=MOUNTROOT,
    waits=f"the kernel came to {MOUNTROOT}",
)


def found_frequency(recording: Recording, event: Event) -> str | None:
    """Whether a return shows a clock whose rate the kernel knows: how, in words."""
    name = recording.function(event)
    if name in ("tsc_init", "start_TSC") and recording.number(event, "tsc_freq"):
        return f"{name} left a TSC frequency"
    current = recording.text(event, "current") if name == "tc_init" else None
    return f"tc_init selected {current}" if current not in (None, "", DUMMY) else None


def _init(recording: Recording, words: Words) -> Boundary:
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
    return said(recording, words.lines, Mark.INIT, f"{MOUNTROOT} or init, by the console")


def _unknown(recording: Recording) -> Iterator[str]:
    """What this recording cannot show, said plainly."""
    yield from unknown(recording)
    if not any(True for _ in matches(recording)):
        yield "no message about clocks was printed (boot_verbose=1 makes the kernel print them)"


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, who serves DELAY, and where a fault happened: to be named."""
    yield from instruction_pointers(recording)
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield from callers(recording, event)
            for name in ("early_delay", "tf_rip", "caller1", "caller2", "caller3"):
                if address := recording.number(event, name):
                    yield address


def _log(recording: Recording) -> tuple[LogSpan, ...]:
    return log_spans(recording, variable(recording, "tsc_freq"))


TELLER = Teller(
    "freebsd",
    WORDS,
    {
        SpanKind.CALIBRATION: CALIBRATING,
        SpanKind.CLOCK: ON_CLOCKS,
        SpanKind.DEVICE: ON_DEVICES,
    },
    calibrations_of,
    clocks_of,
    found_frequency,
    facts,
    messages,
    _unknown,
    init=_init,
    fault=fault_of,
    delay=delays,
    tslog=_log,
    hidden=DELAYS,
)
