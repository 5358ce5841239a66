"""The text of cvsweb's and ViewVC's page of a file: ``Revision 1.140 ...``, date, author, text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "cvsweb's or ViewVC's log"
_BEGINS = re.compile(r"\s*Revision r?(\d[\d.]*)\b(.*[/\-(\[].*)\Z")
_BY = re.compile(r"\bby\s+(\S+)\s*\Z")
_LINES = re.compile(r"Changes since \S+: \+(\d+) -(\d+) lines")
_DATED = re.compile(r"\s*(?:Modified|Added|Committed|Deleted)?\s*(?:[A-Z][a-z]{2}|\d{4}-)")
_HEADER = re.compile(
    r"\s*(?:Branch(?:es)?|Branch point for|CVS Tags|Tags|Changes since|Diff to|File length|"
    r"Original Path|Copied from|File MD5|State|Sticky|Modified|Added|Committed|Since|FILE REMOVED|"
    r"Also available|Log Message|Vendor branch|Links to)\b"
)


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The page's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        when = head[2]
        if not find_date(when):
            when = next((line for line in rest[:3] if _DATED.match(line) and find_date(line)), "")
        if not when:
            continue
        by = _BY.search(when)
        counts = next((found for line in rest if (found := _LINES.search(line))), None)
        subject, body = message(_said(rest))
        yield Change(
            head[1], by[1] if by else "", "", find_date(when), subject, body,
            told=(int(counts[1]), int(counts[2])) if counts else None,
        )  # fmt: skip


def _said(lines: list[str]) -> list[str]:
    """The message: what follows the header lines at the beginning."""
    for number, line in enumerate(lines):
        if line and not _HEADER.match(line):
            return [one.removeprefix("Log:") for one in lines[number:]]
    return []
