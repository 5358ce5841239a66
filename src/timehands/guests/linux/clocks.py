"""Linux's clocks as a recording shows them: clocksources, clock event devices, the time of day."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from timehands.guests.telling import Draft
from timehands.machines.initrd import PREFIX
from timehands.story.instructions import Touched, touched_clocks
from timehands.story.model import Calibration, Clock, ClockRole, ClockState
from timehands.story.spans import Call
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Event, Kind

#: The clocksource that timekeeping_init begins with (kernel/time/jiffies.c,
#: clocksource_default_clock).
DEFAULT_CLOCKSOURCE = "jiffies"
_NS = 1_000_000_000
_MAX_SHIFT = 63
#: What instructions call a clock, and what Linux calls the clocksources made from it.
_MADE_FROM = {
    "tsc": ("tsc", "tsc-early"),
    "pvclock": ("kvm-clock",),
    "i8254": ("pit",),
    "acpi_pm": ("acpi_pm",),
    "hpet": ("hpet",),
}
#: Written by mark_tsc_unstable (arch/x86/kernel/tsc.c).
_UNSTABLE_LINE = re.compile(r"tsc: Marking TSC unstable due to (.*)")
_DISABLED_LINE = re.compile(r"APIC timer disabled due to (verification failure)")
_RTC_DATA = 0x71
_TOLD_KHZ = "tsc_early_khz="
_HOW_FIXED = {
    "pit": "fixed by definition",
    "i8253": "fixed by definition",
    "acpi_pm": "fixed by definition",
    "hpet": "its own period register",
}


@dataclass(frozen=True, slots=True)
class Clocks:
    """All clocks of a recording, and which ones are in use at its end."""

    clocks: tuple[Clock, ...]
    selected: str | None
    selected_timer: str | None
    timer_armed: Event | None


def clocks_of(
    recording: Recording, calls: tuple[Call, ...], calibrations: tuple[Calibration, ...]
) -> Clocks:
    """Put the clocks together from registrations, choices, rejections and what init reported."""
    sources = _clocksources(recording)
    devices, armed = _clock_events(recording)
    told = reported(recording)
    selected = _choose(sources, recording, calls, told)
    timer = _choose_timer(devices, told)
    _tell_how(recording, [*sources.values(), *devices.values()], calibrations)
    touched = touched_clocks(recording.events)
    drafts = [*sources.values(), *_unregistered(recording, touched, sources, calibrations)]
    drafts += [*devices.values(), *_disabled_lapic(recording, devices)]
    drafts += _wall_clock(recording, calls, touched)
    clocks = tuple(draft.clock() for draft in drafts)
    return Clocks(clocks, selected, timer, armed)


def reported(recording: Recording) -> dict[str, str]:
    """What our init said last: ``clocksource``, ``clockevent``, ``available``."""
    said: dict[str, str] = {}
    for line in recording.console:
        if line.text.startswith(PREFIX):
            name, _, value = line.text.removeprefix(PREFIX).partition(" ")
            said[name] = value.strip()
    return {name: value for name, value in said.items() if value != "unknown"}


def _entries(recording: Recording, *names: str) -> Iterable[Event]:
    return (
        event
        for event in recording.events
        if event.kind is Kind.ENTER and recording.function(event) in names
    )


def _clocksources(recording: Recording) -> dict[str, Draft]:
    """Every registered clocksource (kernel/time/clocksource.c, __clocksource_register_scale)."""
    drafts: dict[str, Draft] = {}
    for event in _entries(recording, "__clocksource_register_scale"):
        name = recording.text(event, "name")
        if not name:
            continue
        draft = drafts.setdefault(name, Draft(name, ClockRole.SOURCE))
        draft.rating = recording.number(event, "rating")
        draft.frequency_hz = _registered_hz(recording, event)
        draft.how = _how_registered(name, event)
        draft.step(recording, event, "registered", ClockState.REGISTERED)
    for event in _entries(recording, "__clocksource_unstable", "clocksource_mark_unstable"):
        if unstable := drafts.get(recording.text(event, "name") or ""):
            unstable.step(recording, event, "marked unstable", ClockState.REJECTED)
    for seen, reason in _tsc_unstable(recording):
        for name in ("tsc", "tsc-early"):
            if name in drafts:
                drafts[name].step(recording, seen, f"unstable: {reason}", ClockState.REJECTED)
    return drafts


def _tsc_unstable(recording: Recording) -> Iterable[tuple[Event | ConsoleLine, str]]:
    """mark_tsc_unstable and its reason; its message where the compiler has inlined it (6.12)."""
    events = list(_entries(recording, "mark_tsc_unstable"))
    for event in events:
        yield event, recording.text(event, "string") or "no reason read"
    for line in recording.console if not events else ():
        if match := _UNSTABLE_LINE.search(line.text):
            yield line, match[1]


def _registered_hz(recording: Recording, event: Event) -> int | None:
    """From the call (scale times frequency), else from mult and shift: ns is cycles*mult>>shift."""
    _function, _source, scale, frequency = event.values[:4]
    scale, frequency = scale & 0xFFFFFFFF, frequency & 0xFFFFFFFF
    if frequency:
        return scale * frequency
    mult, shift = recording.number(event, "mult"), recording.number(event, "shift")
    if not mult or shift is None or shift > _MAX_SHIFT:
        return None
    return ((_NS << shift) + mult // 2) // mult


def _how_registered(name: str, event: Event) -> str:
    if "jiffies" in name:
        return "counts timer interrupts"
    return "" if event.values[3] & 0xFFFFFFFF else "its own mult and shift"


def _choose(
    sources: dict[str, Draft], recording: Recording, calls: tuple[Call, ...], told: dict[str, str]
) -> str | None:
    """Which clocksource is in use: jiffies at first, then what timekeeping_notify switches to."""
    started = any(call.name == "timekeeping_init" for call in calls)
    selected = DEFAULT_CLOCKSOURCE if started else None
    for event in _entries(recording, "timekeeping_notify"):
        name = recording.text(event, "name")
        if not name:
            continue
        draft = sources.setdefault(name, Draft(name, ClockRole.SOURCE))
        draft.step(recording, event, "selected", ClockState.SELECTED)
        selected = name
    selected = told.get("clocksource", selected)
    for name, draft in sources.items():
        if draft.state is ClockState.SELECTED and name != selected:
            draft.state = ClockState.REGISTERED
    if selected:
        draft = sources.setdefault(selected, _not_registered(selected, sources))
        if draft.state is not ClockState.REJECTED:
            draft.state = ClockState.SELECTED
    return selected


def _not_registered(name: str, sources: dict[str, Draft]) -> Draft:
    """A clocksource that is in use without a registration: jiffies, before their initcall."""
    draft = Draft(name, ClockRole.SOURCE)
    refined = sources.get("refined-jiffies")
    if name == DEFAULT_CLOCKSOURCE and refined:
        draft.frequency_hz, draft.how = refined.frequency_hz, refined.how
    return draft


def _clock_events(recording: Recording) -> tuple[dict[str, Draft], Event | None]:
    """Clock event devices (kernel/time/tick-common.c) and the first that was set up as the tick."""
    drafts: dict[str, Draft] = {}
    armed: Event | None = None
    for event in _entries(recording, "tick_check_new_device", "tick_setup_device"):
        name = recording.text(event, "name")
        if not name:
            continue
        draft = drafts.setdefault(name, Draft(name, ClockRole.EVENTS))
        draft.rating = recording.number(event, "rating")
        draft.frequency_hz = _device_hz(recording, event) or draft.frequency_hz
        if recording.function(event) == "tick_setup_device":
            draft.step(recording, event, "set up as the tick", ClockState.SELECTED)
            armed = armed or event
        else:
            draft.step(recording, event, "registered", ClockState.REGISTERED)
    return drafts, armed


def _device_hz(recording: Recording, event: Event) -> int | None:
    """cycles = ns * mult >> shift (include/linux/clockchips.h)."""
    mult, shift = recording.number(event, "mult"), recording.number(event, "shift")
    if not mult or mult == 1 or shift is None or shift > _MAX_SHIFT:
        return None
    return (mult * _NS + (1 << shift >> 1)) >> shift


def _choose_timer(devices: dict[str, Draft], told: dict[str, str]) -> str | None:
    """The last device that was set up (or what init reported); the others are only registered."""
    latest: tuple[int, str] | None = None
    for name, draft in devices.items():
        set_up = [s.at_ns for s in draft.steps if s.what == "set up as the tick" and s.at_ns]
        if set_up and (latest is None or max(set_up) >= latest[0]):
            latest = (max(set_up), name)
    selected = told.get("clockevent", latest[1] if latest else None)
    for name, draft in devices.items():
        if draft.state is ClockState.SELECTED and name != selected:
            draft.state = ClockState.REGISTERED
    if selected in devices:
        devices[selected].state = ClockState.SELECTED
    return selected


def _tell_how(
    recording: Recording,
    drafts: Iterable[Draft],
    calibrations: tuple[Calibration, ...],
) -> None:
    """Say of each clock by which calibration its frequency came, or that there was none."""
    told_hz = _told_hz(recording)
    for draft in drafts:
        subject = "tsc" if draft.name.startswith("tsc") else draft.name.removesuffix("-deadline")
        at_ns = draft.steps[0].at_ns if draft.steps else None
        good = [
            c
            for c in calibrations
            if c.of == subject and c.result_hz and (at_ns is None or c.start_ns <= at_ns)
        ]
        if draft.how:
            continue
        if subject == "tsc" and told_hz and draft.frequency_hz == told_hz:
            draft.how = "told by the kernel argument tsc_early_khz"
        elif good:
            draft.how = f"{good[-1].method} against {good[-1].against}"
        else:
            draft.how = _HOW_FIXED.get(draft.name, "")


def _told_hz(recording: Recording) -> int | None:
    """What tsc_early_khz= tells; the last one counts (arch/x86/kernel/tsc.c)."""
    told = [w for w in recording.header.load.arguments if w.startswith(_TOLD_KHZ)]
    digits = told[-1].removeprefix(_TOLD_KHZ) if told else ""
    return int(digits) * 1000 if digits.isascii() and digits.isdigit() else None


def _unregistered(
    recording: Recording,
    touched: dict[str, Touched],
    sources: dict[str, Draft],
    calibrations: tuple[Calibration, ...],
) -> Iterable[Draft]:
    """Sources that were touched and never became a clocksource: probed, or rejected."""
    for name, clock in touched.items():
        if clock.role is not ClockRole.SOURCE or any(n in sources for n in _MADE_FROM[name]):
            continue
        draft = Draft(name, ClockRole.SOURCE)
        draft.step(recording, clock.first[0], "first touched", ClockState.PROBED)
        if name == "tsc":
            _reject_tsc(recording, draft, calibrations)
        else:
            draft.how = f"{clock.count:,} accesses; not registered as a clocksource"
        yield draft


def _reject_tsc(recording: Recording, draft: Draft, calibrations: tuple[Calibration, ...]) -> None:
    failed = [c for c in calibrations if c.of == "tsc" and not c.result_hz]
    ways = dict.fromkeys(f"{c.method} ({c.against})" for c in failed)
    draft.how = f"not found by {', '.join(ways)}" if ways else ""
    for seen, reason in _tsc_unstable(recording):
        draft.step(recording, seen, f"marked unstable: {reason}", ClockState.REJECTED)


def _disabled_lapic(recording: Recording, devices: dict[str, Draft]) -> Iterable[Draft]:
    """A LAPIC timer that calibrate_APIC_clock would not use (arch/x86/kernel/apic/apic.c)."""
    if any("lapic" in name for name in devices):
        return
    for line in recording.console:
        if match := _DISABLED_LINE.search(line.text):
            draft = Draft("lapic", ClockRole.EVENTS, how="calibrated, and then not used")
            draft.step(recording, line, f"disabled: {match[1]}", ClockState.REJECTED)
            yield draft
            return


def _wall_clock(
    recording: Recording, calls: tuple[Call, ...], touched: dict[str, Touched]
) -> Iterable[Draft]:
    """The RTC: read by mach_get_cmos_time (arch/x86/kernel/rtc.c), or only probed."""
    if "rtc" not in touched:
        return
    draft = Draft("rtc", ClockRole.WALL, frequency_hz=1)
    draft.step(recording, touched["rtc"].first[0], "first touched", ClockState.PROBED)
    readers = ("mach_get_cmos_time", "read_persistent_clock64")
    read = next((call for call in calls if call.name in readers), None)
    if _rtc_is_silent(recording):
        draft.frequency_hz = None
        draft.how = "absent: every read of port 0x71 gave 0xff"
        draft.step(recording, touched["rtc"].first[0], "found absent", ClockState.REJECTED)
    elif read:
        draft.step(recording, read.entered, "read as the time of day", ClockState.SELECTED)
        draft.state = ClockState.SELECTED  # whose reader is entered before the first touch
        draft.how = "the time of day was read from it at boot"
    yield draft


def _rtc_is_silent(recording: Recording) -> bool:
    """Whether the RTC's data port reads like an empty bus, and never as anything else."""
    reads = [e for e in recording.events if e.kind is Kind.IN and e.values[0] == _RTC_DATA]
    known = [e.values[1] for e in reads if not e.no_result]
    return bool(known) and all(value == 0xFF for value in known)
