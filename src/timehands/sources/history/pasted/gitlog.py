"""``git log``, with or without ``--stat`` and decorations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "git log"
_BEGINS = re.compile(r"commit ([0-9a-f]{7,64})\b")
_FIELD = re.compile(r"(\w+):\s*(.*)")
_PERSON = re.compile(r"(.*?)\s*<(.*?)>")


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The log's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        fields: dict[str, str] = {}
        for line in rest:
            if found := _FIELD.match(line):
                fields.setdefault(found[1], found[2])
            elif line:
                break
        if "Author" not in fields:
            continue
        person = _PERSON.match(fields["Author"])
        name, email = person.groups() if person else (fields["Author"], "")
        said = [line[4:] for line in rest if line.startswith("    ") or not line]
        subject, body = message(said)
        date = find_date(fields.get("AuthorDate") or fields.get("Date", ""))
        yield Change(head[1], name, email, date, subject, body)
