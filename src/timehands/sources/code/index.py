"""The index, opened: where a name occurs, and what it does there."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from timehands.errors import SourcesError
from timehands.sources.code.build import Built, Progress, refresh
from timehands.sources.code.columns import unpack
from timehands.sources.code.functions import Functions
from timehands.sources.code.model import (
    Build,
    ClockSource,
    Cut,
    Found,
    Place,
    Ran,
    Step,
    Unparsed,
)
from timehands.sources.code.roles import DEAD, DEFINITIONS, MEMBER_OF, ROLE_MASK, Role
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.calls import Calls
    from timehands.sources.code.ways import Ways

_WORDS: Final[dict[int, str]] = {
    Role.READ: "read",
    Role.CALL: "called",
    Role.CALL_THROUGH: "what it points to is called",
    Role.WRITE: "=",
    Role.MODIFY: "changed in place",
    Role.WRITE_PART: "a part of it is written",
    Role.ADDRESS: "its address is taken",
    Role.WRITE_THROUGH: "what it points to is written",
    Role.OUTPUT: "written by assembly",
    Role.DESIGNATOR: "initialised",
    Role.INITIAL: "is a value in an initialiser",
    Role.MACRO_BODY: "in a macro's body",
    Role.CONDITION: "in a condition of the preprocessor",
    Role.UNDEFINED: "no macro from here on",
    Role.FUNCTION: "function",
    Role.VARIABLE: "variable",
    Role.DECLARATION: "declared",
    Role.LOCAL: "local variable or parameter",
    Role.MACRO: "macro",
    Role.TYPE: "type",
    Role.MEMBER: "member",
    Role.ENUMERATOR: "enumerator",
}
_LISTS: Final[dict[int, str]] = {
    Role.READ: "readers",
    Role.CALL: "callers",
    Role.CALL_THROUGH: "callers",
    Role.WRITE: "writers",
    Role.MODIFY: "writers",
    Role.WRITE_PART: "writers",
    Role.ADDRESS: "writers",
    Role.WRITE_THROUGH: "writers",
    Role.OUTPUT: "writers",
    Role.DESIGNATOR: "initialisers",
    Role.INITIAL: "initialisers",
    Role.MACRO_BODY: "macros",
    Role.CONDITION: "macros",
    Role.UNDEFINED: "macros",
    Role.DECLARATION: "declarations",
    Role.LOCAL: "locals",
}
_KINDS: Final = (
    "definitions", "declarations", "callers", "writers", "readers", "initialisers", "macros",
    "locals",
)  # fmt: skip
_KIND_OF: Final = np.array(
    [_KINDS.index(_LISTS.get(role, "definitions")) for role in range(ROLE_MASK + 1)]
)
_MAX_NEAR: Final = 5


class Index:
    """The index of a tree. ``built`` says what opening it took."""

    def __init__(
        self, tree: SourceTree, database: sqlite3.Connection, built: Built, arch: str = "amd64"
    ) -> None:
        self.tree, self.built, self.arch = tree, built, arch
        self._database = database

    @classmethod
    def open(
        cls,
        tree: SourceTree,
        *,
        cache: Path,
        under: str | None = None,
        arch: str = "amd64",
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Make or refresh a tree's index; ``progress`` is told bytes read, and of how many.

        Raises `SourcesError`, `FileUnusable`.
        """
        made = refresh(tree, under=under, arch=arch, cache=cache, jobs=jobs, progress=progress)
        return cls(tree, *made, arch)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # ---- what it holds

    @cached_property
    def functions(self) -> Functions:
        """All functions, and macros that call something."""
        rows = self._database.execute("SELECT functions FROM segment ORDER BY id")
        return Functions([_columns(row[0]) for row in rows], self.alive)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Of each file's number, whether it is still what the index says."""
        rows = self._database.execute("SELECT id, alive FROM file").fetchall()
        alive = np.zeros(max((row[0] for row in rows), default=0) + 1, np.bool_)
        alive[[number for number, living in rows if living]] = True
        return alive

    @cached_property
    def _segments(self) -> list[int]:
        rows = self._database.execute("SELECT id FROM segment ORDER BY id")
        return [number for (number,) in rows]

    def file(self, number: int) -> str:
        """The path of a file by its number in the index."""
        row = self._database.execute("SELECT path FROM file WHERE id = ?", (number,)).fetchone()
        return str(row[0]) if row else "?"

    def headers(self) -> NDArray[np.bool_]:
        """Of each file's number, whether it is a header."""
        headers = np.zeros(len(self.alive), np.bool_)
        rows = self._database.execute("SELECT id FROM file WHERE path LIKE '%.h'").fetchall()
        headers[[number for (number,) in rows]] = True
        return headers

    def living(self) -> dict[int, str]:
        """The paths of all files, by their numbers."""
        return dict(self._database.execute("SELECT id, path FROM file WHERE alive"))

    def paths(self, numbers: set[int]) -> dict[int, str]:
        """The paths of files by their numbers."""
        if len(numbers) < 500:
            return {number: self.file(number) for number in numbers}
        rows = self._database.execute("SELECT id, path FROM file WHERE alive")
        return {number: path for number, path in rows if number in numbers}

    def unparsed(self) -> list[Unparsed]:
        """Files of which something could not be parsed, the worst first."""
        rows = self._database.execute(
            "SELECT path, group_concat(line), max(errors), max(recovered) FROM unparsed "
            "JOIN file ON file.id = unparsed.file GROUP BY path ORDER BY max(errors) DESC, path"
        )
        return [
            Unparsed(path, tuple(map(int, lines.split(","))), errors, recovered)
            for path, lines, errors, recovered in rows
        ]

    def unread(self) -> list[tuple[str, str]]:
        """Files that could not be read, and why."""
        return self._database.execute(
            "SELECT path, complaint FROM file WHERE alive AND complaint IS NOT NULL ORDER BY path"
        ).fetchall()

    def links(self) -> Iterator[list[Any]]:
        """By segment: through, function, how, file, line (see `timehands...segment`)."""
        for row in self._database.execute("SELECT links FROM segment ORDER BY id"):
            yield _columns(row[0])

    def calls(self) -> Iterator[list[Any]]:
        """By segment: names, caller, callee, line, through."""
        for row in self._database.execute("SELECT calls FROM segment ORDER BY id"):
            yield _columns(row[0])

    def layouts(self) -> dict[bytes, list[bytes]]:
        """Structures' members in their order; the longest when there are several of a name."""
        found: dict[bytes, bytes] = {}
        for row in self._database.execute("SELECT layouts FROM segment ORDER BY id"):
            names, members = _columns(row[0])
            for name, text in zip(names, members, strict=True):
                if len(text) > len(found.get(name, b"")):
                    found[name] = text
        return {name: text.split(b" ") for name, text in found.items()}

    # ---- queries

    def occurrences(self, symbol: str) -> NDArray[np.int64]:
        """Where a name occurs: rows of file, line, role (with its flags)."""
        word = symbol.encode(errors="replace")
        parts = [np.zeros((0, 3), np.int64)]
        for segment in self._segments:
            if columns := self._block(segment, word):
                parts.append(_of_name(columns, word))
        rows = np.concatenate(parts)
        return np.asarray(rows[self.alive[rows[:, 0]]], np.int64)

    def find(self, symbol: str, *, limit: int = 500) -> Found:
        """All that is known of a name; of each list the first ``limit`` places."""
        rows = self.occurrences(symbol)
        if not len(rows):
            return Found(symbol, near=self.near(symbol))
        rows = self._told_apart(_in_order(rows))
        kinds = _KIND_OF[rows[:, 2] & ROLE_MASK]
        shown, left_out = [], []
        for kind, name in enumerate(_KINDS):
            which = np.flatnonzero(kinds == kind)
            if len(which) > limit:
                left_out.append((name, len(which) - limit))
            shown.append(which[:limit])
        places = self._places(rows, np.concatenate(shown))
        bounds = np.cumsum([0, *map(len, shown)]).tolist()
        lists = {
            name: tuple(sorted(places[start:end], key=lambda place: place.where))
            for name, (start, end) in zip(_KINDS, pairwise(bounds), strict=True)
        }
        found = Found(symbol, callees=self._callees(symbol), left_out=tuple(left_out))
        return replace(found, **lists)  # type: ignore[arg-type]

    def _told_apart(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``d_read_t tun_read;`` declares where a function of that name is defined."""
        role = rows[:, 2] & ROLE_MASK
        variable, defined = role == Role.VARIABLE, rows[role == Role.FUNCTION, 0]
        if len(defined) and variable.any():
            declares = variable & (np.isin(rows[:, 0], defined) | self.headers()[rows[:, 0]])
            rows[declares, 2] += Role.DECLARATION - Role.VARIABLE
        return rows

    def _places(self, rows: NDArray[np.int64], which: NDArray[np.int64]) -> list[Place]:
        """Those of the rows as places, in their order."""
        shown = rows[which]
        home = self.functions.at(shown[:, 0], shown[:, 1])
        shadowed = self._shadowed(rows, shown, home)
        paths = self.paths(set(shown[:, 0].tolist()))
        names = self.functions.names
        places = []
        for (file, line, full), place, doubtful in zip(
            shown.tolist(), home.tolist(), shadowed.tolist(), strict=True
        ):
            role = full & ROLE_MASK
            inside = place >= 0 and role not in DEFINITIONS
            function = names[place].decode(errors="replace") if inside else ""
            doubt = _doubt(full, doubtful)
            places.append(Place(Where(paths[file], line), _WORDS[role], function, doubt))
        return places

    def _shadowed(
        self, rows: NDArray[np.int64], shown: NDArray[np.int64], home: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Whether the function in which a name stands has a local variable of that name."""
        local = rows[(rows[:, 2] & ROLE_MASK) == Role.LOCAL]
        here = np.zeros(len(self.alive), np.bool_)
        here[shown[:, 0]] = True
        local = local[here[local[:, 0]]]
        free = (shown[:, 2] & MEMBER_OF) == 0
        has = np.isin(home, self.functions.at(local[:, 0], local[:, 1]))
        return np.asarray(has & (home >= 0) & free, np.bool_)

    def _callees(self, symbol: str) -> tuple[Place, ...]:
        wanted = self.functions.called(symbol.encode())
        if not wanted:
            return ()
        places: list[Place] = []
        base = 0
        for segment, size in zip(self._segments, self.functions.sizes, strict=True):
            mine = [number - base for number in wanted if base <= number < base + size]
            if mine:
                places += self._called_in(segment, base, mine)
            base += size
        return tuple(sorted(set(places), key=lambda place: place.where))

    def _called_in(self, segment: int, base: int, mine: list[int]) -> Iterator[Place]:
        """What functions of a segment (from 0 in it) call."""
        row = self._database.execute("SELECT calls FROM segment WHERE id = ?", (segment,))
        names, caller, callee, line, through = _columns(row.fetchone()[0])
        for at in np.flatnonzero(np.isin(caller, mine)).tolist():
            file = int(self.functions.file[int(caller[at]) + base])
            if self.alive[file]:
                what = _WORDS[Role.CALL_THROUGH if through[at] else Role.CALL]
                name = names[int(callee[at])].decode(errors="replace")
                yield Place(Where(self.file(file), int(line[at])), what, name)

    def near(self, symbol: str) -> tuple[str, ...]:
        """Names like this one: functions, and what stands beside it in the index."""
        head = symbol[:3].encode(errors="replace")
        every = (*self.functions.names, *self._beside(symbol.encode(errors="replace")))
        names = {name.decode(errors="replace") for name in every if name.startswith(head)}
        return tuple(difflib.get_close_matches(symbol, sorted(names), _MAX_NEAR, 0.8))

    def _beside(self, word: bytes) -> Iterator[bytes]:
        """The names of the blocks in which a name would stand."""
        for segment in self._segments:
            if columns := self._block(segment, word):
                yield from columns[0]

    def _block(self, segment: int, word: bytes) -> list[Any]:
        """The block of a segment in which a name is, if it is there; empty: there is none."""
        row = self._database.execute(
            "SELECT data FROM block WHERE segment = ? AND first <= ? ORDER BY first DESC LIMIT 1",
            (segment, word),
        ).fetchone()
        return _columns(row[0]) if row else []

    def path(
        self,
        start: str,
        end: str,
        *,
        limit: int = 3,
        avoid: frozenset[str] = frozenset(),
        build: Build | None = None,
        ran: Ran | None = None,
    ) -> list[list[Step]]:
        """Ways from one function to another, at most ``limit``, the most credible ones first.

        With ``build`` only those that a configuration compiles; with ``ran`` those are preferred
        that ran in a recording. Raises `SourcesError` for a function that the tree has not.
        """
        return self._ways(build, ran).find(start, end, limit, avoid)

    def cut(
        self, start: str, end: str, build: Build, avoid: frozenset[str] = frozenset()
    ) -> Cut | None:
        """Why a configuration has no way: what it lacks of one of the tree; None: that has none."""
        from timehands.sources.code.checks import Checks
        from timehands.sources.code.graph import Graph
        from timehands.sources.code.ways import Ways

        graph, checks = Graph(self, self._calls, None), Checks(self, self._calls, build)
        return Ways(self, self._calls, graph, lacking=checks).cut(start, end, avoid)

    def _ways(self, build: Build | None, ran: Ran | None) -> Ways:
        from timehands.sources.code.graph import Graph
        from timehands.sources.code.ways import Ways

        return Ways(self, self._calls, Graph(self, self._calls, build), ran)

    @cached_property
    def _calls(self) -> Calls:
        from timehands.sources.code.calls import Calls

        return Calls(self)

    def clocks(self, build: Build | None = None) -> list[ClockSource]:
        """Every clock that the tree can register; as ``build`` compiles them, if it is given."""
        from timehands.sources.code.clocks import clocks

        return clocks(self, build)


def _columns(data: bytes) -> list[Any]:
    try:
        return unpack(data)
    except (ValueError, IndexError) as error:
        raise SourcesError(
            f"the index is damaged: {error}", advice="Remove the cache's file; it is made anew."
        ) from error


def _of_name(columns: list[Any], word: bytes) -> NDArray[np.int64]:
    names, counts, files, lines, roles = columns
    try:
        place = names.index(word)
    except ValueError:
        return np.zeros((0, 3), np.int64)
    start = int(counts[:place].sum())
    cut = slice(start, start + int(counts[place]))
    return np.stack((files[cut], lines[cut], roles[cut]), axis=1).astype(np.int64)


def _in_order(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """By file and line. Segments are so, and mostly their sequence is."""
    key = (rows[:, 0] << 32) | rows[:, 1]
    if bool((key[1:] >= key[:-1]).all()):
        return rows
    return rows[np.argsort(key, kind="stable")]


def _doubt(full: int, shadowed: bool) -> str | None:
    role = full & ROLE_MASK
    if full & DEAD:
        return "within #if 0"
    if shadowed and role != Role.LOCAL:
        return "a local variable of that name"
    if role == Role.ADDRESS:
        return "who gets the address may write"
    if full & MEMBER_OF and role not in (Role.MEMBER, Role.DESIGNATOR):
        return "a member of that name, of whichever structure"
    return None
