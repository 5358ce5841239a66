"""The index of a tree's C files: made, and kept up to date.

It is one SQLite file in a cache folder, named by the tree's root. Its segments are made by several
processes at once. A refresh looks at each file's size and time of change; files that changed go
into a new segment, and what older ones said of them no longer counts.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from timehands.errors import FileUnusable, SourcesError
from timehands.sources.tree import SourceTree

if TYPE_CHECKING:
    from concurrent.futures import Future

    from timehands.sources.code.segment import Segment

SCHEMA: Final = 5
_SUFFIXES: Final = (".c", ".h")
_SEGMENT_BYTES: Final = 12 << 20
_LAST_BYTES: Final = 2 << 20
#: With more segments than this of refreshes, or more files gone, the index is made anew.
_MAX_SEGMENTS_ADDED: Final = 12
_MAX_GONE: Final = 0.3
_TABLES: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE file (id INTEGER PRIMARY KEY, path TEXT, size INTEGER, changed INTEGER,
                   segment INTEGER, alive INTEGER, complaint TEXT);
CREATE INDEX file_path ON file (path) WHERE alive;
CREATE TABLE block (segment INTEGER, first BLOB, data BLOB, PRIMARY KEY (segment, first));
CREATE TABLE segment (id INTEGER PRIMARY KEY, functions BLOB, calls BLOB, links BLOB,
                      layouts BLOB, occurrences INTEGER, size INTEGER);
CREATE TABLE unparsed (file INTEGER, line INTEGER, errors INTEGER, recovered INTEGER);
"""
_OTHER_ARCHITECTURES: Final = {
    "freebsd": frozenset(
        ("arm", "arm64", "i386", "powerpc", "riscv", "mips", "sparc64", "ia64", "pc98")
    ),
}
_KEPT_ARCH: Final = {
    "amd64": frozenset(("amd64", "x86", "i386", "xen", "include", "x86_64")),
}


@dataclass(frozen=True, slots=True)
class Built:
    """What a build or a refresh did."""

    files: int
    scanned: int
    gone: int
    seconds: float
    whole: bool


def file_of(tree: SourceTree, arch: str, cache: Path) -> Path:
    """Where a tree's index is."""
    name = hashlib.sha256(f"{tree.root}\n{arch}\n{SCHEMA}".encode()).hexdigest()[:24]
    return cache / f"{name}.sqlite"


def refresh(
    tree: SourceTree, *, under: str | None, arch: str, cache: Path, jobs: int | None
) -> tuple[sqlite3.Connection, Built]:
    """Bring a tree's index up to date, or make it. ``under``: index only below this folder.

    Raises `SourcesError` when the cache cannot be written, `FileUnusable` when ``under`` is not
    in the tree.
    """
    begin = time.monotonic()
    base = under if under is not None else tree.sys
    now = {path: (size, changed) for path, size, changed in files_of(tree, base, arch)}
    if not now:
        raise SourcesError(f"{tree.root / base}: no C files")
    path = file_of(tree, f"{arch}\n{base}", cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        database = _opened(path)
        was = _known(database)
        new = [name for name, facts in now.items() if was.get(name, (0, 0, 0))[1:] != facts]
        gone = [was[name][0] for name in was if name not in now or was[name][1:] != now[name]]
        whole = _worn(database, len(was), len(gone))
        if whole:
            database.close()
            database = _fresh(path)
            new, gone = list(now), []
        if new or gone:
            with database:
                parts = _number(database, sorted(new), gone, now)
                for at, segment in _made(tree, parts, jobs):
                    _insert(database, at, segment)
    except (OSError, sqlite3.Error) as error:
        raise SourcesError(f"{path}: {error}") from error
    return database, Built(len(now), len(new), len(gone), time.monotonic() - begin, whole)


def _opened(path: Path) -> sqlite3.Connection:
    """The index there, or an empty one when there is none that can be used."""
    if path.exists():
        database = sqlite3.connect(path, timeout=60)
        with contextlib.suppress(sqlite3.DatabaseError):
            row = database.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()
            if row and row[0] == SCHEMA:
                database.execute("SELECT count(*) FROM file WHERE alive").fetchone()
                return _quick(database)
        database.close()
    return _fresh(path)


def _fresh(path: Path) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, timeout=60)
    path.chmod(0o600)
    _quick(database)
    database.executescript("PRAGMA page_size = 16384;" + _TABLES)
    with database:
        database.execute("INSERT INTO about VALUES ('schema', ?)", (SCHEMA,))
    return database


def _quick(database: sqlite3.Connection) -> sqlite3.Connection:
    """Do not wait for the disk: what a crash of the host destroys is made anew."""
    database.execute("PRAGMA synchronous = OFF")
    return database


def _known(database: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
    rows = database.execute("SELECT path, id, size, changed FROM file WHERE alive")
    return {path: (number, size, changed) for path, number, size, changed in rows}


def _worn(database: sqlite3.Connection, files: int, gone: int) -> bool:
    """Whether so much changed that a new index is the better one. An empty one is not worn."""
    dead = database.execute("SELECT count(*) FROM file WHERE NOT alive").fetchone()[0]
    added = database.execute("SELECT count(*) FROM segment WHERE size < ?", (1 << 20,)).fetchone()
    if not files:
        return False
    return bool(dead + gone > _MAX_GONE * files + 50 or added[0] > _MAX_SEGMENTS_ADDED)


def files_of(tree: SourceTree, base: str, arch: str) -> Iterator[tuple[str, int, int]]:
    """The C files of an architecture: path, size, the inode's time of change (ns).

    No tool that writes a file can leave that time as it was, as it can the content's.
    """
    skip = _skipped(tree, arch)
    start = tree.path(base) if base else tree.root
    if not start.is_dir():
        raise FileUnusable("no such folder", file=base)
    stack = [(str(start), base)]
    while stack:
        folder, name = stack.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and below not in skip and len(stack) < 10_000:
                    stack.append((entry.path, below))
            elif entry.name.endswith(_SUFFIXES) and entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                yield below, facts.st_size, facts.st_ctime_ns


def _skipped(tree: SourceTree, arch: str) -> frozenset[str]:
    """Folders of other architectures."""
    keep = _KEPT_ARCH.get(arch)
    if keep is None:
        return frozenset()
    if tree.kind == "freebsd":
        return frozenset(tree.below_sys(name) for name in _OTHER_ARCHITECTURES["freebsd"])
    folder = tree.below_sys("arch")
    try:
        with os.scandir(tree.root / folder) as entries:
            return frozenset(f"{folder}/{e.name}" for e in entries if e.name not in keep)
    except OSError:
        return frozenset()


def _number(
    database: sqlite3.Connection, new: list[str], gone: list[int], now: dict[str, tuple[int, int]]
) -> dict[int, list[tuple[int, str]]]:
    """Bury the files that are gone; give the new ones numbers, and segments to be in."""
    database.executemany("UPDATE file SET alive = 0 WHERE id = ?", [(one,) for one in gone])
    database.executemany("DELETE FROM unparsed WHERE file = ?", [(one,) for one in gone])
    first = database.execute("SELECT coalesce(max(id), 0) + 1 FROM file").fetchone()[0]
    number = database.execute("SELECT coalesce(max(id), 0) + 1 FROM segment").fetchone()[0]
    parts = dict(enumerate(_parts(list(enumerate(new, first)), now), number))
    for at, part in parts.items():
        rows = [(one, path, *now[path], at) for one, path in part]
        database.executemany("INSERT INTO file VALUES (?, ?, ?, ?, ?, 1, NULL)", rows)
    return parts


def _parts(
    numbered: list[tuple[int, str]], now: dict[str, tuple[int, int]]
) -> Iterator[list[tuple[int, str]]]:
    """Files in their order, cut into segments: smaller ones at the end, so that no process waits
    long for the last."""
    left = sum(now[path][0] for _, path in numbered)
    part: list[tuple[int, str]] = []
    size = 0
    for number, path in numbered:
        part.append((number, path))
        size += now[path][0]
        if size >= min(_SEGMENT_BYTES, max(_LAST_BYTES, left // 4)):
            yield part
            left -= size
            part, size = [], 0
    if part:
        yield part


def _made(
    tree: SourceTree, parts: dict[int, list[tuple[int, str]]], jobs: int | None
) -> Iterator[tuple[int, Segment]]:
    """The segments, as they come; a single one is made here.

    What reads C is imported when there is something to read.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from timehands.sources.code.segment import make

    many = max(1, min(jobs or os.cpu_count() or 1, len(parts)))
    if many == 1 or len(parts) == 1:
        for at, part in parts.items():
            yield at, make(tree, part)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(many, context, initializer=gc.disable) as pool:
        waiting: dict[int, Future[Segment]] = {
            at: pool.submit(make, tree, part) for at, part in parts.items()
        }
        for at in list(waiting):
            try:
                segment = waiting.pop(at).result()
            except BrokenProcessPool as error:
                raise SourcesError(
                    f"{tree.root}: a process that read its C was ended from outside",
                    advice="Was the system out of memory? With --jobs 1 only this one reads.",
                ) from error
            yield at, segment


def _insert(database: sqlite3.Connection, number: int, segment: Segment) -> None:
    database.executemany(
        "INSERT INTO block VALUES (?, ?, ?)",
        ((number, first, data) for first, data in segment.blocks),
    )
    database.execute(
        "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            segment.functions,
            segment.calls,
            segment.links,
            segment.layouts,
            segment.occurrences,
            segment.bytes_read,
        ),
    )
    database.executemany("INSERT INTO unparsed VALUES (?, ?, ?, ?)", segment.unparsed)
    database.executemany(
        "UPDATE file SET complaint = ? WHERE id = ?",
        [(reason, file) for file, reason in segment.unread],
    )
