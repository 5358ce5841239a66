"""Lines for a terminal that the subverbs of ``pvclock`` share: none longer than `WIDTH`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.clocks.pvclock.verdicts import Verdict

WIDTH = 100
LABEL = 11
_MARKS = {"ERROR": "✗", "WARNING": "!", "NOTE": "·"}


def row(label: str, text: str) -> Iterator[str]:
    """A label and what there is to say, wrapped under it."""
    first, rest = f"{label:<{LABEL}}", " " * LABEL
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    yield from lines or [first.rstrip()]


def verdict_rows(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Each verdict with its mark, its code, what was seen, and what it means to guests."""
    for verdict in verdicts:
        mark = _MARKS[verdict.severity.name]
        worst = "; this the worst" if verdict.ns is not None else ""
        times = f" ({verdict.count:,} times{worst})" if verdict.count > 1 else ""
        where = f", line {verdict.line:,}" if verdict.line and verdict.code != "PV214" else ""
        yield from row(f"{mark} {verdict.code}", f"{verdict.title}: {verdict.text}{where}{times}")
        yield from row("", verdict.meaning)
