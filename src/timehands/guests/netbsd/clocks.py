"""NetBSD's clocks as a recording shows them: timecounters, the clock interrupt, the time of day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from timehands.guests.bsd.messages import matches
from timehands.guests.bsd.planning import before_name
from timehands.guests.bsd.timecounters import (
    Drafts,
    chosen,
    draft_of,
    from_console,
    netbsd_prefers,
    registered,
)
from timehands.guests.netbsd.calibrations import DELAYS
from timehands.guests.netbsd.facts import variable
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ, DELAY_FUNC
from timehands.guests.telling import Draft, entries, watched
from timehands.story.instructions import touched_clocks
from timehands.story.model import Calibration, Clock, ClockRole, ClockState, Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

TSC, INTERRUPT, XEN = "TSC", "clockinterrupt", "xen_system_time"
#: Who starts the clock interrupt, and by which timer it comes.
TIMERS = {
    "lapic_initclock": "lapic",
    "i8254_initclocks": "i8254",
    "xen_initclocks": "Xen's timer",
}
_I8254_HZ = 1_193_182
_INVARIANT_LEAF, _INVARIANT_BIT = 0x80000007, 1 << 8
_HOW = {
    "i8254": "fixed by definition",
    INTERRUPT: "counts timer interrupts",
    XEN: "Xen's clock counts ns",
}
_MOST_DELAYS = 20


@dataclass(frozen=True, slots=True)
class Clocks:
    """All clocks of a recording, and which ones are in use at its end."""

    clocks: tuple[Clock, ...]
    selected: str | None
    selected_timer: str | None
    timer_armed: Event | None


def clocks_of(recording: Recording, calibrations: tuple[Calibration, ...]) -> Clocks:
    """From the functions watched, or the console, and from the variables at the end."""
    if watched(recording):
        drafts = registered(recording, netbsd_prefers)
    else:
        drafts = from_console(recording, _told(recording), netbsd_prefers)
    selected = chosen(recording, drafts)
    _unregistered_tsc(recording, drafts, calibrations)
    _invariant(recording, drafts)
    _tell_how(drafts.values(), calibrations)
    armed, timer = _timer(recording, drafts)
    made = [*drafts.values(), *timer, *_wall_clock(recording)]
    name = timer[0].name if timer else None
    return Clocks(tuple(draft.clock() for draft in made), selected, name, armed)


def _told(recording: Recording) -> Iterator[tuple[str, int, int, Any]]:
    """The timecounters that the console tells of; one of negative quality only with ``-v``."""
    for one, line, match in matches(recording, KNOWN):
        if one.name == "timecounter":
            yield match[1], int(match[2]), int(match[3]), line
        elif one.name == "insufficient":
            yield match[1], int(match[2]), -2000, line


def _unregistered_tsc(
    recording: Recording, drafts: Drafts, calibrations: tuple[Calibration, ...]
) -> None:
    """A TSC whose frequency was looked for and that was never given to tc_init."""
    tries = [c for c in calibrations if c.of == "tsc"]
    if TSC in drafts or not tries:
        return
    draft = draft_of(drafts, TSC)
    draft.frequency_hz = tries[-1].result_hz or variable(recording, CC_FREQ) or None
    draft.state = ClockState.CALIBRATED if draft.frequency_hz else ClockState.PROBED


def _invariant(recording: Recording, drafts: Drafts) -> None:
    """tsc_is_invariant (sys/arch/x86/x86/tsc.c): it decides the quality, 3000 or -100."""
    for event in recording.events:
        if event.kind is not Kind.LEAVE or recording.function(event) != "tsc_is_invariant":
            continue
        draft = draft_of(drafts, TSC)
        yes = bool(event.values[1] & 0xFF) and not event.no_result
        what = (
            "invariant: quality 3000" if yes else f"not invariant: quality -100 ({_bit(recording)})"
        )
        at = recording.since_start(event.host_ns)
        draft.steps.append(Step(at, what, (event.reference,)))
        return


def _bit(recording: Recording) -> str:
    for event in recording.events:
        if event.kind is Kind.CPUID and event.leaf[0] == _INVARIANT_LEAF:
            state = "set" if event.registers[3] & _INVARIANT_BIT else "clear"
            return f"CPUID 0x80000007 edx bit 8 is {state}"
    return "CPUID 0x80000007 was not read"


def _tell_how(drafts: Iterable[Draft], calibrations: tuple[Calibration, ...]) -> None:
    """How each frequency was found, with a step for each attempt."""
    for draft in drafts:
        tries = [c for c in calibrations if c.of == draft.name.lower()]
        draft.steps += [_step_of(c) for c in tries]
        draft.how = _how(tries) or _HOW.get(draft.name, draft.how)


def _step_of(calibration: Calibration) -> Step:
    result = f"{calibration.result_hz:,} Hz" if calibration.result_hz else "nothing"
    what = f"{calibration.method} against {calibration.against}: {result} ({calibration.detail})"
    return Step(calibration.end_ns, what, calibration.evidence)


def _how(tries: list[Calibration]) -> str:
    good = [c for c in tries if c.result_hz]
    if not good:
        return "; ".join(dict.fromkeys(c.detail for c in tries))
    return f"{good[-1].method} against {good[-1].against}"


def _timer(recording: Recording, drafts: Drafts) -> tuple[Event | None, list[Draft]]:
    """What gives the clock interrupt: whom ``x86_initclock_func`` called.

    Without the plugin: lapic_initclock registers the lapic, and initclocks the interrupt's counter.
    """
    event = next(entries(recording, *TIMERS), None)
    if event is not None:
        name = TIMERS[recording.function(event) or ""]
        draft = Draft(name, ClockRole.EVENTS, frequency_hz=_rate(recording, name))
        draft.how = f"{recording.function(event)} starts it, one interrupt a tick"
        draft.step(recording, event, "started as the clock interrupt", ClockState.SELECTED)
        return event, [draft]
    if watched(recording) or INTERRUPT not in drafts:
        return None, []
    name = "lapic" if "lapic" in drafts else "i8254"
    draft = Draft(name, ClockRole.EVENTS, ClockState.SELECTED)
    draft.frequency_hz = drafts[name].frequency_hz if name in drafts else None
    return None, [draft]


def _rate(recording: Recording, name: str) -> int | None:
    if name == "i8254":
        return _I8254_HZ
    after = [
        hz
        for event in recording.events
        if event.kind is Kind.LEAVE and (hz := recording.number(event, "lapic_per_second"))
    ]
    return variable(recording, "lapic_per_second") or next(reversed(after), None)


def _wall_clock(recording: Recording) -> Iterator[Draft]:
    """The RTC: rtc_get_ymdhms reads the date when the root file system is mounted (inittodr)."""
    touched = touched_clocks(recording.events).get("rtc")
    if touched is None:
        return
    draft = Draft("rtc", ClockRole.WALL, frequency_hz=1)
    draft.step(recording, touched.first[0], "first touched", ClockState.PROBED)
    read = next(entries(recording, "rtc_get_ymdhms"), None)
    if read:
        draft.step(recording, read, "read as the time of day", ClockState.SELECTED)
        draft.how = "the time of day was read from it"
    yield draft


def delay_func(recording: Recording, event: Event) -> int | None:
    """Where ``delay_func`` pointed when a watched function was entered or left."""
    if not recording.function(event):
        return None
    name = before_name(DELAY_FUNC) if event.kind is Kind.ENTER else DELAY_FUNC
    return recording.number(event, name)


def delays(recording: Recording) -> tuple[Step, ...]:
    """Who served DELAY from when on: each change of the pointer ``delay_func``."""
    steps: list[Step] = []
    last = None
    for event in recording.events:
        target = delay_func(recording, event)
        if not target or target == last or len(steps) == _MOST_DELAYS:
            continue
        name = recording.symbols.get(target, f"0x{target:x}")
        by = f", set by {recording.function(event)}" if event.kind is Kind.LEAVE else ""
        at = recording.since_start(event.host_ns)
        steps.append(Step(at, f"{DELAYS.get(name, name)} ({name}{by})", (event.reference,)))
        last = target
    return tuple(steps)
