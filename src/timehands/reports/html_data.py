"""The numbers that the timeline in the HTML page is drawn from, bounded."""

from __future__ import annotations

from typing import Any

from timehands.reports.plain import clipped, harmless
from timehands.reports.words import KINDS
from timehands.story.model import Calibration, Clock, References, Span, Story

MOST_SPANS = 4000
MOST_MARKS = 1000
MOST_CLOCKS = 200
MOST_DEPTH = 24
MOST_REFERENCES = 12
#: JavaScript's numbers are exact up to here; a time beyond it is no time of a boot.
_MOST_NS = 2**53 - 1


def timeline(story: Story) -> dict[str, Any]:
    """What the script draws: boundaries, spans, calibrations, clock steps; times in ns."""
    spans = bounded_spans(story)
    boundaries = [
        {"name": str(b.name).replace("_", " "), "at": _ns(b.at_ns), "how": _text(b.how)}
        for b in story.boundaries
        if b.at_ns is not None
    ]
    return {
        "boundaries": boundaries,
        "spans": [_span(span) for span in spans],
        "marks": [*_calibrations(story.calibrations), *_steps(story.clocks)],
        "kinds": {kind.value: words for kind, words in KINDS.items()},
        "end": _ns(max([story.outcome.at_ns, *(s.end_ns for s in spans)])),
    }


def bounded_spans(story: Story) -> list[Span]:
    """The spans that are drawn: of too many the longest, and none too deep, by time."""
    spans = [span for span in story.spans if 0 <= span.depth < MOST_DEPTH]
    if len(spans) > MOST_SPANS:
        spans = sorted(spans, key=lambda s: s.duration_ns, reverse=True)[:MOST_SPANS]
    return sorted(spans, key=lambda s: (s.start_ns, s.depth))


def chosen(references: References) -> References:
    """The references that are shown: of many the first ones and the last."""
    if len(references) <= MOST_REFERENCES:
        return references
    return (*references[: MOST_REFERENCES - 1], references[-1])


def _span(span: Span) -> dict[str, Any]:
    return {
        "name": _text(span.name),
        "kind": span.kind.value,
        "from": _ns(span.start_ns),
        "to": max(_ns(span.start_ns), _ns(span.end_ns)),
        "depth": span.depth,
        "detail": _text(span.detail),
    }


def _calibrations(calibrations: tuple[Calibration, ...]) -> list[dict[str, Any]]:
    return [
        {
            "row": "calibrations",
            "name": _text(f"{c.of} against {c.against}"),
            "from": _ns(c.start_ns),
            "to": max(_ns(c.start_ns), _ns(c.end_ns)),
            "good": c.result_hz is not None,
            "detail": _text(f"{c.method}: {c.detail}" if c.detail else c.method),
        }
        for c in calibrations[:MOST_MARKS]
    ]


def _steps(clocks: tuple[Clock, ...]) -> list[dict[str, Any]]:
    steps = [(clock, step) for clock in clocks for step in clock.steps if step.at_ns is not None]
    return [
        {
            "row": "clocks",
            "name": _text(clock.name),
            "from": _ns(step.at_ns or 0),
            "to": _ns(step.at_ns or 0),
            "good": True,
            "detail": _text(step.what),
        }
        for clock, step in steps[:MOST_MARKS]
    ]


def _ns(value: int) -> int:
    return max(0, min(value, _MOST_NS))


def _text(text: str) -> str:
    return clipped(harmless(text), 160)
