"""The source tree's part of the report in a terminal."""

from __future__ import annotations

from timehands.reports.page import Page
from timehands.reports.sourced import words
from timehands.reports.sourced.model import Item, Sourced
from timehands.sources.where import Where

#: Frames that a finding shows, when not all is asked for.
_MOST_FRAMES = 5
_MOST_COMPLAINTS = 6
_SHORT = ("outcome",)
_CLOCKS = ("outcome", "clock", "delay", "calibration", "message")


def finding(page: Page, sourced: Sourced | None, index: int, *, full: bool) -> None:
    """The places of a finding's functions. What was told with a finding before is not repeated."""
    item = sourced.item("finding", index) if sourced else None
    if sourced is None or item is None:
        return
    told = _told(sourced, index, full)
    said = _frames(sourced, item, told, full)
    rows = [("source" if not n else "", text) for n, text in enumerate(said)]
    left = len(item.frames) - len(rows)
    if left:
        rows.append(("", f"... and {left} function{'s' if left > 1 else ''} more"))
    page.rows(rows, 6, indent=6)


def section(page: Page, sourced: Sourced | None, *, full: bool, clocks: bool) -> None:
    """Where the rest of the report's functions are, and what the tree could not tell."""
    if sourced is None:
        return
    page.heading("Source", words.subject(sourced))
    kinds = (*_CLOCKS, "stop") if full else _CLOCKS if clocks else _SHORT
    told = set() if clocks else _told(sourced, len(sourced.items), full)
    for kind in kinds:
        for item in sourced.items:
            if item.kind == kind:
                page.print(page.indented(page.styled(words.item(item), cut=200), 2))
                for said in _frames(sourced, item, told, True):
                    page.print(page.indented(page.styled(said, "dim"), 6))
    rows = [("lacks", text) for text in sourced.complaints[:_MOST_COMPLAINTS]]
    left = len(sourced.complaints) - len(rows)
    page.rows([*rows, *([("", f"... and {left} more")] if left > 0 else [])], 6, indent=2)


def _told(sourced: Sourced, end: int, full: bool) -> set[str | Where]:
    """What the findings before one told: files and lines."""
    told: set[str | Where] = set()
    for item in sourced.items:
        if item.kind == "finding" and item.index < end:
            _frames(sourced, item, told, full)
    return told


def _frames(sourced: Sourced, item: Item, told: set[str | Where], full: bool) -> list[str]:
    """The frames in words: why a file is compiled, and a line's change, only where they are new."""
    said = []
    for one in item.frames if full else item.frames[:_MOST_FRAMES]:
        more = words.more(sourced, one, told)
        said.append("; ".join([words.place(one), *more]))
        if one.where is not None:
            told |= {one.where.file, one.where}
    return said
