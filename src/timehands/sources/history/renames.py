"""Which of the files that a commit removed has become a new one.

As git's own rename detection (gitdiffcore(7)): the same content, else the most alike of those at
least half of whose bytes are the same; alike in whole lines.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from timehands.sources.history.objects import Commit, Missing, Objects

#: Of the removed files at most this many are read; those of the same base name first.
MOST_CANDIDATES: Final = 400
_HALF: Final = 0.5


def renamed_from(objects: Objects, old: Commit, new: Commit, path: str, blob: str) -> str | None:
    """The name that a file of ``new`` had in ``old``; None: it is new there."""
    if not objects.is_blob(blob):
        return None
    removed = objects.removed(old, new)
    base = path.rsplit("/", 1)[-1]
    removed.sort(key=lambda one: one[0].rsplit("/", 1)[-1] != base)
    same = [name for name, id in removed if id == blob]
    if same:
        return same[0]
    data = objects.blob(blob)
    best, found = 0.0, None
    for name, id in removed[:MOST_CANDIDATES]:
        alike = _alike(objects, id, data)
        if alike > best:
            best, found = alike, name
    return found if best >= _HALF else None


def _alike(objects: Objects, id: str, data: bytes) -> float:
    try:
        other = objects.blob(id)
    except Missing:
        return 0.0
    return similarity(other, data)


def similarity(a: bytes, b: bytes) -> float:
    """The share of bytes in lines that both have, of the longer one: 0 to 1."""
    longest, shortest = max(len(a), len(b)), min(len(a), len(b))
    if not longest or shortest < longest * _HALF:
        return 0.0
    common = Counter(a.splitlines(True)) & Counter(b.splitlines(True))
    return sum(len(line) * times for line, times in common.items()) / longest
