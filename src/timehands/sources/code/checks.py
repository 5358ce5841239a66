"""Whether a step of a way is compiled, and which of several functions of a name is meant.

This reads files; so it is asked only of steps that a search is about to take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from timehands.sources.code.calls import Calls
from timehands.sources.code.functions import PLAIN
from timehands.sources.code.holding import Holding, Place
from timehands.sources.code.includes import shared
from timehands.sources.code.model import Build
from timehands.sources.code.returning import is_declared_so
from timehands.sources.code.roles import ROLE_MASK, Role
from timehands.sources.code.texts import Returning

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_POINTER: Final = rb"(?:\([ \t]*\*[ \t]*(\w+)[ \t]*\)[ \t]*\([^()]*\))[ \t]*=[ \t]*&?[ \t]*%s\b"
#: Of what is called from so many places, the prototypes are looked at, too.
_OFTEN: Final = 128
_LOOKED: Final = 6
_NEAR: Final = 120
_INITIALISED: Final = re.compile(rb"\bstruct[ \t]+(\w+)[ \t]+\w+[^;()]*=[ \t]*(?:\{|$)")
_MEMBER: Final = rb"(->|(?<!\.)\.)?[ \t\n]*\b%s\b"


class Meant(NamedTuple):
    """The functions that a name means, all alike good; ``of`` so many that were looked at."""

    functions: tuple[int, ...]
    of: int = 1

    @property
    def doubt(self) -> str | None:
        """In words, when another function may be meant."""
        if len(self.functions) > 1:
            return f"one of {max(self.of, len(self.functions))} definitions of that name"
        return f"the nearest of {self.of} definitions of that name" if self.of > 1 else None


class Checks(Holding):
    """What can be said of steps, in a tree as it is or as a configuration compiles it."""

    def __init__(self, index: Index, calls: Calls, build: Build | None) -> None:
        super().__init__(index, build)
        self._calls = calls
        self.functions = calls.functions
        self._returning = Returning(calls, self.texts)
        self._locals: dict[str, frozenset[int]] = {}
        self._declared: dict[str, frozenset[int]] = {}
        self._dead: dict[bytes, bool] = {}
        self._meant: dict[tuple[bytes, int], Meant] = {}

    def never_returns(self, function: int, sites: int) -> bool:
        """Whether a function never returns; ``sites``: at so many places it is called."""
        if self._returning.never(function):
            return True
        return sites >= _OFTEN and self._declared_dead(self.functions.names[function])

    def _declared_dead(self, name: bytes) -> bool:
        """Whether a header declares that it never returns: ``__dead2``, ``noreturn``."""
        if name not in self._dead:
            rows = self._index.occurrences(name.decode(errors="replace"))
            rows = rows[(rows[:, 2] & ROLE_MASK) == Role.DECLARATION]
            places = [(file, line) for file, line, _ in rows[:_LOOKED].tolist()]
            texts = (self.texts.branches(file).plain[line - 1 : line + 3] for file, line in places)
            self._dead[name] = any(is_declared_so(b"\n".join(lines)) for lines in texts)
        return self._dead[name]

    # ---- which function is meant

    def meant(self, name: bytes, caller: int) -> Meant:
        """Which functions a call by name in ``caller`` can mean."""
        file = int(self.functions.file[caller])
        if (name, file) not in self._meant:
            self._meant[name, file] = self._nearest(name, file)
        return self._meant[name, file]

    def _nearest(self, name: bytes, file: int) -> Meant:
        home, kind = self.functions.file, self.functions.kind
        every = [one for one in self._calls.named(name) if self._is_compiled(one)]
        if own := [one for one in every if home[one] == file]:
            return Meant(tuple(own))
        headers = [one for one in every if self.paths[int(home[one])].endswith(".h")]
        if headers:
            seen = self._includes.seen(file)
            if included := [one for one in headers if int(home[one]) in seen]:
                return Meant(tuple(included))
        plain = [one for one in every if kind[one] == PLAIN and one not in headers] or headers
        listed = [one for one in plain if self._is_listed(self.paths[int(home[one])])] or plain
        return Meant(tuple(self._near(listed, file)), len(listed))

    def _is_compiled(self, function: int) -> bool:
        place = int(self.functions.file[function]), int(self.functions.line[function])
        return self.file_refused(place[0]) is None and self.holds(place) is not False

    def _near(self, functions: list[int], file: int) -> list[int]:
        """Those in the nearest folders; of several, those of the architecture; the highest ones."""
        if len(functions) < 2:
            return functions
        here, arch = self.paths[file], f"/{self._index.arch}/"
        paths = {one: self.paths[int(self.functions.file[one])] for one in functions}
        rank = {
            one: (-shared(path, here), arch not in path, path.count("/"))
            for one, path in paths.items()
        }
        best = min(rank.values())
        return [one for one in functions if rank[one] == best]

    def _is_listed(self, path: str) -> bool:
        return self._build is None or self._build.listed(path) is True

    def is_member(self, name: str, place: Place) -> bool | None:
        """Whether a name on a line is a member (``->name``); None: the line does not have it."""
        lines = self.texts.branches(place[0]).plain
        if not 0 < place[1] <= len(lines):
            return None
        before = lines[place[1] - 2] if place[1] > 1 else b""
        found = re.findall(_MEMBER % name.encode(), before[-8:] + b"\n" + lines[place[1] - 1])
        return None if not found else any(found)

    def sees_structure(self, caller: int, set_at: Place, how: str) -> bool | None:
        """Whether the caller's file can know the structure in whose initialiser a pointer was set.

        None: which structure it is cannot be told, or where it is declared.
        """
        structure = how.partition(" ")[0] if " " in how else self._structure_at(set_at)
        if not structure:
            return None
        if structure not in self._declared:
            rows = self._index.occurrences(structure)
            rows = rows[(rows[:, 2] & ROLE_MASK) == Role.TYPE]
            self._declared[structure] = frozenset(rows[:, 0].tolist())
        homes, file = self._declared[structure], int(self.functions.file[caller])
        if not homes or file in homes:
            return True if homes else None
        return not homes.isdisjoint(self._includes.seen(file))

    def _structure_at(self, place: Place) -> str:
        """The structure whose initialiser a line stands in, if its declaration is near above."""
        lines = self.texts.branches(place[0]).plain
        for line in reversed(lines[max(0, place[1] - _NEAR) : place[1]]):
            if match := _INITIALISED.search(line):
                return match[1].decode(errors="replace")
            if line.startswith(b"}"):
                break
        return ""

    def defined_pointer(self, function: bytes, place: Place) -> str:
        """The pointer that is defined on a line with this function as its value; empty: none."""
        lines = self.texts.branches(place[0]).plain[max(0, place[1] - 2) : place[1]]
        match = re.search(_POINTER % re.escape(function), b" ".join(lines))
        return match[1].decode(errors="replace") if match else ""

    def is_shared(self, variable: str, caller: int, set_at: Place) -> bool:
        """Whether a variable that is called is the one that was set: a local one is another's."""
        if variable not in self._locals:
            rows = self._index.occurrences(variable)
            rows = rows[(rows[:, 2] & ROLE_MASK) == Role.LOCAL]
            home = self.functions.at(rows[:, 0], rows[:, 1])
            self._locals[variable] = frozenset(home.tolist())
        file, line = (np.array([one], np.int64) for one in set_at)
        setter = int(self.functions.at(file, line)[0])
        return setter == caller or not self._locals[variable] & {setter, caller}
