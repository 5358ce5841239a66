"""What a history says, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a change did to the path that was asked about."""

    ADDED = "added"
    CHANGED = "changed"
    RENAMED = "renamed"
    REMOVED = "removed"
    MERGED = "merged"
    #: From a pasted log, which does not say.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One revision of a path.

    ``revision`` is a commit's hash, or what a pasted log calls it (``1.140``, ``r300000``, empty
    when it says nothing). ``date`` is the author's, ``committed`` the committer's; None where it
    is not told. ``path`` is the path's name in this revision, ``former`` the one before it where
    it was renamed. ``cut``: nothing older is in this repository, so what was changed here is not
    known.
    """

    revision: str
    author: str
    email: str
    date: datetime | None
    subject: str
    body: str = ""
    path: str = ""
    kind: Kind = Kind.UNKNOWN
    former: str | None = None
    committed: datetime | None = None
    parents: tuple[str, ...] = ()
    cut: bool = False
    #: Lines added and removed as a pasted log tells them.
    told: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def short(self) -> str:
        """The revision as people write it: 12 digits of a hash."""
        return self.revision[:12] if len(self.revision) >= 40 else self.revision

    @property
    def day(self) -> str:
        """The day of it, as ``2024-11-21``, in the author's own time zone; empty: not told."""
        return self.date.date().isoformat() if self.date else ""


@dataclass(frozen=True, slots=True)
class Stat:
    """How much of a file a change changed, in lines; None for a binary file."""

    path: str
    added: int | None
    removed: int | None
    former: str | None = None


@dataclass(frozen=True, slots=True)
class Blamed:
    """Who last changed a line. ``change`` is None when that was not committed.

    ``path`` and ``line`` are the line's in that change, ``text`` is its text.
    """

    change: Change | None
    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Release:
    """The first release with a change: ``name``, and how that is known (``tag``, or a file)."""

    name: str
    how: str

    def __str__(self) -> str:
        return self.name
