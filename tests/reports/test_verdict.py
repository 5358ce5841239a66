"""The sentence that matters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.build import (
    finding_101,
    hang_report,
    healthy_report,
    hostile_report,
    jiffies_story,
    slow_clock,
)
from timehands.findings.model import Severity
from timehands.reports.verdict import Mood, verdict
from timehands.story.model import Outcome, OutcomeKind


def test_the_worst_finding_leads_whatever_the_order() -> None:
    told = verdict(jiffies_story(), (slow_clock(), finding_101()))
    assert told.sentence.endswith("its TSC frequency is unknown")
    assert told.mood is Mood.BAD


def test_a_warning_alone_is_doubtful() -> None:
    assert verdict(jiffies_story(), (slow_clock(),)).mood is Mood.DOUBTFUL


def test_a_note_does_not_spoil_a_good_boot() -> None:
    note = replace(slow_clock(), severity=Severity.NOTE)
    told = verdict(healthy_report().story, (note,))
    assert told.mood is Mood.GOOD
    assert told.sentence.endswith("nothing wrong was found")


def test_a_hang_names_the_place_and_the_wait() -> None:
    report = hang_report()
    told = verdict(report.story, report.findings)
    assert told.sentence == (
        "Linux hangs in pit_calibrate_tsc+0x6c: it waits for a clock that never moves"
    )


GOOD = (OutcomeKind.INIT_REACHED, OutcomeKind.STOPPED)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in GOOD])
def test_an_outcome_that_is_no_success_is_bad_without_any_finding(kind: OutcomeKind) -> None:
    story = replace(jiffies_story(), outcome=Outcome(kind, "the reason", 5))
    told = verdict(story, ())
    assert told.mood is Mood.BAD
    assert told.sentence.endswith(": the reason")


def test_a_panic_is_told_once_and_short_whatever_was_found() -> None:
    where = "pvclock_get_timecount < xen_delay < ns8250_bus_attach"
    text = f"the kernel panicked: page fault at 0x20 in {where}"
    outcome = Outcome(OutcomeKind.PANICKED, text, 5, where)
    told = verdict(replace(jiffies_story(), os="freebsd", outcome=outcome), (finding_101(),))
    assert told.sentence == f"FreeBSD panicked: page fault at 0x20 in {where}"


def test_a_clock_that_nobody_selected_is_said() -> None:
    told = verdict(replace(jiffies_story(), selected=None), ())
    assert told.sentence == (
        "Linux ran, and no clock was seen to be selected; nothing wrong was found"
    )


def test_a_hostile_guest_cannot_write_into_the_sentence() -> None:
    report = hostile_report()
    told = verdict(report.story, report.findings)
    assert told.sentence.isprintable()
    assert len(told.sentence) < 400
