from __future__ import annotations

from timehands.story.model import (
    Boundary,
    Calibration,
    Clock,
    ClockRole,
    ClockState,
    Mark,
    Outcome,
    OutcomeKind,
    Story,
)


def _story(**at_ns: int) -> Story:
    boundaries = tuple(Boundary(mark, at_ns.get(mark.value)) for mark in Mark)
    clocks = (
        Clock("hpet", ClockRole.SOURCE, ClockState.REGISTERED),
        Clock("hpet", ClockRole.EVENTS, ClockState.SELECTED),
    )
    outcome = Outcome(OutcomeKind.STOPPED, "", 0)
    return Story("linux", outcome, boundaries, clocks, None, None)


def test_boot_time_is_from_first_instruction_to_init() -> None:
    assert _story(first_instruction=10, init=90, ended=200).boot_ns == 80


def test_a_guest_that_did_not_come_to_init_has_no_boot_time() -> None:
    assert _story(first_instruction=10, ended=200).boot_ns is None
    assert _story(init=10).boot_ns is None


def test_a_boundary_that_was_not_seen_has_no_time() -> None:
    story = _story(init=90)
    assert story.boundary_ns(Mark.INIT) == 90
    assert story.boundary_ns(Mark.CLOCK_KNOWN) is None


def test_clocks_of_one_name_are_told_apart_by_their_role() -> None:
    story = _story()
    source, events = story.clock("hpet"), story.clock("hpet", ClockRole.EVENTS)
    assert source is not None and source.state is ClockState.REGISTERED
    assert events is not None and events.state is ClockState.SELECTED
    assert story.clock("hpet", ClockRole.WALL) is None


def test_a_calibration_lasts_from_start_to_end() -> None:
    assert Calibration("tsc", "i8254", "f", 30, 90, None).duration_ns == 60
