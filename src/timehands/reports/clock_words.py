"""How a kernel came to its clocks, in words: who registered them, who served its busy waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timehands.reports.done_words import callers
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import seconds
from timehands.story.model import Clock, Fact, References, Step, Story

#: Facts worth a look in a short report: the kernel's own word on what it uses.
_MOST_FACTS = 10
#: How a step begins that tells what the kernel decided on a clock.
_DECISIONS = ("selected", "not selected", "rejected")


def ranking(os: str) -> str:
    """The system's word for the number by which it prefers a clock: rating, or quality."""
    # Imported here: what shows no report (timehands explain) starts faster without it.
    from timehands.guests.registry import knowledge_named

    return knowledge_named(os).names.ranking


@dataclass(frozen=True, slots=True)
class Registration:
    """A clock's registration: its ``name``, ``what`` happened, and through which ``callers``.

    ``then``: whether the kernel switched to it (``selected instead of dummy``); empty: not said.
    """

    name: str
    what: str
    callers: str
    then: str = ""


def registrations(story: Story) -> list[Registration]:
    """The clocks whose registration has a backtrace, in the order of time."""
    found = [(step, clock) for clock in story.clocks for step in _called(clock)]
    found.sort(key=lambda pair: pair[0].at_ns or 0)
    return [
        Registration(
            harmless(clock.name, 40), step_words(step), callers(step.backtrace), _then(clock, step)
        )
        for step, clock in found
    ]


def _then(clock: Clock, registered: Step) -> str:
    """What the kernel decided on the clock after a step: the first decision that follows."""
    following = clock.steps[clock.steps.index(registered) + 1 :]
    said = (step.what for step in following if step.what.startswith(_DECISIONS))
    return clipped(harmless(next(said, "")), 120)


def _called(clock: Clock) -> Iterator[Step]:
    """The steps with a backtrace; of several that say the same the first."""
    said: set[str] = set()
    for step in clock.steps:
        if step.backtrace and step.what not in said:
            said.add(step.what)
            yield step


def step_words(step: Step) -> str:
    """``0.412 s  registered``."""
    when = "" if step.at_ns is None else f"{seconds(step.at_ns)}  "
    return f"{when}{clipped(harmless(step.what), 200)}"


def served(story: Story) -> list[tuple[str, str, References]]:
    """Who serves the kernel's busy waits: from when on, who, and where that is seen."""
    return [
        (
            "at first" if step.at_ns is None else f"from {seconds(step.at_ns)}",
            clipped(harmless(step.what), 200),
            step.evidence,
        )
        for step in story.delay
    ]


def fact_rows(story: Story, most: int = _MOST_FACTS) -> list[tuple[str, str, str]]:
    """The kernel's own variables at the end: name, value, meaning."""
    return [(harmless(f.name, 60), value(f), harmless(f.meaning, 200)) for f in story.facts[:most]]


def value(fact: Fact) -> str:
    """A variable's value; numbers as they are, so that they can be searched for."""
    return "could not be read" if fact.value is None else clipped(harmless(str(fact.value)), 120)
