"""Lines over time in SVG, made without a library: axes with readable ticks, marks with names.

A `Plot` is panels above each other on one axis of time. Each panel has lines, each line its points
in integers (ns; ns or ppb). Pointing at a line or a point tells its numbers (``title`` elements).
Everything that is written comes out escaped and harmless. A chart is the same for the same data on
every machine: coordinates are rounded to a tenth of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from itertools import accumulate, count

from timehands.reports.axes import TIME, Axis, Break, TimeAxis, Unit, axis_for, time_axis
from timehands.reports.plain import clipped, harmless

WIDTH = 1000
#: Room for the ticks' labels on the left and for the last label of the time axis on the right.
LEFT, RIGHT = 88, 26
TITLE, PANEL, GAP, FOOT = 24, 190, 34, 40
_MARK_ROW, _MARK_ROWS = 14, 3
_LETTER = 6.8
#: What a name takes in the legend besides its letters, and the word on those left out.
_KEY, _MORE = 40, 90
#: Lines are told apart by eight colours, and then by how they are dashed.
COLOURS, DASHES = 8, 3
#: A legend has no more names than this.
MOST_NAMES = 8
#: A panel has about so many dots to point at; each line has one at its beginning.
MOST_DOTS = 200
_STYLE = "plots.css"


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its name and its points ``(at_ns, value)`` by time; a new run where it is broken."""

    name: str
    runs: tuple[tuple[tuple[int, int], ...], ...]
    #: Which colour it has: lines that belong together in several panels have the same number.
    colour: int = 0
    #: What pointing at it tells besides its name.
    detail: str = ""

    @property
    def values(self) -> Iterator[int]:
        """The values of all its points."""
        return (value for run in self.runs for _at_ns, value in run)


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines against one axis of values. ``title`` says what it shows, without the unit."""

    title: str
    unit: Unit
    lines: tuple[Line, ...]
    #: The values that the axis must hold besides those of the lines, for panels to be compared.
    #: Their axes are then the same, and linear.
    held: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with a name: an upright line through all panels."""

    at_ns: int
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Panels above each other, from time 0 to ``end_ns``, and the moments marked in them."""

    title: str
    end_ns: int
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...] = ()
    #: When nothing ran: drawn as bands, and cut short where they are long.
    breaks: tuple[Break, ...] = ()
    #: The height of a panel in pixels.
    panel: int = PANEL


@dataclass(frozen=True, slots=True)
class _Name:
    """What is written of a mark, where it starts and in which row."""

    words: str
    x: float
    row: int


@dataclass(slots=True)
class _Paper:
    """Where things go, and what has been drawn."""

    plot: Plot
    time: TimeAxis
    names: tuple[_Name, ...]
    out: list[str] = field(default_factory=list)

    @property
    def top(self) -> int:
        """Where the first panel begins."""
        rows = max((name.row + 1 for name in self.names), default=0)
        return TITLE + _MARK_ROW * rows + 16

    @property
    def bottom(self) -> int:
        """Where the last panel ends."""
        return self.top + len(self.plot.panels) * (self.plot.panel + GAP) - GAP

    @property
    def height(self) -> int:
        """The height of the chart in pixels."""
        return self.bottom + FOOT

    def x(self, at_ns: int) -> float:
        """The place of a moment."""
        return _x(self.time, at_ns)

    def y(self, axis: Axis, value: int, top: int) -> float:
        """The place of a value in the panel that begins at ``top``."""
        return top + (1 - float(axis.share(value))) * self.plot.panel


def style() -> str:
    """The style of the charts, for the page or the file that they are in."""
    return (resources.files("timehands.reports") / _STYLE).read_text(encoding="utf-8")


def svg(plot: Plot) -> str:
    """The chart as an SVG file that stands alone, light or dark as its reader prefers."""
    paper = _drawn(plot)
    size = f'width="{WIDTH}" height="{paper.height}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        _head(paper, f'xmlns="http://www.w3.org/2000/svg" {size}'),
        f"<title>{_text(plot.title)}</title>",
        f"<style>{style()}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        *paper.out,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def inline(plot: Plot) -> str:
    """The chart as an element of a page that has the `style`."""
    paper = _drawn(plot)
    return "\n".join([_head(paper, f'aria-label="{_text(plot.title)}"'), *paper.out, "</svg>"])


def _head(paper: _Paper, attributes: str) -> str:
    return f'<svg {attributes} class="plot" role="img" viewBox="0 0 {WIDTH} {paper.height}">'


def _drawn(plot: Plot) -> _Paper:
    time = time_axis(plot.end_ns, plot.breaks)
    paper = _Paper(plot, time, tuple(_names(plot, time)))
    paper.out.append(f'<text class="head" x="{LEFT}" y="16">{_text(plot.title, 100)}</text>')
    _draw_breaks(paper)
    _draw_marks(paper)
    for number, panel in enumerate(plot.panels):
        _draw_panel(paper, panel, paper.top + number * (plot.panel + GAP))
    _draw_time(paper)
    return paper


_END = 'text-anchor="end"'
_MIDDLE = 'text-anchor="middle"'


# Time, and what happened


def _draw_time(paper: _Paper) -> None:
    bottom = paper.bottom
    paper.out.append('<g class="axis">')
    for tick in paper.time.ticks:
        x, words = _px(paper.x(tick.at_ns)), tick.words
        paper.out.append(f'<line x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 4}"/>')
        paper.out.append(f'<text class="soft" x="{x}" y="{bottom + 17}" {_MIDDLE}>{words}</text>')
    words = f"true time, {paper.time.unit_name}"
    if paper.time.cut:
        words += "; + is since the vCPUs went on"
    paper.out.append(f'<text class="soft" x="{LEFT}" y="{bottom + 34}">{words}</text></g>')


def _draw_breaks(paper: _Paper) -> None:
    """Bands where nothing ran; one that is cut says how long it is."""
    top, bottom = paper.top, paper.bottom
    for stop in paper.plot.breaks:
        x, end = paper.x(stop.start_ns), paper.x(stop.end_ns)
        words = f"stopped for {TIME.words(stop.length_ns)}"
        paper.out.append(
            f'<g class="break"><title>{words}</title><rect x="{_px(x)}" y="{top}" '
            f'width="{_px(max(1.0, end - x))}" height="{bottom - top}"/>'
        )
        if stop in paper.time.cut:
            place = f'x="{_px((x + end) / 2)}" y="{bottom + 17}"'
            length = TIME.words(stop.length_ns)
            paper.out.append(f'<text class="soft" {place} {_MIDDLE}>{length}</text>')
        paper.out.append("</g>")


def _draw_marks(paper: _Paper) -> None:
    """The upright lines and their names."""
    for number, (mark, name) in enumerate(zip(paper.plot.marks, paper.names, strict=True), 1):
        x, y = _px(paper.x(mark.at_ns)), TITLE + 10 + _MARK_ROW * name.row
        detail = f"{number}. {mark.name}" + (f": {mark.detail}" if mark.detail else "")
        paper.out.append(
            f'<g class="mark"><title>{_text(detail)}</title>'
            f'<line x1="{x}" x2="{x}" y1="{y + 3}" y2="{paper.bottom}"/>'
            f'<text x="{_px(name.x)}" y="{y}">{_text(name.words)}</text></g>'
        )


def _names(plot: Plot, time: TimeAxis) -> Iterator[_Name]:
    """Each mark's name, in the first row where it does not meet another one."""
    taken = [0.0] * _MARK_ROWS
    for number, mark in enumerate(plot.marks, 1):
        x = _x(time, mark.at_ns)
        yield _place(taken, x, clipped(harmless(mark.name), 40), str(number))


def _place(taken: list[float], x: float, name: str, number: str) -> _Name:
    """Where a name at ``x`` goes; only its number, or nothing, where no row is free."""
    for words in (f"{number} {name}", number):
        width = len(words) * _LETTER
        start = max(4.0, min(x - 3, WIDTH - width - 4))
        for row, until in enumerate(taken):
            if start >= until:
                taken[row] = start + width + 8
                return _Name(words, start, row)
    return _Name("", x, len(taken) - 1)


# Panels


def _draw_panel(paper: _Paper, panel: Panel, top: int) -> None:
    values = [value for line in panel.lines for value in line.values]
    axis = axis_for([*values, *(panel.held or ())], panel.unit, even=panel.held is not None)
    title = f"{panel.title}, {axis.unit_name}"
    paper.out.append(f'<text class="name" x="{LEFT}" y="{top - 6}">{_text(title)}</text>')
    _draw_legend(paper, panel, WIDTH - LEFT - RIGHT - len(title) * _LETTER - 20, top - 6)
    _draw_ticks(paper, axis, top)
    for line in panel.lines:
        _draw_line(paper, axis, line, top, max(1, len(values)))


def _draw_legend(paper: _Paper, panel: Panel, room: float, y: int) -> None:
    """The names of the lines, from the right; how many there are where they do not all fit."""
    names = [clipped(harmless(line.name), 24) for line in panel.lines]
    widths = [len(name) * _LETTER + _KEY for name in names]
    shown = _fitting(widths, room)
    x = float(WIDTH - RIGHT)
    if shown < len(names):
        words = f"and {len(names) - shown} more"
        paper.out.append(f'<text class="soft" x="{_px(x)}" y="{y}" {_END}>{words}</text>')
        x -= _MORE
    for line, name, width in reversed(list(zip(panel.lines, names, widths, strict=True))[:shown]):
        at = x - len(name) * _LETTER - 8
        key = f'<polyline points="{_px(at - 18)},{y - 4} {_px(at)},{y - 4}"/>'
        words = f'<text x="{_px(at + 6)}" y="{y}">{_text(name)}</text>'
        paper.out.append(f'<g class="key {_look(line)}">{key}{words}</g>')
        x -= width


def _fitting(widths: Sequence[float], room: float) -> int:
    """How many of the names fit, with room for the word on the rest if there is one."""
    if len(widths) <= MOST_NAMES and sum(widths) <= room:
        return len(widths)
    sums = list(accumulate(widths[:MOST_NAMES]))
    return sum(total <= room - _MORE for total in sums)


def _look(line: Line) -> str:
    """The classes that give a line its colour and its dashes."""
    return f"c{line.colour % COLOURS} d{line.colour // COLOURS % DASHES}"


def _draw_ticks(paper: _Paper, axis: Axis, top: int) -> None:
    paper.out.append('<g class="axis">')
    for tick in axis.ticks:
        y = _px(paper.y(axis, tick, top))
        kind = ' class="zero"' if tick == 0 else ""
        paper.out.append(f'<line{kind} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        words = axis.tick_words(tick)
        paper.out.append(f'<text class="soft" x="{LEFT - 7}" y="{y}" dy="4" {_END}>{words}</text>')
    paper.out.append("</g>")


def _draw_line(paper: _Paper, axis: Axis, line: Line, top: int, points: int) -> None:
    """One line with its runs, and dots to point at, fewer where there are many points."""
    paper.out.append(f'<g class="line {_look(line)}">')
    told = f"{line.name}: {line.detail}" if line.detail else line.name
    every, number = -(-points // MOST_DOTS), count()
    for run in line.runs:
        places = [(_px(paper.x(at)), _px(paper.y(axis, value, top))) for at, value in run]
        path = " ".join(f"{x},{y}" for x, y in _thinned(places))
        paper.out.append(f'<polyline points="{path}"><title>{_text(told)}</title></polyline>')
        for (at, value), (x, y) in zip(run, places, strict=True):
            if next(number) % every == 0:
                words = f"{line.name}: {axis.unit.words(value)} at {TIME.words(at)}"
                title = f"<title>{_text(words)}</title>"
                paper.out.append(f'<circle cx="{x}" cy="{y}" r="4">{title}</circle>')
    paper.out.append("</g>")


def _thinned(places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without points between two others at the same height, and such as lie on the one before."""
    kept: list[tuple[str, str]] = []
    for place in places:
        if len(kept) > 1 and kept[-2][1] == kept[-1][1] == place[1]:
            kept.pop()
        if not kept or kept[-1] != place:
            kept.append(place)
    return kept


def _x(time: TimeAxis, at_ns: int) -> float:
    return LEFT + float(time.share(at_ns)) * (WIDTH - LEFT - RIGHT)


def _px(value: float) -> str:
    """A place on the paper, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str, limit: int = 300) -> str:
    return escape(clipped(harmless(text), limit), quote=True)
