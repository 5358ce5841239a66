"""OpenBSD's clocks as a recording shows them: timecounters, clock interrupt, time of day."""

from __future__ import annotations

from timehands.guests.bsd.clocks import Clocks, invariant_bit, tell_how, wall_clock
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.timecounters import Drafts, chosen, draft_of, later_preferred, registered
from timehands.guests.telling import NOT_INVARIANT, Draft, entries, watched
from timehands.story.instructions import clocks_from_instructions
from timehands.story.model import Calibration, ClockRole, ClockState, Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

TSC, PVCLOCK = "tsc", "pvclock0"
#: Who starts the clock interrupt, and by which timer it comes.
TIMERS = {
    "lapic_startclock": "lapic",
    "lapic_initclocks": "lapic",
    "i8254_initclocks": "i8254",
}
_I8254_HZ = 1_193_182
_HOW = {
    "i8254": "fixed by definition",
    "acpitimer0": "fixed by definition",
    "acpihpet0": "its own period register",
    PVCLOCK: "pvclock counts ns",
}


def clocks_of(recording: Recording, calibrations: tuple[Calibration, ...]) -> Clocks:
    """From the functions watched, and from the variables at the end.

    Without symbols the instructions alone tell of them: the console does not.
    """
    if not watched(recording):
        return Clocks(clocks_from_instructions(recording), None, None, None)
    drafts = registered(recording, later_preferred)
    selected = chosen(recording, drafts)
    _unregistered_tsc(recording, drafts, calibrations)
    _invariant(recording, drafts)
    _doubted(recording, drafts)
    tell_how(drafts.values(), calibrations, _HOW)
    armed, timer = _timer(recording, calibrations)
    made = [*drafts.values(), *timer, *wall_clock(recording, "rtcget", "inittodr")]
    name = next((draft.name for draft in timer if draft.state is ClockState.SELECTED), None)
    return Clocks(tuple(draft.clock() for draft in made), selected, name, armed)


def _unregistered_tsc(
    recording: Recording, drafts: Drafts, calibrations: tuple[Calibration, ...]
) -> None:
    tries = [c for c in calibrations if c.of == TSC]
    if TSC in drafts or not tries:
        return
    draft = draft_of(drafts, TSC)
    draft.frequency_hz = tries[-1].result_hz or variable(recording, "tsc_frequency") or None
    draft.state = ClockState.CALIBRATED if draft.frequency_hz else ClockState.PROBED


def _invariant(recording: Recording, drafts: Drafts) -> None:
    """tsc_identify: only an invariant TSC gets quality 2000."""
    for event in recording.events:
        if event.kind is not Kind.LEAVE or recording.function(event) != "tsc_identify":
            continue
        yes = recording.number(event, "tsc_is_invariant")
        if yes is not None:
            told = invariant_bit(recording)
            what = (
                f"invariant ({told})"
                if yes
                else f"{NOT_INVARIANT}: the kernel gives such a TSC quality -1000 ({told})"
            )
            at = recording.since_start(event.host_ns)
            draft_of(drafts, TSC).steps.append(Step(at, what, (event.reference,)))
        return


def _doubted(recording: Recording, drafts: Drafts) -> None:
    """tc_reset_quality: a TSC that is not the same on all CPUs."""
    for event in entries(recording, "tc_reset_quality"):
        name = recording.text(event, "tc_name")
        if name in drafts:
            drafts[name].step(recording, event, "its quality was taken back", ClockState.REJECTED)


def _timer(
    recording: Recording, calibrations: tuple[Calibration, ...]
) -> tuple[Event | None, list[Draft]]:
    """What gives the clock interrupt; or a LAPIC timer that was calibrated, as far as was seen."""
    event = next(entries(recording, *TIMERS), None)
    tries = [c for c in calibrations if c.of == "lapic" and c.result_hz]
    lapic_hz = variable(recording, "lapic_per_second") or (tries[-1].result_hz if tries else None)
    if event is not None:
        name = TIMERS[recording.function(event) or ""]
        draft = Draft(name, ClockRole.EVENTS)
        draft.frequency_hz = _I8254_HZ if name == "i8254" else lapic_hz
        draft.step(recording, event, "started as the clock interrupt", ClockState.SELECTED)
        return event, [draft]
    if not tries:
        return None, []
    draft = Draft("lapic", ClockRole.EVENTS, ClockState.CALIBRATED, lapic_hz)
    tell_how([draft], calibrations, {})
    return None, [draft]
