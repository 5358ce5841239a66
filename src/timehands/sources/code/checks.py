"""Whether a step of a way is compiled, and which of several functions of a name is meant.

This reads files; so it is asked only of steps that a search is about to take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from timehands.sources.code.calls import Calls
from timehands.sources.code.functions import PLAIN
from timehands.sources.code.holding import Holding, Place
from timehands.sources.code.includes import shared
from timehands.sources.code.model import Build
from timehands.sources.code.returning import is_declared_so
from timehands.sources.code.roles import DEAD, MEMBER_OF, ROLE_MASK, Role
from timehands.sources.code.texts import Returning

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_POINTER: Final = rb"(?:\([ \t]*\*[ \t]*(\w+)[ \t]*\)[ \t]*\([^()]*\))[ \t]*=[ \t]*&?[ \t]*%s\b"
_COPY: Final = rb"(?<![\w.>])(\w+)[ \t]*=[ \t]*[\w>.()\[\]-]*(?:->|\.)%s[ \t]*[;,)]"
_COPIES: Final = 60
_RECEIVER: Final = rb"(\w+)[ \t]*(?:\[[^\]]*\])?[ \t]*(?:->|\.)[ \t]*%s\b"
_STRUCTURE: Final = re.compile(rb"\bstruct[ \t]+(\w+)")
_DECLARING: Final = np.array([Role.MEMBER, Role.VARIABLE, Role.DECLARATION, Role.LOCAL])
_DECLARATIONS: Final = 60
#: Of what is called from so many places, the prototypes are looked at, too.
_OFTEN: Final = 128
_LOOKED: Final = 6
#: Of a line no more than this is looked at.
_LONGEST: Final = 2000
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
        self._types: dict[tuple[str, int], frozenset[str]] = {}
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
        line = before[-8:] + b"\n" + lines[place[1] - 1][:_LONGEST]
        found = re.findall(_MEMBER % name.encode(), line)
        return None if not found else any(found)

    def is_of(self, member: str, call: Place, set_at: Place, how: str) -> bool | None:
        """Whether a call of a member can be one of the structure in which it was set.

        Told by how the caller declares what stands before the member, or else by whether its file
        can know the structure. None: which structure it is cannot be told, or where it is declared.
        """
        structure = how.partition(" ")[0] if " " in how else self._structure_at(set_at)
        if not structure:
            return None
        told = self._declared_as(self._receiver(member, call), structure, call[0])
        return self._sees(structure, call[0]) if told is None else told

    def _sees(self, structure: str, file: int) -> bool | None:
        if structure not in self._declared:
            rows = self._index.occurrences(structure)
            rows = rows[(rows[:, 2] & ROLE_MASK) == Role.TYPE]
            self._declared[structure] = frozenset(rows[:, 0].tolist())
        homes = self._declared[structure]
        if not homes or file in homes:
            return True if homes else None
        return not homes.isdisjoint(self._includes.seen(file))

    def _receiver(self, member: str, call: Place) -> str:
        """The name before ``->member`` on a line; empty: there is none, or several."""
        lines = self.texts.branches(call[0]).plain[call[1] - 1 : call[1]]
        found = re.findall(_RECEIVER % member.encode(), lines[0][:_LONGEST] if lines else b"")
        return found[0].decode(errors="replace") if len(set(found)) == 1 else ""

    def _declared_as(self, name: str, structure: str, file: int) -> bool | None:
        """Whether a name is declared as a structure where a file sees it; None: not told."""
        if not name:
            return None
        if (name, file) not in self._types:
            self._types[name, file] = frozenset(self._structures_of(name, file))
        types = self._types[name, file]
        return True if structure in types else None if "?" in types or not types else False

    def _structures_of(self, name: str, file: int) -> Iterator[str]:
        rows = self._index.occurrences(name)
        rows = rows[np.isin(rows[:, 2] & ROLE_MASK, _DECLARING)]
        seen = self._includes.seen(file) | {file}
        places = [(one, line) for one, line, _ in rows.tolist() if one in seen]
        for number, line in places[:_DECLARATIONS]:
            text = self.texts.branches(number).plain[line - 1 : line]
            match = _STRUCTURE.search(text[0][:_LONGEST]) if text else None
            yield match[1].decode(errors="replace") if match else "?"

    def _structure_at(self, place: Place) -> str:
        """The structure whose initialiser a line stands in, if its declaration is near above."""
        lines = self.texts.branches(place[0]).plain
        for line in reversed(lines[max(0, place[1] - _NEAR) : place[1]]):
            if match := _INITIALISED.search(line[:_LONGEST]):
                return match[1].decode(errors="replace")
            if line.startswith(b"}"):
                break
        return ""

    def copies(self, member: str) -> Iterator[tuple[str, Place]]:
        """Variables that are assigned what is in a member, and where."""
        rows = self._index.occurrences(member)
        wanted = (rows[:, 2] & (ROLE_MASK | MEMBER_OF)) == (Role.READ | MEMBER_OF)
        pattern = re.compile(_COPY % re.escape(member.encode()))
        for file, line, _ in rows[wanted & ((rows[:, 2] & DEAD) == 0)][:_COPIES].tolist():
            text = self.texts.branches(file).plain[line - 1 : line]
            if text and (match := pattern.search(text[0][:_LONGEST])):
                yield match[1].decode(errors="replace"), (file, line)

    def defined_pointer(self, function: bytes, place: Place) -> str:
        """The pointer that is defined on a line with this function as its value; empty: none."""
        lines = self.texts.branches(place[0]).plain[max(0, place[1] - 2) : place[1]]
        match = re.search(_POINTER % re.escape(function), b" ".join(lines)[:_LONGEST])
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
