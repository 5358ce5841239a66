"""The numbers that the timeline in the HTML page is drawn from, bounded."""

from __future__ import annotations

from typing import Any

from timehands.reports.done_words import since, stop_place
from timehands.reports.flame import KIND_WORDS, Box, chart, label
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.words import KINDS
from timehands.story.model import Calibration, Clock, Mark, References, Span, Story

MOST_SPANS = 4000
MOST_MARKS = 1000
MOST_DEPTH = 24
MOST_REFERENCES = 12
MOST_LOG = 1500
MOST_LOG_DEPTH = 16
_LOG_KINDS = {f"log-{kind}": f"{words}, by the kernel's log" for kind, words in KIND_WORDS.items()}
#: JavaScript's numbers are exact up to here; a time beyond it is no time of a boot.
_MOST_NS = 2**53 - 1


def timeline(report: Report) -> dict[str, Any]:
    """What the script draws: boundaries, spans, the kernel's log, what happened to clocks, stops.

    Times are in ns since QEMU was started. The log's own times count from its first record, which
    a kernel writes when it begins to run: they are laid from the kernel's entry on.
    """
    story = report.story
    spans = bounded_spans(story)
    boundaries = [
        {"name": str(b.name).replace("_", " "), "at": _ns(b.at_ns), "how": _text(b.how)}
        for b in story.boundaries
        if b.at_ns is not None
    ]
    return {
        "boundaries": boundaries,
        "spans": [_span(span) for span in spans],
        "log": _log(story),
        "marks": [*_calibrations(story.calibrations), *_steps(story.clocks), *_stops(report)],
        "kinds": {**{kind.value: words for kind, words in KINDS.items()}, **_LOG_KINDS},
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


def _log(story: Story) -> list[dict[str, Any]]:
    """The thread of the log that ran longest: of too many stretches the longest ones."""
    bands = chart(story.tslog).bands
    entry_ns = story.boundary_ns(Mark.KERNEL_ENTRY)
    if not bands or entry_ns is None:
        return []
    band = max(bands, key=lambda b: sum(box.end_ns - box.start_ns for box in b.boxes))
    boxes = [box for box in band.boxes if box.row < MOST_LOG_DEPTH]
    boxes.sort(key=lambda box: box.start_ns - box.end_ns)
    return [_logged(box, entry_ns) for box in boxes[:MOST_LOG]]


def _logged(box: Box, entry_ns: int) -> dict[str, Any]:
    return {
        "name": label(box),
        "kind": f"log-{box.kind}",
        "from": _ns(entry_ns + box.start_ns),
        "to": _ns(entry_ns + box.end_ns),
        "depth": box.row,
        "detail": "" if box.ended else "It had not ended.",
    }


def _stops(report: Report) -> list[dict[str, Any]]:
    rows = []
    for stop in report.stops[:MOST_MARKS]:
        at_ns = since(report, stop.host_ns)
        if at_ns is None:
            continue
        length = 0 if stop.resumed_ns is None else stop.resumed_ns - stop.host_ns
        rows.append(
            {
                "row": "stops",
                "name": _text(f"{stop.reference} {stop.why}"),
                "from": _ns(at_ns),
                "to": _ns(at_ns + max(0, length)),
                "good": True,
                "detail": _text(stop_place(stop)),
            }
        )
    return rows


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
