"""A log that was pasted out of a repository browser: revisions, dates, authors, texts.

Each form has a file with ``FORM`` (its name) and ``parse(lines) -> Iterator[Change]``; the form in
which most changes are found is taken.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from timehands.errors import PastedLogUnusable
from timehands.sources.history.model import Change
from timehands.sources.history.pasted import cgit, cvs, cvsweb, github, gitlog, opengrok, svn

MAX_BYTES: Final = 16 << 20
MAX_CHANGES: Final = 200_000
_MAX_LINE: Final = 1000
_FORMS: Final = (gitlog, github, cgit, cvsweb, opengrok, cvs, svn)


@dataclass(frozen=True, slots=True)
class Pasted:
    """What was read: the ``form`` in words, the changes in the log's order, what they lack."""

    form: str
    changes: tuple[Change, ...]
    complaints: tuple[str, ...] = ()


def read_pasted(path: Path) -> Pasted:
    """A pasted log in a file, or on standard input (``-``). Raises `PastedLogUnusable`."""
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == "-" else _read(path)
    except OSError as error:
        raise PastedLogUnusable(error.strerror or str(error), path=path) from error
    if len(data) > MAX_BYTES:
        raise PastedLogUnusable(f"larger than {MAX_BYTES >> 20} MB", path=path)
    found = parse(data.decode("utf-8", "replace"))
    if found is None:
        raise PastedLogUnusable("no revisions were found in it", path=path)
    return found


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(MAX_BYTES + 1)


def parse(text: str) -> Pasted | None:
    """A pasted log in whichever form; None: there is no revision in it."""
    lines = [line[:_MAX_LINE].rstrip() for line in text.splitlines()]
    best: tuple[str, tuple[Change, ...]] = ("", ())
    for form in _FORMS:
        changes = tuple(islice(form.parse(lines), MAX_CHANGES))
        if len(changes) > len(best[1]):
            best = form.FORM, changes
    form_name, changes = best
    return Pasted(form_name, changes, _complaints(changes)) if changes else None


def _complaints(changes: tuple[Change, ...]) -> tuple[str, ...]:
    lacks = {
        "no date that can be told": sum(one.date is None for one in changes),
        "no author": sum(not one.author for one in changes),
        "no revision": sum(not one.revision for one in changes),
    }
    return tuple(f"{count} of {len(changes)} have {what}" for what, count in lacks.items() if count)
