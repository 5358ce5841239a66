"""NetBSD's clocks as a recording shows them: timecounters, the clock interrupt, the time of day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timehands.guests.bsd.clocks import Clocks, invariant_bit, tell_how, wall_clock
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.messages import matches
from timehands.guests.bsd.timecounters import (
    Drafts,
    chosen,
    draft_of,
    from_console,
    netbsd_prefers,
    registered,
)
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ
from timehands.guests.telling import NOT_INVARIANT, Draft, entries, watched
from timehands.story.model import Calibration, ClockRole, ClockState, Step
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
_HOW = {
    "i8254": "fixed by definition",
    INTERRUPT: "counts timer interrupts",
    XEN: "Xen's clock counts ns",
}


def clocks_of(recording: Recording, calibrations: tuple[Calibration, ...]) -> Clocks:
    """From the functions watched, or the console, and from the variables at the end."""
    if watched(recording):
        drafts = registered(recording, netbsd_prefers)
    else:
        drafts = from_console(recording, _told(recording), netbsd_prefers)
    selected = chosen(recording, drafts)
    _unregistered_tsc(recording, drafts, calibrations)
    _invariant(recording, drafts)
    tell_how(drafts.values(), calibrations, _HOW)
    armed, timer = _timer(recording, drafts)
    made = [*drafts.values(), *timer, *wall_clock(recording, "rtc_get_ymdhms")]
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
        bit = invariant_bit(recording)
        what = (
            f"invariant ({bit})"
            if yes
            else f"{NOT_INVARIANT}: the kernel gives such a TSC quality -100 ({bit})"
        )
        at = recording.since_start(event.host_ns)
        draft.steps.append(Step(at, what, (event.reference,)))
        return


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
