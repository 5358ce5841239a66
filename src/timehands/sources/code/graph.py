"""Who calls whom: ways from one function to another, also through pointers where they are seen.

A way is looked for from its end. A call by name costs 1. A call through a pointer costs more, and
the more, the more functions that pointer's name was given: ``->init`` leads to a hundred places.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from timehands.errors import SourcesError
from timehands.sources.code.functions import MACRO, PLAIN
from timehands.sources.code.hooks import RUNNERS
from timehands.sources.code.model import Step
from timehands.sources.code.roles import ROLE_MASK, Role
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_POINTER: Final = 3
_HOOK: Final = 2
_NAMED: Final = 9
_MANY: Final = 8
_MAX_NODES: Final = 400_000
_MAX_NAMED: Final = 60
_USED_AGAIN: Final = 4
_TRIES: Final = 4
_BY_NAME: Final = np.array([Role.READ, Role.ADDRESS, Role.WRITE])


class _Edge(NamedTuple):
    """``caller`` reaches the next function on ``line`` of its file."""

    caller: int
    cost: int
    line: int
    how: str
    set: tuple[int, int] | None
    of: int = 1


class _Link(NamedTuple):
    through: bytes
    file: int
    line: int
    how: str


class Graph:
    """The calls of an index, by who is called."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._functions = index.functions
        self._by_name = index.functions.table()
        self._direct: dict[bytes, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = {}
        self._numbers: dict[bytes, int] = {}
        self._load_calls()
        self._links: dict[bytes, list[_Link]] = {}
        self._given: dict[bytes, int] = {}
        self._load_links()
        self._asked = 0
        self._known: dict[int, list[_Edge]] = {}
        self._header = index.headers()

    def _load_calls(self) -> None:
        callers, callees, lines, throughs = [], [], [], []
        base = 0
        for size, (names, caller, callee, line, through) in zip(
            self._functions.sizes, self._index.calls(), strict=True
        ):
            known = self._numbers
            number = np.array([known.setdefault(n, len(known)) for n in names], np.int64)
            callers.append(caller.astype(np.int64) + base)
            callees.append(number[callee] if len(number) else np.zeros(0, np.int64))
            lines.append(line.astype(np.int64))
            throughs.append(through.astype(np.bool_))
            base += size
        empty = np.zeros(0, np.int64)
        caller, callee = np.concatenate([empty, *callers]), np.concatenate([empty, *callees])
        line, through = np.concatenate([empty, *lines]), np.concatenate([empty, *throughs])
        living = self._functions.alive[caller]
        order = np.flatnonzero(living)[np.argsort(callee[living], kind="stable")]
        self._caller, self._line = caller[order], line[order]
        self._through = through[order].astype(np.bool_)
        self._first = np.searchsorted(callee[order], np.arange(len(self._numbers) + 1))

    def _load_links(self) -> None:
        layouts = self._index.layouts()
        alive = self._index.alive
        for through, function, how, file, line in self._index.links():
            for at in range(len(function)):
                name = function[at]
                if name not in self._by_name or not alive[file[at]]:
                    continue
                pointer = through[at] or _member(layouts, how[at])
                if pointer:
                    link = _Link(pointer, int(file[at]), int(line[at]), how[at].decode())
                    self._links.setdefault(name, []).append(link)
                    self._given[pointer] = self._given.get(pointer, 0) + 1

    # ---- edges

    def _calls_of(self, name: bytes) -> Iterator[tuple[int, int, bool]]:
        """Who calls a name: function, line, whether through a pointer of that name."""
        number = self._numbers.get(name)
        if number is None:
            return
        cut = slice(self._first[number], self._first[number + 1])
        yield from zip(
            self._caller[cut].tolist(), self._line[cut].tolist(), self._through[cut].tolist(),
            strict=True,
        )  # fmt: skip

    def _edges(self, function: int) -> Iterator[_Edge]:
        """Who reaches a function."""
        name = self._functions.names[function]
        some = False
        for caller, line, through in self._calls_of(name):
            if not through and (of := self._resolves(name, caller, function)):
                some = True
                yield _Edge(caller, min(of, _MANY), line, "call", None, of)
        for link in self._links.get(name, ()):
            if self._meant(function, link.file):
                for edge in self._through_link(link):
                    some = True
                    yield edge
        if not some and self._asked < _MAX_NAMED:
            self._asked += 1
            yield from self._named(name, function)

    def _resolves(self, name: bytes, caller: int, function: int) -> int:
        """Of how many functions a call by name in ``caller`` can mean this one; 0 if it cannot."""
        functions = self._functions
        file = int(functions.file[caller])
        own = [at for at in self._by_name[name] if functions.file[at] == file]
        if own:
            return int(function in own)
        if not self._meant(function, file):
            return 0
        return sum(self._meant(at, file) for at in self._by_name[name])

    def _meant(self, function: int, file: int) -> bool:
        functions = self._functions
        if functions.kind[function] == PLAIN or functions.file[function] == file:
            return True
        return bool(self._header[functions.file[function]])

    def _through_link(self, link: _Link) -> Iterator[_Edge]:
        place = (link.file, link.line)
        pointer = link.through.decode(errors="replace")
        if pointer in RUNNERS:
            for who in RUNNERS[pointer]:
                for runner in self._by_name.get(who.encode(), ()):
                    line = int(self._functions.line[runner])
                    yield _Edge(runner, _HOOK, line, f"by {link.how}", place)
            return
        cost = _POINTER + self._given.get(link.through, 1).bit_length()
        spoken, by_name = _spoken(link.how), link.how == "="
        for name in (link.through, link.through.upper()):
            for caller, line, through in self._calls_of(name):
                if through or (by_name and name not in self._by_name) or link.how.isupper():
                    how = f"through {pointer}, {spoken}"
                    yield _Edge(caller, cost, line, how, place)
        if link.how.startswith("EVENTHANDLER"):
            yield from self._event(pointer, place, cost)

    def _event(self, name: str, place: tuple[int, int], cost: int) -> Iterator[_Edge]:
        rows = self._index.occurrences(name)
        home = self._functions.at(rows[:, 0], rows[:, 1])
        invoked = {(c, n) for word in (b"EVENTHANDLER_INVOKE", b"EVENTHANDLER_DIRECT_INVOKE")
                   for c, n, _ in self._calls_of(word)}  # fmt: skip
        for caller, line in zip(home.tolist(), rows[:, 1].tolist(), strict=True):
            if (caller, line) in invoked:
                yield _Edge(caller, cost, line, f"by the event handler {name}", place)

    def _named(self, name: bytes, function: int) -> Iterator[_Edge]:
        """Functions that name it without a call: they may hand it to who calls it."""
        rows = self._index.occurrences(name.decode(errors="replace"))
        rows = rows[np.isin(rows[:, 2] & ROLE_MASK, _BY_NAME)]
        home = self._functions.at(rows[:, 0], rows[:, 1])
        for caller, file, line in zip(
            home.tolist(), rows[:, 0].tolist(), rows[:, 1].tolist(), strict=True
        ):
            if caller >= 0 and caller != function and self._meant(function, file):
                yield _Edge(caller, _NAMED, line, "named, not called", None)

    # ---- paths

    def paths(self, start: str, end: str, limit: int, avoid: frozenset[str]) -> list[list[Step]]:
        """See `timehands.sources.code.index.Index.path`. Raises `SourcesError`."""
        starts = set(self._of(start))
        ends = self._of(end)
        banned = {at for name in avoid for at in self._by_name.get(name.encode(), ())}
        found: list[list[Step]] = []
        used: dict[int, int] = {}
        for _ in range(limit * _TRIES):
            way = self._way(starts, ends, used, banned)
            if not way:
                break
            steps = self._steps(way)
            if steps not in found:
                found.append(steps)
            if len(found) == limit:
                break
            for function, _edge in way[1:-1]:
                used[function] = used.get(function, 0) + _USED_AGAIN
        return sorted(
            found, key=lambda steps: (sum(s.doubt is not None for s in steps), len(steps))
        )

    def _of(self, name: str) -> list[int]:
        """The functions of a name; macros only when there is no function."""
        every = self._by_name.get(name.encode(), [])
        found = [at for at in every if self._functions.kind[at] != MACRO] or every
        if not found:
            near = self._index.near(name)
            advice = f"Perhaps {', '.join(near)}." if near else ""
            raise SourcesError(f"no function {name} in this tree", advice=advice)
        return found

    def _way(
        self, starts: set[int], ends: list[int], used: dict[int, int], banned: set[int]
    ) -> list[tuple[int, _Edge | None]]:
        """Functions from start to end, each with the edge that leads on from it."""
        cost = dict.fromkeys(ends, 0)
        onward: dict[int, tuple[int, _Edge]] = {}
        heap = [(0, at) for at in ends]
        done: set[int] = set()
        while heap and len(done) < _MAX_NODES:
            so_far, function = heapq.heappop(heap)
            if function in starts and function not in ends:
                return _chain(function, onward)
            if function in done:
                continue
            done.add(function)
            if function not in self._known:
                self._known[function] = list(self._edges(function))
            for edge in self._known[function]:
                caller = edge.caller
                more = so_far + edge.cost + used.get(caller, 0)
                if caller not in banned and more < cost.get(caller, 1 << 30):
                    cost[caller], onward[caller] = more, (function, edge)
                    heapq.heappush(heap, (more, caller))
        return []

    def _steps(self, way: list[tuple[int, _Edge | None]]) -> list[Step]:
        functions = self._functions
        first = way[0][0]
        begin = Where(self._index.file(int(functions.file[first])), int(functions.line[first]))
        steps = [Step(functions.names[first].decode(errors="replace"), begin, "start")]
        for (caller, edge), (function, _) in pairwise(way):
            if edge is None:
                break
            where = Where(self._index.file(int(functions.file[caller])), edge.line)
            name = functions.names[function].decode(errors="replace")
            place = Where(self._index.file(edge.set[0]), edge.set[1]) if edge.set else None
            steps.append(Step(name, where, edge.how, place, _doubt(edge)))
        return steps


def _chain(function: int, onward: dict[int, tuple[int, _Edge]]) -> list[tuple[int, _Edge | None]]:
    way: list[tuple[int, _Edge | None]] = []
    while function in onward:
        following, edge = onward[function]
        way.append((function, edge))
        function = following
    return [*way, (function, None)]


def _member(layouts: dict[bytes, list[bytes]], how: bytes) -> bytes:
    """The member that a place in a structure's initialiser is."""
    name, _, place = how.partition(b" ")
    members = layouts.get(name, [])
    at = int(place) if place.isdigit() else len(members)
    return members[at] if at < len(members) and members[at] != b"-" else b""


def _spoken(how: str) -> str:
    if how in ("=", "->"):
        return "assigned"
    if how == "." or " " in how:
        return "set in an initialiser"
    return f"set by {how}"


def _doubt(edge: _Edge) -> str | None:
    if edge.how == "call":
        return f"one of {edge.of} definitions of that name" if edge.of > 1 else None
    if edge.how.startswith("by "):
        return None
    if edge.cost == _NAMED:
        return "it is named here; whether it is called is not seen"
    return "another function may be set there"
