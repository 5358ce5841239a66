"""``svn log``: ``r300000 | kib | 2016-05-16 10:00:00 +0000 (...) | 3 lines``, the text, a rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "svn log"
_BEGINS = re.compile(r"(r\d{1,9}) \| ([^|]*) \| ([^|]*)(?: \| \d+ lines?)?\Z")
_RULE = re.compile(r"-{20,}\Z")
_PATHS = re.compile(r"Changed paths:|   [AMDR] /")


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The log's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        said = [line for line in rest if not _RULE.match(line) and not _PATHS.match(line)]
        subject, body = message(said)
        yield Change(head[1], head[2].strip(), "", find_date(head[3]), subject, body)
