"""Who reaches a function: by calls, and through pointers where they are seen; and what that costs.

A step costs by how far it can be believed, which is seen from facts of the tree: a call by name is
the cheapest. What everybody calls explains little, and what never returns (a panic) almost nothing.
A pointer that is given one function is nearly a call; one that is given sixty, or whose name many
structures have, is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.calls import Calls, Link
from timehands.sources.code.checks import Checks
from timehands.sources.code.functions import PLAIN
from timehands.sources.code.handed import Handed
from timehands.sources.code.hooks import EVENTS, IN_CAPITALS, INVOKERS, RUNNERS
from timehands.sources.code.model import Build
from timehands.sources.code.roles import ROLE_MASK, Role

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

CALL: Final = 4
_POINTER: Final = 8
_HOOK: Final = 6
_NAMED: Final = 36
#: Called from more places than this (as a power of two), a function explains less.
_COMMON: Final = 4
#: To go through what never returns; not for what is called from a place or two, as ``main`` is.
_NO_RETURN: Final = 140
_FEW: Final = 4
#: Files that no line of a configuration names.
_UNLISTED: Final = 40
#: Of so many members it is looked up which variables get what they point to.
_MOST_COPIED: Final = 60
#: A pointer with more setters than this is told to be in doubt.
_SURE: Final = 1
_BY_NAME: Final = np.array([Role.READ, Role.ADDRESS, Role.WRITE, Role.INITIAL])
_Ints = NDArray[np.int64]


class Reach(NamedTuple):
    """How callers reach a function. ``set``: the place (file, line) where a pointer was set;
    ``member``, ``variable``: the pointer's name, as what it is called; so many ``structures``
    have a member of this name. ``link``: what set it, in the index's words."""

    how: str
    set: tuple[int, int] | None = None
    doubt: str | None = None
    member: str = ""
    variable: str = ""
    structures: int = 0
    link: str = ""


class Edges(NamedTuple):
    """Callers of a function that reach it in the same manner, each on its line at its cost."""

    caller: _Ints
    line: _Ints
    cost: _Ints
    reach: Reach


class Graph:
    """The edges of a tree, or of what a configuration compiles of it."""

    def __init__(self, index: Index, calls: Calls, build: Build | None) -> None:
        self._index, self._calls = index, calls
        self.functions = calls.functions
        self.checks = Checks(index, calls, build)
        self._header = index.headers()
        self._kept, self._extra = self._files(build)
        self._setters = calls.setters(self._kept)
        self._known: dict[int, list[Edges]] = {}
        self._hand = Handed(index, calls, self.checks)
        self._handed: dict[int, list[Edges]] = {}
        self._copies: dict[str, list[tuple[str, tuple[int, int]]]] = {}

    def _files(self, build: Build | None) -> tuple[NDArray[np.bool_], _Ints]:
        """Of each file, whether it may be compiled, and what it costs to take it for so."""
        kept = self._index.alive.copy()
        extra = np.zeros(len(kept), np.int64)
        if build is None:
            return kept, extra
        for number, path in self.checks.paths.items():
            listed = build.listed(path)
            kept[number] = listed is not False
            extra[number] = _UNLISTED if listed is None and not path.endswith(".h") else 0
        return kept, extra

    def into(self, function: int) -> list[Edges]:
        """Who reaches a function."""
        if function not in self._known:
            self._known[function] = [edges for edges in self._into(function) if len(edges.caller)]
        return self._known[function]

    def _into(self, function: int) -> Iterator[Edges]:
        name = self.functions.names[function]
        caller, line, through = self._calls.sites(name)
        yield self._edges(
            *self._by_name(name, function, caller[~through], line[~through]),
            CALL + self._dear(function, len(caller)),
            Reach("call"),
        )
        seen = set()
        for link in self._calls.links(name):
            known = (link.through, link.how)
            if self._kept[link.file] and known not in seen and self._visible(function, link.file):
                seen.add(known)
                yield from self._through(link)

    def _edges(self, caller: _Ints, line: _Ints, cost: int, reach: Reach) -> Edges:
        file = self.functions.file[caller]
        kept = self._kept[file]
        return Edges(caller[kept], line[kept], cost + self._extra[file[kept]], reach)

    def _dear(self, function: int, sites: int) -> int:
        """What a call by name costs more, for what is called."""
        common = max(0, sites.bit_length() - _COMMON)
        ends = sites > _FEW and self.checks.never_returns(function, sites)
        return common + (_NO_RETURN if ends else 0)

    def _by_name(
        self, name: bytes, function: int, caller: _Ints, line: _Ints
    ) -> tuple[_Ints, _Ints]:
        """The calls that can mean this function: a file's own comes before all others."""
        home = self.functions.file
        same = home[caller] == home[function]
        good = same
        if self._visible(function, -1):
            others = [one for one in self._calls.named(name) if one != function]
            good = same | ~np.isin(home[caller], home[others])
        return caller[good], line[good]

    def _visible(self, function: int, file: int) -> bool:
        """Whether a function can be meant in a file, which is -1 for any."""
        home = self.functions.file[function]
        return bool(self._open[function] or home == file)

    def onward(self, front: _Ints) -> tuple[_Ints, _Ints]:
        """Functions that these reach, with the least cost; those of one more than once."""
        calls, home = self._calls, self.functions.file
        caller, name, through = calls.made_by(front)
        reached, place = calls.functions_named(name[~through])
        who = caller[~through][place]
        good = self._kept[home[reached]]
        good &= (home[reached] == home[who]) | self._open[reached]
        direct = reached[good], self._by_call[self._calls.name[reached[good]]]
        asked = np.concatenate((name, calls.name[front]))
        given, pointer, _ = calls.given_to(np.unique(asked))
        reached, place = calls.functions_named(given)
        good = self._kept[home[reached]]
        dear = self._by_pointer[pointer[place[good]]]
        return np.concatenate((direct[0], reached[good])), np.concatenate((direct[1], dear))

    @cached_property
    def _open(self) -> NDArray[np.bool_]:
        """Of each function, whether other files can call it."""
        plain = self.functions.kind == PLAIN
        return np.asarray(plain | self._header[self.functions.file], np.bool_)

    @cached_property
    def orphans(self) -> NDArray[np.bool_]:
        """Of each function, whether nobody calls it, by name or through a pointer that is seen."""
        sites = self._calls.sites_of_names()[self._calls.name]
        linked = self._calls.linked()[self._calls.name]
        return np.asarray((sites == 0) & ~linked & self._kept[self.functions.file], np.bool_)

    @cached_property
    def _by_call(self) -> _Ints:
        """Of each name, what a call by it costs at least."""
        bits = np.frexp(self._calls.sites_of_names().astype(np.float64))[1]
        return CALL + np.maximum(0, bits.astype(np.int64) - _COMMON)

    @cached_property
    def _by_pointer(self) -> _Ints:
        """Of each pointer, what a call through it costs."""
        names = self._calls.pointers()
        runners = [_HOOK if one.decode(errors="replace") in RUNNERS else 0 for one in names]
        return np.array(
            [r or self._price(n) for r, n in zip(runners, names, strict=True)], np.int64
        )

    # ---- through pointers

    def _through(self, link: Link) -> Iterator[Edges]:
        place, pointer = (link.file, link.line), link.through.decode(errors="replace")
        if pointer in RUNNERS:
            for who in RUNNERS[pointer]:
                runners = np.array(self._calls.named(who.encode()), np.int64)
                line = self.functions.line[runners]
                yield self._edges(runners, line, _HOOK, Reach(f"by {link.how}", place))
            return
        member = "" if link.how == "=" or link.how in IN_CAPITALS else pointer
        how = f"through {pointer}, {_spoken(link.how)}"
        variable = pointer if link.how == "=" else ""
        homes = self._calls.structures(link.through)
        reach = Reach(how, place, self._doubt(link.through), member, variable, homes, link.how)
        cost = self._price(link.through)
        if link.how in EVENTS:
            yield self._event(pointer, cost, place)
            return
        capitals = link.how in IN_CAPITALS
        caller, line, through = self._calls.sites(
            link.through.upper() if capitals else link.through
        )
        if not capitals and (link.how != "=" or self._calls.named(link.through)):
            caller, line = caller[through], line[through]
        yield self._edges(caller, line, cost, reach)
        yield from self._by_copies(pointer, cost, reach) if reach.member else ()

    def _by_copies(self, pointer: str, cost: int, reach: Reach) -> Iterator[Edges]:
        """Calls of local variables that got what a member has: ``func = tc->tc_get_timecount``."""
        if pointer not in self._copies and len(self._copies) < _MOST_COPIED:
            self._copies[pointer] = list(self.checks.copies(pointer))
        for variable, (file, line) in self._copies.get(pointer, ()):
            caller, on, _ = self._calls.sites(variable.encode())
            home = self.functions.at(np.array([file], np.int64), np.array([line], np.int64))[0]
            here = (caller == home) & (on >= line)
            how = reach.how.replace(pointer, f"{pointer} (as {variable})", 1)
            yield self._edges(caller[here], on[here], cost, reach._replace(how=how, member=""))

    def _price(self, pointer: bytes) -> int:
        given, homes = self._setters[pointer], self._calls.structures(pointer)
        return _POINTER + 4 * max(0, given - 1).bit_length() + 2 * max(0, homes - 1).bit_length()

    def _doubt(self, pointer: bytes) -> str | None:
        given = self._setters[pointer]
        return f"one of {given} functions that are set there" if given > _SURE else None

    def _event(self, name: str, cost: int, place: tuple[int, int]) -> Edges:
        rows = self._index.occurrences(name)
        home = self.functions.at(rows[:, 0], rows[:, 1]).astype(np.int64)
        invoked = {
            pair
            for word in INVOKERS
            for sites in (self._calls.sites(word),)
            for pair in zip(sites.caller.tolist(), sites.line.tolist(), strict=True)
        }
        pairs = zip(home.tolist(), rows[:, 1].tolist(), strict=True)
        good = np.array([pair in invoked for pair in pairs], np.bool_)
        reach = Reach(f"by the event handler {name}", place)
        return self._edges(home[good], rows[good, 1], cost, reach)

    def defined_with(self, function: int) -> Iterator[Edges]:
        """Who calls pointers that are defined with this function: ``int (*p)(int) = function;``."""
        name = self.functions.names[function]
        rows = self._index.occurrences(name.decode(errors="replace"))
        outside = self.functions.at(rows[:, 0], rows[:, 1]) < 0
        for file, line, _ in rows[outside & np.isin(rows[:, 2] & ROLE_MASK, _BY_NAME)].tolist():
            pointer = self.checks.defined_pointer(name, (file, line))
            if pointer and self._kept[file]:
                caller, on, _ = self._calls.sites(pointer.encode())
                how = f"through {pointer}, set where it is defined"
                others = self._setters[pointer.encode()]
                doubt = f"one of {others + 1} functions that are set there" if others else None
                reach = Reach(how, (file, line), doubt, variable=pointer)
                yield self._edges(caller, on, self._price(pointer.encode()), reach)

    def handed(self, function: int) -> list[Edges]:
        """Who calls a function that was handed over as an argument; this reads files."""
        if function not in self._handed:
            self._handed[function] = [
                edges for edges in self._by_hand(function) if len(edges.caller)
            ]
        return self._handed[function]

    def _by_hand(self, function: int) -> Iterator[Edges]:
        known = set()
        for place, taken in self._hand.over(function):
            key = (taken.caller, taken.line, taken.link and taken.link.through)
            if not self._kept[place[0]] or key in known:
                continue
            known.add(key)
            if taken.link is not None:
                for edges in self._through(taken.link):
                    how = f"{edges.reach.how.partition(',')[0]}, handed over"
                    yield edges._replace(reach=edges.reach._replace(how=how, set=place))
            elif taken.caller is not None:
                who, line = np.array([taken.caller], np.int64), np.array([taken.line], np.int64)
                yield self._edges(who, line, _POINTER, Reach("call of what is handed over", place))

    def naming(self, function: int) -> Edges:
        """Functions that name it without a call: they may hand it to who calls it."""
        name = self.functions.names[function]
        rows = self._index.occurrences(name.decode(errors="replace"))
        rows = rows[np.isin(rows[:, 2] & ROLE_MASK, _BY_NAME)]
        home = self.functions.at(rows[:, 0], rows[:, 1]).astype(np.int64)
        good = (home >= 0) & (home != function)
        good &= np.array([self._visible(function, file) for file in rows[:, 0].tolist()], np.bool_)
        doubt = "it is named here; whether it is called is not seen"
        reach = Reach("named, not called", None, doubt)
        return self._edges(home[good], rows[good, 1], _NAMED, reach)


def _spoken(how: str) -> str:
    if how in ("=", "->"):
        return "assigned"
    if how == "." or " " in how:
        return "set in an initialiser"
    return f"set by {how}"
