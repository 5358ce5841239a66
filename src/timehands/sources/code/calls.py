"""All calls of an index as columns: who calls which name, and which names are called through what.

Names are numbers here; those of functions come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.hooks import EVENTS, IN_CAPITALS, INVOKERS, RUNNERS

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

Ints = NDArray[np.int64]
_NONE: Final = np.zeros(0, np.int64)


class Link(NamedTuple):
    """A function was given to the pointer ``through`` on a line; ``how`` says by what."""

    through: bytes
    file: int
    line: int
    how: str


class Sites(NamedTuple):
    """Where a name is called: the functions (numbers), their lines, whether through a pointer."""

    caller: Ints
    line: Ints
    through: NDArray[np.bool_]


class _Rows(NamedTuple):
    """Rows by a key: those of ``key`` are ``order[first[key] : first[key + 1]]``."""

    order: Ints
    first: Ints

    @classmethod
    def by(cls, key: Ints, many: int) -> _Rows:
        order = np.argsort(key, kind="stable").astype(np.int64)
        return cls(order, np.searchsorted(key[order], np.arange(many + 1)).astype(np.int64))

    def of(self, key: int) -> Ints:
        return self.order[self.first[key] : self.first[key + 1]]

    def of_all(self, keys: Ints) -> tuple[Ints, Ints]:
        """The rows of several keys, and for each the place of its key in these."""
        start, size = self.first[keys], self.first[keys + 1] - self.first[keys]
        ends = np.cumsum(size)
        steps = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - size, size)
        return self.order[np.repeat(start, size) + steps], np.repeat(np.arange(len(keys)), size)


class _Pointers(NamedTuple):
    """Which functions (by name) may be called through which pointers, by what is called there."""

    by_called: _Rows
    function: Ints
    pointer: Ints
    names: list[bytes]


class Calls:
    """The calls, by who is called and by who calls; the links, by the function that was given."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.functions = index.functions
        known: dict[bytes, int] = {}
        self._numbers = known
        self.name: Ints = np.array(
            [known.setdefault(name, len(known)) for name in self.functions.names], np.int64
        )
        self._named = len(known)
        self._load()
        self._load_links()

    def _load(self) -> None:
        callers, callees, lines, throughs = [_NONE], [_NONE], [_NONE], [_NONE]
        base, known = 0, self._numbers
        for size, (names, caller, callee, line, through) in zip(
            self.functions.sizes, self._index.calls(), strict=True
        ):
            number = np.array([known.setdefault(n, len(known)) for n in names], np.int64)
            callers.append(caller.astype(np.int64) + base)
            callees.append(number[callee] if len(number) else _NONE)
            lines.append(line.astype(np.int64))
            throughs.append(through.astype(np.int64))
            base += size
        caller = np.concatenate(callers)
        living = self.functions.alive[caller] if len(caller) else np.zeros(0, np.bool_)
        self._caller, self._callee = caller[living], np.concatenate(callees)[living]
        self._line = np.concatenate(lines)[living]
        self._through = np.concatenate(throughs)[living].astype(np.bool_)
        self._by_callee = _Rows.by(self._callee, len(known))

    def _load_links(self) -> None:
        """Those of functions that are known; a member's place becomes its name."""
        alive, known = self._index.alive, self._numbers
        self._links: dict[bytes, list[Link]] = {}
        for through, function, how, file, line in self._index.links():
            number = np.array([known.get(name, self._named) for name in function], np.int64)
            for at in np.flatnonzero((number < self._named) & alive[file]).tolist():
                pointer = through[at] or self._member(how[at])
                if pointer:
                    link = Link(pointer, int(file[at]), int(line[at]), how[at].decode())
                    self._links.setdefault(function[at], []).append(link)

    @cached_property
    def _layouts(self) -> dict[bytes, list[bytes]]:
        return self._index.layouts()

    def _member(self, how: bytes) -> bytes:
        """The member that a place in a structure's initialiser is."""
        name, _, place = how.partition(b" ")
        members = self._layouts.get(name, [])
        at = int(place) if place.isdigit() else len(members)
        return members[at] if at < len(members) and members[at] != b"-" else b""

    @cached_property
    def _structures(self) -> Counter[bytes]:
        return Counter(member for members in self._layouts.values() for member in set(members))

    def structures(self, member: bytes) -> int:
        """How many structures have a member of this name."""
        return self._structures[member]

    # ---- by name

    def named(self, name: bytes) -> list[int]:
        """The functions of a name."""
        number = self._numbers.get(name, self._named)
        return self._of_name(number).tolist() if number < self._named else []

    def _of_name(self, number: int) -> Ints:
        return self._by_name.of(number)

    @cached_property
    def _by_name(self) -> _Rows:
        living = np.flatnonzero(self.functions.alive)
        rows = _Rows.by(self.name[living], self._named)
        return _Rows(living[rows.order], rows.first)

    def sites(self, name: bytes) -> Sites:
        """Where a name is called."""
        number = self._numbers.get(name)
        rows = self._by_callee.of(number) if number is not None else _NONE
        return Sites(self._caller[rows], self._line[rows], self._through[rows])

    def links(self, name: bytes) -> list[Link]:
        """To which pointers the functions of a name are given."""
        return self._links.get(name, [])

    def linked(self) -> NDArray[np.bool_]:
        """Of each name, whether a function of it is given to a pointer."""
        found = np.zeros(len(self._numbers), np.bool_)
        found[[self._numbers[name] for name in self._links]] = True
        return found

    def setters(self, kept: NDArray[np.bool_]) -> Counter[bytes]:
        """How many functions each pointer is given, in the files (by number) that are kept."""
        return Counter(
            link.through for links in self._links.values() for link in links if kept[link.file]
        )

    # ---- forwards

    def made_by(self, functions: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """The calls that functions make: who (of these), which name's number, through a pointer."""
        rows, caller = self._by_caller.of_all(functions)
        return functions[caller], self._callee[rows], self._through[rows]

    def functions_named(self, names: Ints) -> tuple[Ints, Ints]:
        """All functions of names (their numbers), and of which name each is (its place here)."""
        own = np.flatnonzero(names < self._named)
        rows, place = self._by_name.of_all(names[own])
        return rows, own[place]

    def given_to(self, names: Ints) -> tuple[Ints, Ints, Ints]:
        """What a call of names may call through pointers: function's name, pointer, place here."""
        rows, place = self._pointers.by_called.of_all(names)
        return self._pointers.function[rows], self._pointers.pointer[rows], place

    def pointers(self) -> list[bytes]:
        """The pointers' names, in the order of their numbers."""
        return self._pointers.names

    def sites_of_names(self) -> Ints:
        """At how many places each name is called."""
        return np.diff(self._by_callee.first)

    @cached_property
    def _by_caller(self) -> _Rows:
        return _Rows.by(self._caller, len(self.name))

    @cached_property
    def _pointers(self) -> _Pointers:
        numbers: dict[bytes, int] = {}
        rows = {
            (called, self._numbers[name], numbers.setdefault(link.through, len(numbers)))
            for name, links in self._links.items()
            for link in {(one.through, one.how): one for one in links}.values()
            for called in self._called(link)
        }
        table = np.array(sorted(rows), np.int64).reshape(-1, 3)
        by_called = _Rows.by(table[:, 0], len(self._numbers))
        return _Pointers(by_called, table[:, 1], table[:, 2], list(numbers))

    def _called(self, link: Link) -> Iterator[int]:
        """Names whose call may call what a link was given; a runner stands for its calls."""
        if link.how in EVENTS:
            names: Iterable[bytes] = INVOKERS
        elif link.through.decode(errors="replace") in RUNNERS:
            names = (one.encode() for one in RUNNERS[link.through.decode()])
        else:
            names = (link.through.upper() if link.how in IN_CAPITALS else link.through,)
        return (self._numbers[name] for name in names if name in self._numbers)
