"""The text of OpenGrok's history of a file, as nxr.netbsd.org and bxr.su show it.

A row of its table: ``1.23  17-Jan-2020  ad  Pass the lock's type``, the rest of the message on the
lines that follow, then, where they are shown, the paths that the revision changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "OpenGrok's history"
# Begins where blanks do and takes them all: else a line of them is gone over again and again.
_BETWEEN = r"(?<!\s)(?:\s*+\|\s*+|\s{2,}+|\t)"
_BEGINS = re.compile(
    rf"\W*(?P<revision>[\w.]{{1,40}})[^\t|]*?{_BETWEEN}(?P<date>\d{{1,2}}-[A-Z][a-z]{{2}}-\d{{4}})"
    rf"{_BETWEEN}(?P<author>[^\t|]+?){_BETWEEN}(?P<text>.*)"
)
_BRANCHES = re.compile(r"\Abranches:(?:\s+[\d.]+;)+\s*")
#: Paths of the files that a revision changed, and what the page has below its table.
_NOISE = re.compile(r"[\s|]*+(?:/[\w./+-]+|\d+|Completed in \d+ .*|<<< \d+.*|)[\s|]*\Z")


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The history's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        said = [_BRANCHES.sub("", head["text"].rstrip(" |"))]
        said += ["" if _NOISE.match(line) else line.strip(" |") for line in rest]
        subject, body = message(said)
        author = head["author"].split("<")[0].strip()
        yield Change(head["revision"], author, "", find_date(head["date"]), subject, body)
