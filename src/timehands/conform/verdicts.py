"""What is said of a case: one word, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from timehands.conform.cases import Case


class Verdict(StrEnum):
    """``note``: by the letter not wrong, or usual, and yet some guest is harmed by it."""

    PASS = "pass"
    FAIL = "fail"
    NOTE = "note"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule finds. ``saw``: what was measured, or for a skip what is missing."""

    verdict: Verdict
    saw: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with what is said of it."""

    case: Case
    verdict: Verdict
    saw: str


def passed(saw: str) -> Outcome:
    """As it should be."""
    return Outcome(Verdict.PASS, saw)


def failed(saw: str) -> Outcome:
    """Not as it should be."""
    return Outcome(Verdict.FAIL, saw)


def noted(saw: str) -> Outcome:
    """Not wrong, but to be known."""
    return Outcome(Verdict.NOTE, saw)


def skipped(what: str) -> Outcome:
    """Not looked at, for lack of this."""
    return Outcome(Verdict.SKIP, what)


def held(condition: bool, saw: str) -> Outcome:
    """Passed if the condition holds, else failed."""
    return passed(saw) if condition else failed(saw)
