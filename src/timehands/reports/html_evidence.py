"""The part of a recording that the HTML page carries: what its evidence refers to, bounded."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from timehands.reports.events import describe_event
from timehands.reports.html_data import chosen
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.story.model import References, Story
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Event, Kind

MOST_EVENTS = 3000
MOST_LINES = 2000
NEIGHBOURS = 2
_LINE_CHARACTERS = 500
_REFERENCE = re.compile(r"([ec])([0-9]{1,9})")
_SILENT = (Kind.HELLO, Kind.COST, Kind.COUNT)


@dataclass(frozen=True, slots=True)
class Row:
    """An event or a console line on the page.

    ``at_ns`` counts from the start of QEMU. ``gap`` is how many are left out before it.
    """

    reference: str
    at_ns: int
    text: str
    referred: bool
    gap: int


@dataclass(frozen=True, slots=True)
class Extract:
    """What of a recording is on the page; ``anchors`` are the references that can be linked."""

    events: tuple[Row, ...] = ()
    console: tuple[Row, ...] = ()
    events_in_all: int = 0
    lines_in_all: int = 0
    anchors: frozenset[str] = frozenset()


def anchor(reference: str) -> str:
    """The id of the element that a reference leads to."""
    return f"at-{reference}"


def extract(report: Report, recording: Recording | None) -> Extract:
    """The events that something refers to with their neighbours, and the console."""
    if recording is None:
        return Extract()
    wanted = frozenset(_wanted(report))
    events = _events(recording, {n for kind, n in wanted if kind == "e"})
    console = _console(recording, {n for kind, n in wanted if kind == "c"})
    shown = frozenset(row.reference for row in (*events, *console))
    return Extract(events, console, len(recording.events), len(recording.console), shown)


def _wanted(report: Report) -> Iterator[tuple[str, int]]:
    for references in _all_references(report.story, report):
        for reference in chosen(references):
            match = _REFERENCE.fullmatch(reference)
            if match:
                yield match[1], int(match[2])


def _all_references(story: Story, report: Report) -> Iterator[References]:
    for finding in report.findings:
        yield from (evidence.references for evidence in finding.evidence)
    yield story.outcome.evidence
    yield from (boundary.evidence for boundary in story.boundaries)
    yield from (clock.evidence for clock in story.clocks)
    yield from (calibration.evidence for calibration in story.calibrations)
    for clock in story.clocks:
        yield from (step.evidence for step in clock.steps)
    yield from (one.evidence for one in (story.rate, story.wall) if one is not None)
    yield from (span.evidence for span in story.spans)


def _events(recording: Recording, referred: set[int]) -> tuple[Row, ...]:
    events = recording.events
    indices = [event.index for event in events]
    rows: list[Row] = []
    last = -1
    for place in _neighbourhood(sorted(referred), indices):
        event = events[place]
        if event.kind in _SILENT and event.index not in referred:
            continue
        rows.append(_event(recording, event, event.index in referred, place - last - 1))
        last = place
    return tuple(rows)


def _neighbourhood(referred: list[int], indices: list[int]) -> list[int]:
    """The positions of the referred events and of those beside them, at most `MOST_EVENTS`."""
    places: set[int] = set()
    for index in referred:
        at = bisect_left(indices, index)
        if at == len(indices) or indices[at] != index:
            continue
        near = range(max(0, at - NEIGHBOURS), min(len(indices), at + NEIGHBOURS + 1))
        if len(places.union(near)) > MOST_EVENTS:
            break
        places.update(near)
    return sorted(places)


def _event(recording: Recording, event: Event, referred: bool, gap: int) -> Row:
    at_ns = recording.since_start(event.host_ns)
    return Row(event.reference, at_ns, describe_event(recording, event), referred, gap)


def _console(recording: Recording, referred: set[int]) -> tuple[Row, ...]:
    lines = recording.console
    rows: list[Row] = []
    last = -1
    for line in _bounded(lines, referred):
        at_ns = recording.since_start(line.host_ns)
        text = clipped(harmless(line.text), _LINE_CHARACTERS)
        gap = line.index - last - 1
        rows.append(Row(line.reference, at_ns, text, line.index in referred, gap))
        last = line.index
    return tuple(rows)


def _bounded(lines: tuple[ConsoleLine, ...], referred: set[int]) -> list[ConsoleLine]:
    """All lines; of too many the referred ones, the first half and the last."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    wanted = [line for line in lines if line.index in referred][: MOST_LINES // 2]
    half = (MOST_LINES - len(wanted)) // 2
    kept = {line.index: line for line in (*lines[:half], *wanted, *lines[len(lines) - half :])}
    return [kept[index] for index in sorted(kept)]
