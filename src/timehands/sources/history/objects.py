"""What a git repository must answer, in whichever way: the little that all else is made from.

Two ways are there: `timehands.sources.history.libgit` and `timehands.sources.history.command`.
Objects are named by their full hash. Paths are the repository's, posix, without a leading slash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from timehands.sources.history.model import Stat

MAX_BLOB: Final = 16 << 20
#: How many differences are kept: neighbours in a backtrace are often from the same commits.
KEPT_REMOVED: Final = 16
KEPT_HUNKS: Final = 4096
#: How many commits, and entries of trees: a commit is asked for as a parent, and then itself.
KEPT_COMMITS: Final = 1 << 14
_SIGNED: Final = re.compile(r"^(.*?)\s*<(.*?)>\s+(-?\d{1,12})\s+([+-]\d{4})$")


class Missing(Exception):
    """An object is not in the repository, or is damaged."""


class Hunk(NamedTuple):
    """Lines that differ; starts count from 1. A side of 0 lines starts after the line named."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int


class Commit(NamedTuple):
    """What a walk needs of a commit. ``time`` is the committer's, in seconds since 1970."""

    id: str
    tree: str
    parents: tuple[str, ...]
    time: int


@dataclass(frozen=True, slots=True)
class Details:
    """The rest of a commit."""

    author: str
    email: str
    date: datetime | None
    committed: datetime | None
    message: str


class Objects(Protocol):
    """A repository's objects. All but `resolve` raise `Missing` for what is not there."""

    #: The way, in words: ``libgit2 1.9.7``.
    way: str
    #: The folder whose files are tracked; None for a bare repository.
    work: Path | None
    git_dir: Path
    #: Commits whose parents are not here, as a shallow clone lists them.
    shallow: frozenset[str]

    def resolve(self, revision: str) -> str | None:
        """The commit that a name means: ``HEAD``, a tag, a hash. None: no such."""

    def commit(self, id: str) -> Commit:
        """A commit."""

    def details(self, id: str) -> Details:
        """Who made it, when, with what words."""

    def entry(self, commit: Commit, path: str) -> str | None:
        """The blob or tree at a path (empty: the whole tree); None where there is none."""

    def unchanged(self, commit: Commit, path: str) -> Commit:
        """An older commit with the same at a path, and nothing but such in between: what a way
        back over single parents can skip at once. It may be the commit itself.
        """

    def blob(self, id: str) -> bytes:
        """A file's bytes, of at most 16 MB."""

    def is_blob(self, id: str) -> bool:
        """Whether this is a file and no folder."""

    def removed(self, old: Commit, new: Commit) -> list[tuple[str, str]]:
        """Files that ``old`` has and ``new`` has not: path and blob."""

    def stats(self, old: Commit | None, new: Commit, path: str, former: str) -> list[Stat]:
        """How much changed below a path (``former`` in ``old``)."""

    def patch(self, old: Commit | None, new: Commit, path: str, former: str) -> list[str]:
        """The same as a patch's lines."""

    def hunks(self, old: str, new: str) -> list[Hunk]:
        """Which lines of two blobs differ."""

    def tags(self) -> list[tuple[str, str]]:
        """The tags that lead to commits: name and commit."""

    def close(self) -> None:
        """End what was opened."""


def entry_of(tree: bytes, name: str, size: int = 20) -> str | None:
    """The hash that a stored tree has for a name; ``size`` is that of hashes, in bytes.

    None: it has none, or the rest of it is damaged.
    """
    wanted, at = name.encode("utf-8", "surrogateescape"), 0
    while at < len(tree):
        blank = tree.find(b" ", at)
        end = tree.find(b"\0", blank)
        if blank < 0 or end < 0:
            return None
        if tree[blank + 1 : end] == wanted:
            return tree[end + 1 : end + 1 + size].hex()
        at = end + 1 + size
    return None


def parse_commit(id: str, data: bytes) -> tuple[Commit, Details]:
    """A commit from its stored form. Raises `Missing` when that is damaged."""
    head, _, message = data.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value)
    if "tree" not in fields:
        raise Missing(id)
    author, email, date = signature(fields.get("author", [""])[0])
    committed = signature(fields.get("committer", [""])[0])[2]
    seconds = int(committed.timestamp()) if committed else 0
    text = _decoded(message, fields.get("encoding", ["utf-8"])[0])
    commit = Commit(id, fields["tree"][0], tuple(fields.get("parent", ())), seconds)
    return commit, Details(author, email, date, committed, text)


def signature(text: str) -> tuple[str, str, datetime | None]:
    """Name, address and time of ``Name <address> 1732147200 +0100``."""
    found = _SIGNED.match(text)
    if not found:
        return text.split("<", maxsplit=1)[0].strip(), "", None
    name, email, seconds, zone = found.groups()
    sign = -1 if zone[0] == "-" else 1
    offset = sign * (int(zone[1:3]) * 60 + int(zone[3:5]))
    return name, email, moment(int(seconds), offset)


def moment(seconds: int, offset_minutes: int) -> datetime | None:
    """A time in its own zone; None when no calendar has it."""
    try:
        zone = timezone(timedelta(minutes=offset_minutes))
    except ValueError:
        zone = UTC
    try:
        return datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return None


def _decoded(message: bytes, encoding: str) -> str:
    try:
        return message.decode(encoding)
    except (LookupError, ValueError):
        return message.decode("utf-8", "replace")
