"""Reading the files of a configuration: in bounds, with includes, and complaints instead of errors.

A configuration may lie outside of its tree (people keep their own kernels' elsewhere): then it is
known by the path that was given.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timehands.errors import FileUnusable
from timehands.sources.config.cache import Seen
from timehands.sources.config.model import Chain, Complaints, Step
from timehands.sources.tree import MAX_FILE_BYTES, SourceTree, decoded
from timehands.sources.where import Where

#: Includes nest no deeper, and there are no more of them in one configuration.
MAX_INCLUDE_DEPTH: Final = 40
MAX_INCLUDES: Final = 20_000
#: More text than this is not read for one configuration.
MAX_TOTAL_BYTES: Final = 32 << 20
#: More files than this are not told apart.
MAX_RULES: Final = 200_000
#: After so many seconds of reading the answer is what was read until then.
MAX_SECONDS: Final = 120


@dataclass(slots=True)
class Reader:
    """Reads the files of one configuration, and counts what that costs.

    ``seen`` gets all that the answer rests on: what is read, listed, or looked for. ``cache`` is
    the folder in which a language may keep what it works out (`cache.Kept`); None: nowhere.
    """

    tree: SourceTree
    complaints: Complaints = field(default_factory=Complaints)
    seen: Seen = field(default_factory=Seen)
    cache: Path | None = None
    outside: dict[str, str] = field(default_factory=dict)
    files: int = 0
    total: int = 0
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)
    _folders: dict[str, str] = field(default_factory=dict)

    def text(self, file: str, wanted_by: Where | None = None) -> str | None:
        """A file's text, or None with a complaint about ``wanted_by``."""
        if self.files >= MAX_INCLUDES or self.total >= MAX_TOTAL_BYTES:
            self.complaints.add(wanted_by, f"{file} was not read: there are too many includes")
            self.seen.spoil()
            return None
        self.files += 1
        try:
            text = self.outside[file] if file in self.outside else self._text(file)
        except FileUnusable as error:
            self.complaints.add(wanted_by, f"cannot read {file}: {error.reason}")
            return None
        self.total += len(text)
        return text.replace("\r\n", "\n") if "\r" in text else text

    def _text(self, file: str) -> str:
        """As `SourceTree.text`; each folder's links are followed once."""
        path = self._path(file)
        self.seen.note(path)
        try:
            data = _read(path)
        except OSError:
            data = None  # a link, or not to be read: the tree knows what to do
        return self.tree.text(file) if data is None else decoded(data)

    def _path(self, file: str) -> str:
        """Where a file is on disk, or would be. Raises `FileUnusable`: its folder is outside."""
        folder, _, name = file.rpartition("/")
        if name in ("", ".", "..") or "\0" in name:
            raise FileUnusable("not a path within the tree", file=file)
        return f"{self._folder(folder)}/{name}"

    def _folder(self, folder: str) -> str:
        """Where a folder is, its links followed. Raises `FileUnusable`: outside."""
        if not folder:
            return str(self.tree.root)
        found = self._folders.get(folder)
        if found is None:
            found = self._path(folder)
            with contextlib.suppress(OSError):
                if stat.S_ISLNK(os.lstat(found).st_mode):
                    found = str(self.tree.path(folder))
            self._folders[folder] = found
        return found

    def names(self, folder: str) -> frozenset[str]:
        """What a folder has; nothing, when there is none or it cannot be read."""
        try:
            path = self._folder(folder)
            self.seen.note(path)
            return frozenset(os.listdir(path))  # noqa: PTH208 - names alone, of thousands
        except (FileUnusable, OSError):
            return frozenset()

    def place(self, file: str) -> str:
        """Where a file is on disk, for telling it from others of that name."""
        return str(Path(file).absolute() if file in self.outside else self.tree.root / file)

    def again(self, seen: Seen, *, adopt: bool = False) -> Reader:
        """A reader of the same files that begins anew, for an answer that is kept by itself.

        With ``adopt`` that answer rests on all that this one has read so far, too.
        """
        if adopt:
            seen.adopt(self.seen)
        return Reader(self.tree, seen=seen, cache=self.cache, outside=dict(self.outside))

    def late(self, where: Where | None = None) -> bool:
        """Whether reading has to end, because it took too long; then the answer is partial."""
        if time.monotonic() < self.deadline:
            return False
        self.complaints.add(
            where, f"reading took longer than {MAX_SECONDS} s: the rest is left out"
        )
        self.seen.spoil()
        return True

    def full(self, rules: int, where: Where) -> bool:
        """Whether there are so many rules that this one is left out."""
        if rules < MAX_RULES:
            return False
        self.complaints.add(
            None, f"more than {MAX_RULES:,} files are named: {where.file} is cut off"
        )
        return True

    def has(self, file: str) -> bool:
        """Whether there is such a file."""
        if file in self.outside:
            return True
        try:
            path = self._path(file)
            self.seen.note(path)
            mode = os.lstat(path).st_mode
        except (FileUnusable, OSError):
            return False
        return self.tree.exists(file) if stat.S_ISLNK(mode) else stat.S_ISREG(mode)

    def take(self, path: Path) -> str | None:
        """Make a file outside of the tree known by its path; None when it cannot be read."""
        try:
            self.seen.note(path.absolute())
            if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
                return None
            self.outside[str(path)] = path.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            return None
        return str(path)


def _read(path: str) -> bytes | None:
    """A regular file of a bearable size; None when it is another thing. Raises `OSError`."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
            return None
        with os.fdopen(opened, "rb", buffering=0, closefd=False) as file:
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(opened)


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading is: a file, and the includes that led to it."""

    file: str
    route: Chain = ()
    stack: tuple[str, ...] = ()

    def where(self, line: int) -> Where:
        """A line of this file."""
        return Where(self.file, line)

    def included(self, file: str, line: int, words: str) -> Place:
        """The place that an include on a line leads to."""
        step = Step(self.where(line), words)
        return Place(file, (*self.route, step), (*self.stack, self.file))

    def refusal(self, file: str) -> str | None:
        """Why a file cannot be included from here: it would never end, or nests too deep."""
        if file == self.file or file in self.stack:
            return f"includes {file} again, which is being read: left out"
        if len(self.stack) >= MAX_INCLUDE_DEPTH:
            return f"includes nest deeper than {MAX_INCLUDE_DEPTH}: {file} was left out"
        return None


def joined(folder: str, file: str) -> str:
    """A path within the tree, with its ``.`` and ``..`` worked out."""
    if "./" not in file and "//" not in file and not file.startswith("/"):
        return f"{folder}/{file}" if folder else file
    return posixpath.normpath(posixpath.join(folder, file))
