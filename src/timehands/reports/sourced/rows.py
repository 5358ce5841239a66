"""The source tree's part of the report in a terminal."""

from __future__ import annotations

from timehands.reports.page import Page
from timehands.reports.sourced import words
from timehands.reports.sourced.model import Item, Sourced

#: Frames that a finding shows, when not all is asked for.
_MOST_FRAMES = 5
_MOST_COMPLAINTS = 6
_SHORT = ("outcome",)
_CLOCKS = ("outcome", "clock", "delay", "calibration", "message")


def finding(page: Page, sourced: Sourced | None, index: int, *, full: bool) -> None:
    """The places of a finding's functions."""
    item = sourced.item("finding", index) if sourced else None
    if sourced is None or item is None:
        return
    shown = item.frames if full else item.frames[:_MOST_FRAMES]
    rows = [("source" if not n else "", words.frame(sourced, f)) for n, f in enumerate(shown)]
    left = len(item.frames) - len(shown)
    if left:
        rows.append(("", f"... and {left} function{'s' if left > 1 else ''} more"))
    page.rows(rows, 6, indent=6)


def section(page: Page, sourced: Sourced | None, *, full: bool, clocks: bool) -> None:
    """Where the rest of the report's functions are, and what the tree could not tell."""
    if sourced is None:
        return
    page.heading("Source", words.subject(sourced))
    kinds = (*_CLOCKS, "stop") if full else _CLOCKS if clocks else _SHORT
    for kind in kinds:
        for item in sourced.items:
            if item.kind == kind:
                _item(page, sourced, item)
    rows = [("lacks", text) for text in sourced.complaints[:_MOST_COMPLAINTS]]
    left = len(sourced.complaints) - len(rows)
    page.rows([*rows, *([("", f"... and {left} more")] if left > 0 else [])], 6, indent=2)


def _item(page: Page, sourced: Sourced, item: Item) -> None:
    page.print(page.indented(page.styled(words.item(item), cut=200), 2))
    for frame in item.frames:
        page.print(page.indented(page.styled(words.frame(sourced, frame), "dim"), 6))
