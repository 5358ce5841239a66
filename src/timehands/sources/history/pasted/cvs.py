"""``cvs log``: ``revision 1.5``, a line with date and author, the text, a rule of dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "cvs log"
_BEGINS = re.compile(r"revision (\d+(?:\.\d+)+)\b")
_RULE = re.compile(r"[-=]{20,}\Z")
_FIELD = re.compile(r"(date|author|lines):\s*([^;]*)")
_LINES = re.compile(r"\+(\d+) -(\d+)")


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The log's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        fields = dict(_FIELD.findall(rest[0])) if rest else {}
        if "date" not in fields:
            continue
        said: list[str] = []
        for line in rest[1:]:
            if _RULE.match(line):
                break
            if said or not line.startswith("branches:"):
                said.append(line)
        subject, body = message(said)
        counts = _LINES.match(fields.get("lines", ""))
        yield Change(
            head[1], fields.get("author", ""), "", find_date(fields["date"]), subject, body,
            told=(int(counts[1]), int(counts[2])) if counts else None,
        )  # fmt: skip
