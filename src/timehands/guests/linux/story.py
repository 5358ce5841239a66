"""Linux's story: boundaries, outcome, time spent, from what the watched functions did."""

from __future__ import annotations

import re
from collections.abc import Iterable

from timehands.guests.base import (
    ENTRY64,
    PVH_ENTRY,
    entered_at_once,
    first_boundaries,
    last_boundary,
)
from timehands.guests.linux.calibrations import calibrations_of
from timehands.guests.linux.clocks import Clocks, clocks_of
from timehands.guests.linux.console import clocks_from_console
from timehands.guests.telling import NOT_PLANNED
from timehands.machines.initrd import MARK_END, MARK_INIT, PREFIX
from timehands.story.model import Boundary, ClockRole, Mark, References, SpanKind, Story
from timehands.story.outcome import Signs, outcome_of
from timehands.story.rate import rate_of, wall_clock_of
from timehands.story.spans import Call, call_spans, calls_of, open_calls, stretches
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

CALIBRATING = frozenset(
    {
        "native_calibrate_tsc", "native_calibrate_cpu_early", "native_calibrate_cpu",
        "pit_hpet_ptimer_calibrate_cpu", "quick_pit_calibrate", "cpu_khz_from_msr",
        "determine_cpu_tsc_frequencies", "tsc_early_init", "tsc_init", "setup_boot_APIC_clock",
        "calibrate_APIC_clock", "calibrate_delay", "kvm_get_tsc_khz",
    }
)  # fmt: skip
ON_CLOCKS = frozenset(
    {
        "timekeeping_init", "read_persistent_clock64", "mach_get_cmos_time", "time_init",
        "x86_late_time_init", "hpet_enable", "pit_timer_init", "timekeeping_notify",
        "init_acpi_pm_clocksource", "kvmclock_init", "apic_needs_pit",
    }
)  # fmt: skip
ON_DEVICES = frozenset({"i8042_probe", "cmos_do_probe"})
#: Functions that return whether (a bool, in al) or which (kHz, in eax) frequency was found.
FREQUENCY_FOUND = {"determine_cpu_tsc_frequencies": 0xFF, "kvm_get_tsc_khz": 0xFFFFFFFF}
_PANIC_LINE = re.compile(r"Kernel panic - not syncing: (.*)")
_INIT_LINE = re.compile(r"Run \S+ as init process")
_FREQUENCY_LINE = re.compile(r"tsc: (Detected \d+\.\d+ MHz|Fast TSC calibration using PIT)")
_FORMAT_LEVEL = re.compile(r"^\x01.")


def tell(recording: Recording) -> Story:
    """What a Linux recording means."""
    calls = calls_of(recording)
    calibrations = calibrations_of(recording, calls, _jiffies_hz(recording))
    if recording.header.planned:
        clocks = clocks_of(recording, calls, calibrations)
    else:
        clocks = clocks_from_console(recording)
    busy = open_calls(calls, recording)
    signs = _signs(recording, busy)
    boundaries = (
        *first_boundaries(recording),
        entered_at_once(recording) or _kernel_entry(recording),
        _clock_known(recording, calls),
        _timer_armed(recording, clocks),
        _init(recording),
        last_boundary(recording),
    )
    deterministic = recording.header.machine.deterministic
    spans = call_spans(calls, recording, _kind_of, lambda call: _name_of(recording, call))
    return Story(
        "linux",
        outcome_of(recording, signs),
        boundaries,
        clocks.clocks,
        clocks.selected,
        clocks.selected_timer,
        calibrations,
        (*stretches(boundaries, recording.header.machine.vmm), *spans),
        None if deterministic else rate_of(recording, _step_ns(clocks)),
        None if deterministic else wall_clock_of(recording),
        tuple(_unknown(recording)),
    )


def _step_ns(clocks: Clocks) -> int:
    """By how much the selected clock moves at a time: a tick for jiffies; 1 ns if not known."""
    for clock in clocks.clocks:
        if clock.name == clocks.selected and clock.role is ClockRole.SOURCE and clock.frequency_hz:
            return -(-1_000_000_000 // clock.frequency_hz)
    return 1


def _jiffies_hz(recording: Recording) -> int | None:
    """HZ, from the mult and shift with which jiffies are registered (kernel/time/jiffies.c)."""
    for event in _entries(recording, "__clocksource_register_scale"):
        if "jiffies" in (recording.text(event, "name") or ""):
            mult, shift = recording.number(event, "mult"), recording.number(event, "shift")
            if mult and shift is not None and shift < 64:
                return ((1_000_000_000 << shift) + mult // 2) // mult
    return None


def _entries(recording: Recording, *names: str) -> Iterable[Event]:
    return (
        event
        for event in recording.events
        if event.kind is Kind.ENTER and recording.function(event) in names
    )


def _at(recording: Recording, name: Mark, event: Event | None, how: str) -> Boundary:
    if event is None:
        return Boundary(name, None)
    return Boundary(name, recording.since_start(event.host_ns), how, (event.reference,))


def _kernel_entry(recording: Recording) -> Boundary:
    names = (PVH_ENTRY, ENTRY64, "x86_64_start_kernel", "start_kernel")
    event = next(iter(_entries(recording, *names)), None)
    if event is None and recording.console:
        line = recording.console[0]
        at = recording.since_start(line.host_ns)
        return Boundary(Mark.KERNEL_ENTRY, at, "no later than its first line", (line.reference,))
    return _at(
        recording, Mark.KERNEL_ENTRY, event, recording.function(event) or "" if event else ""
    )


def _clock_known(recording: Recording, calls: tuple[Call, ...]) -> Boundary:
    """The first frequency that the kernel believes: pvclock's, or the TSC's."""
    for call in calls:
        if call.left and (call.result or 0) & FREQUENCY_FOUND.get(call.name, 0):
            return _at(recording, Mark.CLOCK_KNOWN, call.left, f"{call.name} succeeded")
    return _from_console(recording, Mark.CLOCK_KNOWN, _FREQUENCY_LINE)


def _timer_armed(recording: Recording, clocks: Clocks) -> Boundary:
    return _at(recording, Mark.TIMER_ARMED, clocks.timer_armed, "tick_setup_device")


def _init(recording: Recording) -> Boundary:
    for event in recording.events:
        if event.kind is Kind.CPUID and event.leaf[0] == MARK_INIT:
            return _at(recording, Mark.INIT, event, "our init's first instruction")
    for event in _entries(recording, "run_init_process"):
        program = recording.text(event, "string") or "init"
        return _at(recording, Mark.INIT, event, f"run_init_process({program})")
    return _from_console(recording, Mark.INIT, _INIT_LINE)


def _from_console(recording: Recording, mark: Mark, pattern: re.Pattern[str]) -> Boundary:
    for line in recording.console:
        if pattern.search(line.text):
            at = recording.since_start(line.host_ns)
            return Boundary(mark, at, "seen on the console", (line.reference,))
    return Boundary(mark, None)


def _signs(recording: Recording, busy: tuple[Call, ...]) -> Signs:
    init = _init(recording)
    panic, evidence = _panic(recording)
    finished = any(
        e.kind is Kind.CPUID and e.leaf[0] == MARK_END for e in recording.events
    ) or _console_finished(recording)
    return Signs(
        init.evidence if _really_ran(recording, init) else (),
        finished,
        panic,
        evidence,
        bool(next(iter(_entries(recording, "native_machine_emergency_restart")), None)),
        busy[-1].name if busy else None,
    )


def _really_ran(recording: Recording, init: Boundary) -> bool:
    return init.at_ns is not None and bool(init.evidence) and bool(recording.header.started_ns)


def _console_finished(recording: Recording) -> bool:
    """Without the plugin: the second report of our init, after it let the kernel settle."""
    told = [line for line in recording.console if line.text.startswith(f"{PREFIX}monotonic")]
    return len(told) >= 2


def _panic(recording: Recording) -> tuple[str | None, References]:
    for line in recording.console:
        if match := _PANIC_LINE.search(line.text):
            return match[1].strip(), (line.reference,)
    for event in _entries(recording, "panic", "vpanic"):
        text = recording.text(event, "string") or "no message read"
        return _FORMAT_LEVEL.sub("", text).strip(), (event.reference,)
    return None, ()


def _kind_of(call: Call) -> SpanKind:
    if call.name in CALIBRATING:
        return SpanKind.CALIBRATION
    if call.name in ON_CLOCKS:
        return SpanKind.CLOCK
    return SpanKind.DEVICE if call.name in ON_DEVICES else SpanKind.KERNEL


def _name_of(recording: Recording, call: Call) -> str:
    if call.name != "do_one_initcall":
        return call.name
    address = call.entered.values[1]
    return f"initcall {recording.symbols.get(address, f'0x{address:x}').split('+')[0]}"


def _unknown(recording: Recording) -> Iterable[str]:
    """What this recording cannot show, said plainly."""
    if not recording.header.planned:
        yield NOT_PLANNED[recording.header.chosen]
    elif not any("name" in names for names in recording.header.read_names):
        yield "the kernel has no BTF: names and ratings of clocks were not read"
    if recording.header.console_dropped:
        yield f"{recording.header.console_dropped:,} bytes of console output were not kept"


def addresses(recording: Recording) -> Iterable[int]:
    """Initcalls and callers, to be named."""
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield event.values[4]
            if recording.function(event) == "do_one_initcall":
                yield event.values[1]
