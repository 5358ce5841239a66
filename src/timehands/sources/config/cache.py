"""What was worked out from a tree once, kept for the next time, and never believed after a change.

::

    def make(seen: Seen) -> Tables:
        reader = Reader(tree, seen=seen)           # notes each file, folder and lack of a file
        ...
        return {"rule": {"sys/kern/kern_tc.c": [...]}, "about": {"machine": "amd64"}}

    kept = Kept(reader.cache, ("netbsd", str(tree.root), name, arch), make)
    kept.get("rule", "sys/kern/kern_tc.c")         # as `make` gave it; None: no such key
    kept.decoded("rule", file, rules_of)           # through a function that may refuse its shape
    kept.keys("rule")

``make`` is called when nothing is kept, and when anything that it read is not as it was: a file's
size, its times of change (of content and of inode) or its inode, a folder's, or a file that was
not there then. A tree that changed within the last two seconds is not kept yet, since another
change could leave the same times. The key should name all that `make` depends on beside files: the
tree's root, the configuration's name, the architecture, values of other files. What Timehands' own
code makes of it is taken care of: another version of this room makes everything anew.

Values are plain data as JSON has it. One SQLite file holds an entry, in the folder that the verbs
keep (``None``: nothing is kept). It is written whole under another name and then renamed, so that
no reader sees a part and none needs a lock. What is read back is bounded and checked; what is
damaged is made anew. A folder that cannot be written is no error.
"""

from __future__ import annotations

import array
import contextlib
import gc
import hashlib
import json
import os
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

T = TypeVar("T")
#: Rows by table and key.
Tables = Mapping[str, Mapping[str, Any]]
Make = Callable[["Seen"], Tables]

#: What changed later than this before it was kept may change once more within the same times.
SETTLED_NS: Final = 2_000_000_000
_MOST_BYTES: Final = 256 << 20
_MOST_ENTRIES: Final = 24
_PREFIX: Final = "config-"
_FIELDS: Final = 4
_MISSING: Final = (-1, 0, 0, 0)
_SCHEMA: Final = (
    "CREATE TABLE kept (tab TEXT, key TEXT, data BLOB, PRIMARY KEY (tab, key)) WITHOUT ROWID"
)
#: The table with what an entry rests on.
_SEEN: Final = ""
_WRONG_SHAPE: Final = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError,
)  # fmt: skip

State = tuple[int, int, int, int]


class Damaged(Exception):
    """What was kept cannot be believed."""


def state(path: str) -> State:
    """A file or folder as it is now: its size, its times of change, its inode."""
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them: no Path for each
    except (OSError, ValueError):
        return _MISSING
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & (1 << 63) - 1


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without looking for garbage: all that a configuration makes stays."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Seen:
    """What an answer rests on: files, folders, and what was not there, as they were when read."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._whole = True

    def note(self, path: str | os.PathLike[str]) -> None:
        """A file (or folder) is about to be read, or looked for."""
        name = os.fspath(path)
        now = state(name)
        if self._states.setdefault(name, now) != now:
            self._whole = False

    def adopt(self, other: Seen) -> None:
        """All that another answer rests on."""
        for name, was in other._states.items():
            if self._states.setdefault(name, was) != was:
                self._whole = False
        self._whole = self._whole and other._whole

    def spoil(self) -> None:
        """The answer is not whole (it took too long, there was too much): do not keep it."""
        self._whole = False

    def settled(self, now_ns: int) -> bool:
        """Whether it may be kept: whole, and of files that changed some time ago."""
        latest = max((max(one[1:3]) for one in self._states.values()), default=0)
        return self._whole and latest < now_ns - SETTLED_NS

    def pack(self) -> tuple[bytes, bytes]:
        """The names and the states as bytes."""
        numbers = array.array("q", (number for one in self._states.values() for number in one))
        names = "\0".join(self._states)
        return names.encode("utf-8", "surrogateescape"), numbers.tobytes()


def holds(names: bytes, numbers: bytes) -> bool:
    """Whether all that was packed is as it was. Raises `Damaged`."""
    paths = names.decode("utf-8", "surrogateescape").split("\0") if names else []
    states = array.array("q")
    if len(numbers) != len(paths) * _FIELDS * states.itemsize:
        raise Damaged
    states.frombytes(numbers)
    fields = iter(states)
    return all(map(_same, paths, zip(fields, fields, fields, fields, strict=True)))


def _same(path: str, was: State) -> bool:
    return state(path) == was


class Kept:
    """The rows of one entry: from the folder when they still hold, else made and kept there."""

    def __init__(
        self,
        folder: Path | None,
        key: Iterable[str],
        make: Make,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        name = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()
        self._file = folder / f"{_PREFIX}{name[:32]}.sqlite" if folder else None
        self._make, self._now_ns = make, now_ns
        self._rows: _Rows | None = None

    @property
    def ready(self) -> bool:
        """Whether asking costs no making: it was made, or is kept and holds."""
        if self._rows is None and self._file is not None:
            with contextlib.suppress(Damaged, OSError, sqlite3.Error):
                self._rows = _Stored(self._file)
        return self._rows is not None

    def get(self, table: str, key: str) -> Any:
        """A row; None when there is none."""
        return self._asked(lambda rows: rows.get(table, key))

    def decoded(self, table: str, key: str, decode: Callable[[Any], T]) -> T | None:
        """A row through ``decode``, which may refuse a shape with any of the usual errors."""

        def ask(rows: _Rows) -> T | None:
            found = rows.get(table, key)
            return None if found is None else decode(found)

        return self._asked(ask)

    def keys(self, table: str) -> list[str]:
        """The keys of a table, in the order in which `make` had them."""
        return self._asked(lambda rows: rows.keys(table))

    def _asked(self, ask: Callable[[_Rows], T]) -> T:
        if self.ready and isinstance(self._rows, _Stored):
            try:
                return ask(self._rows)
            except (Damaged, sqlite3.Error, *_WRONG_SHAPE):
                self._rows.close()
                self._rows = None
        if self._rows is None:
            self._rows = self._made()
        return ask(self._rows)

    def _made(self) -> _Made:
        seen = Seen()
        with uncollected():
            tables = self._make(seen)
            if self._file is not None and seen.settled(self._now_ns()):
                with contextlib.suppress(OSError, sqlite3.Error):
                    _write(self._file, seen, tables)
        return _Made(tables)

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self._rows, _Stored):
            self._rows.close()
        self._rows = None


class _Rows:
    """Rows by table and key."""

    def get(self, table: str, key: str) -> Any:
        raise NotImplementedError

    def keys(self, table: str) -> list[str]:
        raise NotImplementedError


class _Made(_Rows):
    """Rows that were just made."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, table: str, key: str) -> Any:
        return self._tables.get(table, {}).get(key)

    def keys(self, table: str) -> list[str]:
        return list(self._tables.get(table, ()))


class _Stored(_Rows):
    """Rows of a file. Raises `Damaged` when they do not hold."""

    def __init__(self, file: Path) -> None:
        if file.stat().st_size > _MOST_BYTES:
            raise Damaged
        self._known: dict[str, dict[str, None]] = {}
        self._database = sqlite3.connect(
            f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        try:
            if self.bytes(_SEEN, "code") != code().encode():
                raise Damaged
            if not holds(self.bytes(_SEEN, "names"), self.bytes(_SEEN, "states")):
                raise Damaged
        except BaseException:
            self.close()
            raise

    def get(self, table: str, key: str) -> Any:
        query = "SELECT data FROM kept WHERE tab = ? AND key = ?"
        row = self._database.execute(query, (table, key)).fetchone()
        if row is None and key in self._keys(table):
            raise Damaged
        return json.loads(_checked(row[0])) if row else None

    def bytes(self, table: str, key: str) -> bytes:
        """A row that has no JSON in it. Raises `Damaged` when it lacks."""
        query = "SELECT data FROM kept WHERE tab = ? AND key = ?"
        row = self._database.execute(query, (table, key)).fetchone()
        if row is None:
            raise Damaged
        return _checked(row[0])

    def keys(self, table: str) -> list[str]:
        return list(self._keys(table))

    def _keys(self, table: str) -> dict[str, None]:
        """The keys of a table, which a damaged one may have lost."""
        if not self._known:
            known = json.loads(self.bytes(_SEEN, "keys"))
            self._known = {name: dict.fromkeys(keys) for name, keys in known.items()}
        return self._known.get(table, {})

    def close(self) -> None:
        self._database.close()


def _summed(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little") + data


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes) or zlib.crc32(data[4:]).to_bytes(4, "little") != data[:4]:
        raise Damaged
    return data[4:]


def _write(file: Path, seen: Seen, tables: Tables) -> None:
    """Write an entry whole, beside its place, and put it there."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    os.close(descriptor)
    try:
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN")
            database.execute(_SCHEMA)
            rows = (*_about(seen, tables), *_encoded(tables))
            database.executemany("INSERT INTO kept VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _prune(file.parent)


def _about(seen: Seen, tables: Tables) -> list[tuple[str, str, bytes]]:
    names, states = seen.pack()
    keys = json.dumps({table: list(rows) for table, rows in tables.items()}).encode()
    rows = {"code": code().encode(), "names": names, "states": states, "keys": keys}
    return [(_SEEN, key, _summed(data)) for key, data in rows.items()]


def _encoded(tables: Tables) -> Iterable[tuple[str, str, bytes]]:
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for table, rows in tables.items():
        for key in sorted(rows):
            yield table, key, _summed(encode(rows[key]).encode())


def _prune(folder: Path) -> None:
    """Keep the newest entries; those of trees that nobody asks for any more go."""
    found = [path for path in folder.glob(f"{_PREFIX}*.sqlite") if path.is_file()]
    found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in found[_MOST_ENTRIES:]:
        old.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def code() -> str:
    """This room's own code, by the states of its files: other code makes other rows."""
    rooms = Path(__file__).parents[1]
    states = [(str(path), state(str(path))) for path in sorted(rooms.glob("config/**/*.py"))]
    states += [(str(path), state(str(path))) for path in sorted(rooms.glob("*.py"))]
    return hashlib.sha256(repr(states).encode()).hexdigest()
