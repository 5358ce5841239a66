"""A source tree on disk, untrusted: read in bounds, and never outside of its root.

::

    tree = SourceTree.open("/usr/src")
    tree.kind                       # "freebsd"
    tree.read("sys/x86/x86/tsc.c")  # bytes
    list(tree.files("sys/x86"))     # ["sys/x86/acpica/...", ...]
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal, Self

from timehands.errors import FileUnusable, TreeUnusable
from timehands.sources.where import Where

__all__ = ["Kind", "SourceTree", "Where"]

Kind = Literal["freebsd", "netbsd", "openbsd", "linux", "unknown"]

#: A file of a tree that is larger is not read: no source file of a kernel is.
MAX_FILE_BYTES: Final = 16 << 20
#: A tree with more files than this is not listed to its end.
MAX_FILES: Final = 1_000_000
MAX_DEPTH: Final = 64
_HEAD: Final = 64 << 10
_MOST_NAMED: Final = 5
#: Folders that are no part of the source.
_NOT_SOURCE: Final = frozenset({".git", ".svn", ".hg", "CVS"})
#: What makes a tree a BSD's: a file below its sys/, and what that file says.
_MARKS: Final[tuple[tuple[Kind, str, bytes], ...]] = (
    ("freebsd", "conf/newvers.sh", rb'TYPE="?FreeBSD'),
    ("freebsd", "sys/param.h", rb"#define\s+__FreeBSD_version"),
    ("netbsd", "sys/param.h", rb"#define\s+__NetBSD_Version__"),
    ("openbsd", "sys/param.h", rb"#define\s+OpenBSD[0-9]?"),
    ("openbsd", "conf/newvers.sh", rb'"OpenBSD"'),
)


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A source tree: a whole one (``/usr/src``) or its kernel alone (``/usr/src/sys``).

    ``sys`` is where the kernel is within it: ``"sys"``, or ``""`` when the root is the kernel's.
    All paths are relative to ``root`` and posix. ``complaints`` say what is odd about the tree.
    """

    root: Path
    kind: Kind
    sys: str = ""
    complaints: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The tree at a path. One that is no kernel's is ``unknown``, with a complaint.

        Raises `TreeUnusable` when there is no folder, or it may not be read.
        """
        root = Path(path)
        try:
            resolved = root.resolve(strict=True)
            if not resolved.is_dir():
                raise TreeUnusable("this is no folder", path=root)
            os.scandir(resolved).close()
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TreeUnusable(reason, path=root) from error
        bare = cls(resolved, "unknown")
        kind, below = bare._kind()
        return cls(resolved, kind, below, _complaints(kind))

    def _kind(self) -> tuple[Kind, str]:
        for below in ("sys", ""):
            for kind, name, mark in _MARKS:
                if re.search(mark, self._head(str(PurePosixPath(below) / name))):
                    return kind, below
        if re.search(rb"(?m)^VERSION\s*=", self._head("Makefile")) and self.exists("Kconfig"):
            return "linux", ""
        return "unknown", ""

    def _head(self, file: str) -> bytes:
        try:
            with self._opened(file) as opened:
                return opened.read(_HEAD)
        except FileUnusable:
            return b""

    # ---- files

    def below_sys(self, file: str) -> str:
        """A path below the kernel's own folder, as one of the tree: ``kern/kern_tc.c``."""
        return f"{self.sys}/{file}" if self.sys else file

    def path(self, file: str) -> Path:
        """Where a file of the tree is on disk. Raises `FileUnusable` when it is outside of it."""
        return Path(self._real(file))

    def _real(self, file: str) -> str:
        if not file or file.startswith("/") or "\0" in file or ".." in file.split("/"):
            raise FileUnusable("not a path within the tree", file=file)
        root = str(self.root)
        try:
            found = os.path.realpath(f"{root}/{file}")  # a Path for each of thousands takes long
        except (OSError, ValueError) as error:
            raise FileUnusable("its links lead nowhere", file=file) from error
        if found != root and not found.startswith(root.rstrip("/") + "/"):
            raise FileUnusable("a link leads out of the tree; it is not followed", file=file)
        return found

    def meant(self, asked: str) -> str:
        """The path that is meant by one of the tree, below its kernel's folder, or absolute.

        What is not there stays as it is.
        """
        path = PurePosixPath(asked)
        if path.is_absolute() and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        for candidate in (str(path), self.below_sys(str(path))):
            if self.has(candidate):
                return candidate
        return asked

    def has(self, path: str) -> bool:
        """Whether the tree has such a path, of whatever kind."""
        try:
            return self.path(path).exists()
        except (FileUnusable, OSError):
            return False

    def named(self, name: str) -> list[str]:
        """The first few files with the last part of a path as their name, wherever they are."""
        last = PurePosixPath(name).name
        found = (file for file in self.files() if last and PurePosixPath(file).name == last)
        return list(islice(found, _MOST_NAMED))

    def exists(self, file: str) -> bool:
        """Whether the tree has this file, as a regular one."""
        try:
            return stat.S_ISREG(os.stat(self._real(file)).st_mode)  # noqa: PTH116 - as above
        except (FileUnusable, OSError):
            return False

    def read(self, file: str) -> bytes:
        """A file's bytes. Raises `FileUnusable`: missing, no regular file, over 16 MB, outside."""
        with self._opened(file) as opened:
            try:
                data = _bounded(opened)
            except OSError as error:
                raise FileUnusable(error.strerror or str(error), file=file) from error
        if len(data) > MAX_FILE_BYTES:
            raise FileUnusable(f"larger than {MAX_FILE_BYTES >> 20} MB; not read", file=file)
        return data

    def text(self, file: str) -> str:
        """A file as text: UTF-8, or Latin-1 where it is none. Raises as `read`."""
        return decoded(self.read(file))

    def _opened(self, file: str) -> BinaryIO:
        """A regular file, opened so that a pipe or a device cannot hold us up."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            opened = os.fdopen(os.open(self._real(file), flags), "rb")
        except OSError as error:
            raise FileUnusable(error.strerror or str(error), file=file) from error
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened.close()
            raise FileUnusable("no regular file", file=file)
        return opened

    def files(self, under: str = "") -> Iterator[str]:
        """All regular files below a folder, in order. Links to folders are not followed.

        Folders that cannot be read are left out, and so is what belongs to a version control
        system. Raises `FileUnusable` when ``under`` is outside of the tree.
        """
        start = self.path(under) if under else self.root
        left = MAX_FILES
        for file in self._walk(start, str(PurePosixPath(under)) if under else "", 0):
            yield file
            left -= 1
            if not left:
                return

    def _walk(self, folder: Path, name: str, depth: int) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_SOURCE and depth < MAX_DEPTH:
                    yield from self._walk(Path(entry.path), below, depth + 1)
            elif entry.is_file(follow_symlinks=False) or (
                entry.is_symlink() and self.exists(below)
            ):
                yield below


def decoded(data: bytes) -> str:
    """A file's bytes as text: UTF-8, or Latin-1 where they are none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _bounded(opened: BinaryIO) -> bytes:
    """What a file has, up to one byte too many; no more memory than its size is asked for."""
    likely = min(os.fstat(opened.fileno()).st_size, MAX_FILE_BYTES) + 1
    data = opened.read(likely)
    return data if len(data) < likely else data + opened.read(MAX_FILE_BYTES + 1 - len(data))


def _complaints(kind: Kind) -> tuple[str, ...]:
    if kind != "unknown":
        return ()
    return (
        "this is no kernel's source tree that is known: no sys/conf/newvers.sh or sys/sys/param.h "
        "of a BSD, no Makefile with Kconfig of Linux",
    )
