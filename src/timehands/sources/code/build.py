"""The index of a tree's C files: made, and kept up to date.

It is one SQLite file in a cache folder, named by the tree's root. Its segments are made by several
processes at once. A refresh looks at each file's size and time of change; files that changed go
into a new segment, and what older ones said of them no longer counts.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from timehands.errors import SourcesError
from timehands.sources.code.files import files_of
from timehands.sources.tree import SourceTree

if TYPE_CHECKING:
    from concurrent.futures import Future

    from timehands.sources.code.segment import Segment

SCHEMA: Final = 6
_SEGMENT_BYTES: Final = 12 << 20
_LAST_BYTES: Final = 2 << 20
#: With more segments than this of refreshes, or more files gone, the index is made anew.
_MAX_SEGMENTS_ADDED: Final = 12
_MAX_GONE: Final = 0.3
#: Another process may be making the same index.
_WAIT_S: Final = 900
_TABLES: Final = {
    "file": """CREATE TABLE file (id INTEGER PRIMARY KEY, path TEXT, size INTEGER, changed INTEGER,
                  segment INTEGER, alive INTEGER, complaint TEXT)""",
    "block": """CREATE TABLE block (segment INTEGER, first BLOB, data BLOB,
                  PRIMARY KEY (segment, first))""",
    "segment": """CREATE TABLE segment (id INTEGER PRIMARY KEY, functions BLOB, calls BLOB,
                  links BLOB, layouts BLOB, occurrences INTEGER, size INTEGER)""",
    "unparsed": """CREATE TABLE unparsed (file INTEGER, line INTEGER, errors INTEGER,
                  recovered INTEGER)""",
}
_BY_PATH: Final = "CREATE INDEX file_path ON file (path) WHERE alive"

#: Told how much is done, of how much.
Progress = Callable[[int, int], None]


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
    tree: SourceTree,
    *,
    under: str | None,
    arch: str,
    cache: Path,
    jobs: int | None,
    progress: Progress | None = None,
) -> tuple[sqlite3.Connection, Built]:
    """Bring a tree's index up to date, or make it. ``under``: index only below this folder.

    ``progress`` is told after each part how many bytes of C were read, and of how many. Raises
    `SourcesError` for an architecture that the tree has not and when the cache cannot be written,
    `FileUnusable` when ``under`` is not in the tree.
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
        change = _change(database, now)
        if change.any:
            database.execute("BEGIN IMMEDIATE")
            with database:
                # While this one waited, another process may have done it.
                change = _change(database, now)
                _apply(database, tree, change, jobs, progress or (lambda _done, _all: None))
    except (OSError, sqlite3.Error) as error:
        raise SourcesError(
            f"the index cannot be kept in {path}: {getattr(error, 'strerror', None) or error}",
            advice="Make room there, or set XDG_CACHE_HOME to a folder that can be written.",
        ) from error
    spent = time.monotonic() - begin
    return database, Built(len(now), len(change.new), len(change.gone), spent, change.whole)


def _opened(path: Path) -> sqlite3.Connection:
    """The index there, or an empty one when there is none that can be used."""
    try:
        return _prepared(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        path.unlink()
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    """The file as a database with our tables. Raises `sqlite3.Error`, `OSError`."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=_WAIT_S)
    try:
        # What a crash of the host destroys is made anew: do not wait for the disk.
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA page_size = 16384")
        if _version(database) != SCHEMA:
            database.execute("BEGIN IMMEDIATE")
            with database:
                if _version(database) != SCHEMA:
                    _lay_out(database)
        database.execute("SELECT count(*) FROM file WHERE alive").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _lay_out(database: sqlite3.Connection) -> None:
    for name in _TABLES:
        database.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in (*_TABLES.values(), _BY_PATH, f"PRAGMA user_version = {SCHEMA}"):
        database.execute(statement)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be done: files to read (path: size and time of change), and files (by number)
    that are gone or were otherwise."""

    new: dict[str, tuple[int, int]]
    gone: list[int]
    whole: bool

    @property
    def any(self) -> bool:
        return bool(self.new or self.gone)


def _change(database: sqlite3.Connection, now: dict[str, tuple[int, int]]) -> _Change:
    was = _known(database)
    new = {name: facts for name, facts in now.items() if was.get(name, (0, 0, 0))[1:] != facts}
    gone = [was[name][0] for name in was if name not in now or name in new]
    if _worn(database, len(was), len(gone)):
        return _Change(now, [], True)
    return _Change(new, gone, False)


def _apply(
    database: sqlite3.Connection,
    tree: SourceTree,
    change: _Change,
    jobs: int | None,
    progress: Progress,
) -> None:
    if change.whole:
        _lay_out(database)
    parts = _number(database, change)
    total, done = sum(size for size, _ in change.new.values()), 0
    progress(done, total)
    for at, segment in _made(tree, parts, jobs):
        _insert(database, at, segment)
        done += sum(change.new[path][0] for _, path in parts[at])
        progress(done, total)


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


def _number(database: sqlite3.Connection, change: _Change) -> dict[int, list[tuple[int, str]]]:
    """Bury the files that are gone; give the new ones numbers, and segments to be in."""
    gone, now = [(one,) for one in change.gone], change.new
    database.executemany("UPDATE file SET alive = 0 WHERE id = ?", gone)
    database.executemany("DELETE FROM unparsed WHERE file = ?", gone)
    first = database.execute("SELECT coalesce(max(id), 0) + 1 FROM file").fetchone()[0]
    number = database.execute("SELECT coalesce(max(id), 0) + 1 FROM segment").fetchone()[0]
    parts = dict(enumerate(_parts(list(enumerate(sorted(now), first)), now), number))
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
