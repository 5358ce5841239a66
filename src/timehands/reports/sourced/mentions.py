"""Which functions a report speaks of, item by item."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from timehands.findings.model import Finding
from timehands.reports.model import Report
from timehands.reports.sourced.model import Frame, Item
from timehands.reports.sourced.places import Places
from timehands.story.model import Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

#: Of an item's functions at most so many are told.
MOST_FRAMES: Final = 16
MOST_ITEMS: Final = 400
_CHAIN: Final = re.compile(r"[A-Za-z_][\w.]*(?: < [A-Za-z_][\w.]*)+")
_WORD: Final = re.compile(r"[A-Za-z_][\w.]*")
_CALLER_VALUE: Final = 4
_ADDRESS: Final = 8


@dataclass(frozen=True, slots=True)
class _Mention:
    kind: str
    name: str
    index: int
    names: tuple[str, ...]
    references: tuple[str, ...] = ()


def items(report: Report, recording: Recording, places: Places) -> tuple[Item, ...]:
    """What the report tells, each with the places of its functions; what has none is left out."""
    found = []
    events = {event.reference: event for event in recording.events}
    for mention in _mentions(report, places):
        frames = tuple(_frames(mention, recording, events, places))[:MOST_FRAMES]
        if frames:
            found.append(Item(mention.kind, mention.name, mention.index, frames))
        if len(found) == MOST_ITEMS:
            break
    return tuple(found)


def _mentions(report: Report, places: Places) -> Iterator[_Mention]:
    story = report.story
    outcome = story.outcome
    told = names_in(f"{outcome.where or ''} {outcome.text}", places)
    yield _Mention("outcome", str(outcome.kind), 0, told, outcome.evidence)
    for index, finding in enumerate(report.findings):
        yield _finding(index, finding, places)
    steps = [(clock.name, step) for clock in story.clocks for step in clock.steps]
    for index, (name, step) in enumerate((n, step) for n, step in steps if step.backtrace):
        yield _step("clock", name, index, step)
    for index, step in enumerate(story.delay):
        yield _step("delay", step.what, index, step)
    for index, one in enumerate(story.calibrations):
        names = names_in(one.method, places)
        yield _Mention("calibration", one.method, index, names, one.evidence)
    for index, message in enumerate(story.messages):
        names = names_in(message.source, places)
        yield _Mention("message", message.source, index, names)
    for index, stop in enumerate(report.stops):
        names = tuple(map(_function, stop.backtrace or (stop.where,)))
        yield _Mention("stop", stop.reference, index, names)


def _finding(index: int, finding: Finding, places: Places) -> _Mention:
    texts = (finding.cause, *(one.text for one in finding.evidence))
    references = tuple(ref for one in finding.evidence for ref in one.references)
    names = names_in(" ".join(texts), places)
    return _Mention("finding", finding.code, index, names, references)


def _step(kind: str, name: str, index: int, step: Step) -> _Mention:
    return _Mention(kind, name, index, tuple(map(_function, step.backtrace)), step.evidence)


def _function(frame: str) -> str:
    """The name in a frame: ``tc_init at kern_tc.c:707``, ``mi_startup+0x1f``."""
    found = _WORD.match(frame)
    return found[0] if found else ""


def names_in(text: str, places: Places) -> tuple[str, ...]:
    """The kernel's functions that a text names, in its order.

    In a chain (``a < b``) each word is one; elsewhere one that no plain word can be: it has an
    underscore, or capitals alone. The kernel must have a function of that name.
    """
    found: dict[str, None] = {}
    chains = {word for chain in _CHAIN.findall(text) for word in chain.split(" < ")}
    for word in _WORD.findall(text):
        name = word.rstrip(".")
        told = name in chains or "_" in name or (name.isupper() and len(name) > 3)
        if told and places.known(name):
            found[name] = None
    return tuple(found)


def _frames(
    mention: _Mention, recording: Recording, events: dict[str, Event], places: Places
) -> Iterator[Frame]:
    """The frames of the functions named, then those of the events referred to."""
    seen = [events[one] for one in mention.references if one in events]
    near = frozenset(address for event in seen for address in _addresses(event))
    told = set()
    for name in filter(None, mention.names):
        if name not in told:
            told.add(name)
            yield places.function(name, near)
    for frame in _of_events(seen, recording, places):
        if frame.function not in told and frame.where is not None:
            told.add(frame.function)
            yield frame


def _of_events(events: Iterable[Event], recording: Recording, places: Places) -> Iterator[Frame]:
    """Where the events were: of an entry the function and its caller, else the instruction."""
    for event in events:
        name = recording.function(event)
        if name:
            yield places.function(name)
        else:
            yield from places.at(event.pc)
        if event.kind is Kind.ENTER:
            yield from places.at(event.values[_CALLER_VALUE])


def _addresses(event: Event) -> Iterator[int]:
    """The addresses that came with an event: of its caller, and those read with it."""
    yield event.values[_CALLER_VALUE]
    for _, data in event.data:
        for at in range(0, len(data) - _ADDRESS + 1, _ADDRESS):
            yield int.from_bytes(data[at : at + _ADDRESS], "little")
