"""The kernel's own boot log (TSLOG) as a flame chart in SVG.

Time runs along the x axis and nothing is added up: a stretch is drawn where it was. There is one
band for each thread, depth goes downwards, names are clipped to their boxes, and pointing at a box
tells the whole. What is too much to draw is left out, the shortest first, and the chart says so.

Each box is an ``svg`` element of its own that is placed in percent: its name is clipped by it, and
the chart can be as wide as its page without its letters being stretched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape

from timehands.reports.plain import clipped, harmless
from timehands.reports.units import count, duration
from timehands.story.model import LogSpan

MOST_BOXES = 4000
MOST_THREADS = 40
MOST_DEPTH = 48
#: Width of a chart that stands alone, in pixels.
WIDTH = 1200
ROW, LABEL, AXIS = 17, 20, 24
_TICKS = 10
#: Boxes narrower than this share of the chart have no room for a name.
_THIN = 0.02


class FlameKind(StrEnum):
    """What a stretch of the log is, by its name; it decides the colour."""

    CALIBRATION = "calibration"
    DELAY = "delay"
    DEVICE = "device"
    WAIT = "wait"
    OTHER = "other"


KIND_WORDS = {
    FlameKind.CALIBRATION: "calibrating clocks",
    FlameKind.DELAY: "busy waits (DELAY)",
    FlameKind.DEVICE: "looking for and attaching devices",
    FlameKind.WAIT: "asleep",
    FlameKind.OTHER: "everything else",
}
_KINDS = (
    (FlameKind.DELAY, re.compile(r"^(DELAY|delay|\w+_delay)$")),
    (FlameKind.CALIBRATION, re.compile(r"calib|probe_tsc|tsc_freq|test_tsc", re.IGNORECASE)),
    (
        FlameKind.WAIT,
        re.compile(r"^(WAIT|_?[mt]?sleep|_sleep\w*|sleepq_\w+|kpause|ltsleep|mtsleep)$"),
    ),
    (FlameKind.DEVICE, re.compile(r"attach|probe|bus_generic", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A stretch as it is drawn: ``row`` counts lines of boxes from the top of its thread."""

    name: str
    detail: str
    kind: FlameKind
    start_ns: int
    end_ns: int
    row: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Band:
    """A thread: its name, its boxes by time, and how many rows they take."""

    thread: str
    boxes: tuple[Box, ...]
    rows: int

    @property
    def title(self) -> str:
        """``thread 0xfffff80003000000``, or its name where it has one."""
        return f"thread {self.thread}" if self.thread.startswith("0x") else self.thread


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. ``whole_ns`` is the length of the log; ``left_out`` says what is not there."""

    bands: tuple[Band, ...]
    whole_ns: int
    drawn: int
    left_out: str

    @property
    def height(self) -> int:
        """The height in pixels."""
        return AXIS + sum(LABEL + band.rows * ROW for band in self.bands) + 6


def kind_of(name: str) -> FlameKind:
    """What a stretch is, by the name that the kernel gave it."""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), FlameKind.OTHER)


def chart(log: Sequence[LogSpan]) -> Chart:
    """What of the log is drawn: at most `MOST_BOXES` boxes, the longest ones."""
    whole = max((max(s.start_ns, s.end_ns or 0) for s in log), default=1)
    whole = max(whole, 1)
    fit = [span for span in log if 0 <= span.depth < MOST_DEPTH and _length(span, whole) >= 0]
    threads = list(dict.fromkeys(span.thread for span in sorted(fit, key=lambda s: s.start_ns)))
    shown = set(threads[:MOST_THREADS])
    fit = [span for span in fit if span.thread in shown]
    fit.sort(key=lambda span: _length(span, whole), reverse=True)
    kept, cut = fit[:MOST_BOXES], fit[MOST_BOXES:]
    by_thread: dict[str, list[LogSpan]] = {}
    for span in sorted(kept, key=lambda s: (s.start_ns, s.depth)):
        by_thread.setdefault(span.thread, []).append(span)
    bands = tuple(_band(name, spans, whole) for name, spans in by_thread.items())
    return Chart(bands, whole, len(kept), _left_out(len(log), len(kept), cut, whole))


def _length(span: LogSpan, whole_ns: int) -> int:
    """How long a stretch is; one that did not end lasts to the end of the log."""
    return (whole_ns if span.end_ns is None else span.end_ns) - max(0, span.start_ns)


def _band(thread: str, spans: list[LogSpan], whole_ns: int) -> Band:
    boxes = tuple(
        Box(
            clipped(harmless(span.name), 80),
            clipped(harmless(span.detail), 120),
            kind_of(span.name),
            max(0, span.start_ns),
            whole_ns if span.end_ns is None else span.end_ns,
            span.depth,
            span.end_ns is not None,
        )
        for span in spans
    )
    return Band(harmless(thread, 60), boxes, 1 + max((box.row for box in boxes), default=0))


def _left_out(all_of_them: int, drawn: int, cut: list[LogSpan], whole_ns: int) -> str:
    if drawn == all_of_them:
        return ""
    words = f"{count(drawn)} of {count(all_of_them)} stretches are drawn"
    if not cut:
        return f"{words}: what is too deep, or ends before it begins, is left out"
    return f"{words}: those of {duration(_length(cut[0], whole_ns))} and less are left out"


def longest(log: Sequence[LogSpan], most: int = 40) -> list[Box]:
    """The longest stretches that took no other's time, for those who do not see a chart.

    A stretch that is filled by another one to nine tenths says nothing, and is left out.
    """
    told = []
    for band in chart(log).bands:
        for i, box in enumerate(band.boxes):
            inside = _below(band.boxes, i)
            if max(inside, default=0) * 10 < (box.end_ns - box.start_ns) * 9:
                told.append(box)
    return sorted(told, key=lambda box: box.start_ns - box.end_ns)[:most]


def _below(boxes: tuple[Box, ...], at: int) -> list[int]:
    """How long the boxes are that lie directly in this one; boxes are ordered by time."""
    outer = boxes[at]
    found = []
    for box in boxes[at + 1 :]:
        if box.start_ns >= outer.end_ns:
            break
        if box.row == outer.row + 1:
            found.append(box.end_ns - box.start_ns)
    return found


# Drawing


def svg(log: Sequence[LogSpan], title: str = "") -> str:
    """The chart as an SVG file that stands alone, light or dark as its reader prefers."""
    drawn = chart(log)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{drawn.height + 44}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'{head} class="flame" role="img" viewBox="0 0 {WIDTH} {drawn.height + 44}">',
        f"<title>{_text(title or 'The boot, as the kernel logged it')}</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<text x="8" y="17" class="head">{_text(clipped(harmless(title), 150))}</text>',
        *_legend(drawn),
        f'<svg y="40" width="100%" height="{drawn.height}">',
        *_body(drawn),
        "</svg>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def inline(log: Sequence[LogSpan]) -> str:
    """The chart as an element of a page, whose style sheet has the classes ``flame`` and ``box``.

    It has no title of its own, and is as wide as its place.
    """
    drawn = chart(log)
    label = "Flame chart of the kernel's own boot log. The longest stretches are in a table below."
    head = f'<svg class="flame" width="100%" height="{drawn.height}" role="img"'
    data = f'data-whole="{drawn.whole_ns}" aria-label="{label}"'
    return "\n".join([f"{head} {data}>", *_body(drawn), "</svg>"])


def _legend(drawn: Chart) -> Iterator[str]:
    x = 8
    for kind, words in KIND_WORDS.items():
        yield f'<g class="{kind}"><rect x="{x}" y="25" width="10" height="10"/></g>'
        yield f'<text x="{x + 14}" y="34" class="soft">{words}</text>'
        x += 34 + 6 * len(words)
    if drawn.left_out:
        yield f'<text x="{x}" y="34" class="soft">{_text(drawn.left_out)}</text>'


def _body(drawn: Chart) -> Iterator[str]:
    yield from _axis(drawn)
    top = AXIS
    for band in drawn.bands:
        yield f'<text x="4" y="{top + 14}" class="thread">{_text(band.title)}</text>'
        top += LABEL
        for box in band.boxes:
            yield _box(box, top, drawn.whole_ns)
        top += band.rows * ROW


def _axis(drawn: Chart) -> Iterator[str]:
    yield '<g class="axis">'
    step = tick_ns(drawn.whole_ns)
    for at_ns in range(0, drawn.whole_ns + 1, step):
        x = _percent(at_ns, drawn.whole_ns)
        yield f'<line x1="{x}" x2="{x}" y1="4" y2="100%"/>'
        if (drawn.whole_ns - at_ns) * 20 > drawn.whole_ns:
            said = duration(at_ns) if at_ns else "0"
            yield f'<text x="{x}" dx="3" y="14" class="soft">{said}</text>'
    yield "</g>"


def tick_ns(whole_ns: int) -> int:
    """The distance of the marks on the axis: 1, 2 or 5 of a unit, at most ten in all."""
    rough = max(1, whole_ns // _TICKS)
    power: int = 10 ** (len(str(rough)) - 1)
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough)


def _box(box: Box, top: int, whole_ns: int) -> str:
    length = box.end_ns - box.start_ns
    thin = " thin" if length < whole_ns * _THIN else ""
    opened = "" if box.ended else " open"
    place = f'x="{_percent(box.start_ns, whole_ns)}" y="{top + box.row * ROW}"'
    size = f'width="{_percent(max(length, whole_ns // 4000), whole_ns)}" height="{ROW - 1}"'
    data = f'data-from="{box.start_ns}" data-to="{box.end_ns}"'
    return (
        f'<svg class="box {box.kind}{thin}{opened}" {place} {size} {data}>'
        f"<title>{_text(tooltip(box))}</title>"
        f'<rect width="100%" height="100%"/><text x="3" y="12">{_text(label(box))}</text></svg>'
    )


def label(box: Box) -> str:
    """``DELAY 100000``."""
    return f"{box.name} {box.detail}".rstrip()


def tooltip(box: Box) -> str:
    """``DELAY 100000: 80 ms, from 5 ms``; of one that did not end, that it did not."""
    length = duration(box.end_ns - box.start_ns)
    took = length if box.ended else f"had not ended after {length}"
    return f"{label(box)}: {took}, from {duration(box.start_ns)}"


def _percent(value_ns: int, whole_ns: int) -> str:
    return f"{100 * value_ns / whole_ns:.4f}%"


def _text(text: str) -> str:
    return escape(text, quote=True)


_STYLE = """
.flame { color-scheme: light dark; }
.ground { fill: #fff; }
text { font: 11px system-ui, "Liberation Sans", sans-serif; fill: #1d2126; }
.head { font-size: 14px; font-weight: 600; }
.soft, .thread { fill: #59616b; }
.axis line { stroke: #dcdfe3; }
.box rect { stroke: #fff; stroke-width: 1; }
.thin text { display: none; }
.thin rect { stroke: none; }
.open rect { stroke-dasharray: 3 2; stroke: #59616b; }
.calibration rect { fill: #f5b8a7; } .delay rect { fill: #f6dc94; }
.device rect { fill: #c9c3ec; } .wait rect { fill: #d5d9de; } .other rect { fill: #b7d3ee; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #1b1f24; }
  text { fill: #e4e7ea; }
  .soft, .thread { fill: #a3acb6; }
  .axis line { stroke: #333a42; }
  .box rect { stroke: #1b1f24; }
  .calibration rect { fill: #86402f; } .delay rect { fill: #6f5a18; }
  .device rect { fill: #4a4286; } .wait rect { fill: #47505a; } .other rect { fill: #2b5379; }
}
"""
