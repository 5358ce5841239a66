"""The one sentence that matters, from a story and its findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from timehands.findings.catalogue import CATALOGUE
from timehands.findings.model import Finding, Severity
from timehands.guests.registry import knowledge_named
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import duration, hz
from timehands.story.model import ClockRole, Mark, OutcomeKind, Story
from timehands.story.outcome import PANICKED

#: Outcomes that are no success, as the second half of a sentence.
BAD = {
    OutcomeKind.PANICKED: "panicked",
    OutcomeKind.HALTED: "halted",
    OutcomeKind.RESET: "was reset",
    OutcomeKind.HUNG: "hangs",
    OutcomeKind.TIMED_OUT: "did not get to its end in time",
    OutcomeKind.VM_LOST: "was lost with its VM",
}
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


class Mood(StrEnum):
    """How the verdict is marked."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``sentence`` without a full stop, and ``ending``: how the boot ended and after how long."""

    mood: Mood
    sentence: str
    ending: str


def verdict(story: Story, findings: Sequence[Finding]) -> Verdict:
    """The verdict on a boot: the worst finding leads, then how the boot ended."""
    return Verdict(_mood(story, findings), _sentence(story, findings), ending(story))


def system(os: str) -> str:
    """An operating system's identifier as it is written: ``linux`` is ``Linux``."""
    if os in ("", "unknown"):
        return "The kernel"
    known = knowledge_named(os)
    return known.title if known.name == os else harmless(os, 40)


def worst(findings: Sequence[Finding]) -> Finding | None:
    """The finding that weighs most; among equals the first."""
    return min(findings, key=lambda f: _ORDER[f.severity], default=None)


def ending(story: Story) -> str:
    """How the boot ended and when: ``init reached after 2.18 s`` (since QEMU was started)."""
    kind, at_ns = story.outcome.kind, story.outcome.at_ns
    if kind is OutcomeKind.INIT_REACHED:
        at_ns = story.boundary_ns(Mark.INIT) or at_ns
    return f"{kind} after {duration(at_ns)}"


def _mood(story: Story, findings: Sequence[Finding]) -> Mood:
    severities = {finding.severity for finding in findings}
    if story.outcome.kind in BAD or Severity.ERROR in severities:
        return Mood.BAD
    cut_short = story.outcome.kind is OutcomeKind.STOPPED
    return Mood.DOUBTFUL if cut_short or Severity.WARNING in severities else Mood.GOOD


def _sentence(story: Story, findings: Sequence[Finding]) -> str:
    if story.outcome.kind is OutcomeKind.PANICKED:
        return _panicked(story)
    head, reason = _head(story), _reason(story, findings)
    if reason:
        return f"{head}: {reason}"
    if story.outcome.kind is OutcomeKind.STOPPED:
        return f"{head}; it was stopped before init, with nothing wrong so far"
    return f"{head}; nothing wrong was found"


def _panicked(story: Story) -> str:
    """The kernel's own message says most, with the place that it tells; findings say why."""
    said = story.outcome.text.removeprefix(PANICKED)
    return f"{system(story.os)} panicked: {clipped(harmless(said), 120) or 'why is not known'}"


def _head(story: Story) -> str:
    name, outcome = system(story.os), story.outcome
    if outcome.kind in BAD:
        where = f" in {harmless(outcome.where, 60)}" if outcome.where else ""
        return f"{name} {BAD[outcome.kind]}{where}"
    if story.selected is None:
        return f"{name} ran, and no clock was seen to be selected"
    clock = story.clock(story.selected, ClockRole.SOURCE)
    rate = f" at {hz(clock.frequency_hz)}" if clock and clock.frequency_hz else ""
    return f"{name} runs on {harmless(story.selected, 40)}{rate}"


def _reason(story: Story, findings: Sequence[Finding]) -> str | None:
    finding = worst([f for f in findings if f.severity is not Severity.NOTE])
    if finding:
        entry = CATALOGUE.get(finding.code)
        return entry.because if entry else clipped(harmless(finding.title), 120)
    if story.outcome.kind in BAD:
        return clipped(harmless(story.outcome.text), 120) or "why is not known"
    return None
