"""Whether a step of a way is compiled, and which of several functions of a name is meant.

This reads files; so it is asked only of steps that a search is about to take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from timehands.sources.code.calls import Calls
from timehands.sources.code.deciding import names
from timehands.sources.code.functions import PLAIN
from timehands.sources.code.includes import Includes, shared
from timehands.sources.code.model import Build, Refused
from timehands.sources.code.returning import is_declared_so
from timehands.sources.code.roles import DEAD, ROLE_MASK, Role
from timehands.sources.code.texts import Returning, Texts
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_DEEPEST: Final = 3
_POINTER: Final = rb"(?:\([ \t]*\*[ \t]*(\w+)[ \t]*\)[ \t]*\([^()]*\))[ \t]*=[ \t]*&?[ \t]*%s\b"
#: Of what is called from so many places, the prototypes are looked at, too.
_OFTEN: Final = 128
_LOOKED: Final = 6
_NEAR: Final = 120
_INITIALISED: Final = re.compile(rb"\bstruct[ \t]+(\w+)[ \t]+\w+[^;()]*=[ \t]*(?:\{|$)")
#: What makes C a kernel's, in every system.
_KERNELS: Final = frozenset(("_KERNEL", "__KERNEL__"))
_MEMBER: Final = rb"(->|(?<!\.)\.)?[ \t\n]*\b%s\b"
_Place = tuple[int, int]


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


class Checks:
    """What can be said of steps, in a tree as it is or as a configuration compiles it."""

    def __init__(self, index: Index, calls: Calls, build: Build | None) -> None:
        self._index, self._calls, self._build = index, calls, build
        self.functions = calls.functions
        self.paths = index.living()
        self.texts = Texts(index.tree, self.paths)
        self.returning = Returning(calls, self.texts)
        self._includes = Includes(self.paths, self.texts.data)
        self._defined: dict[str, list[_Place]] = {}
        self._locals: dict[str, frozenset[int]] = {}
        self._declared: dict[str, frozenset[int]] = {}
        self._dead: dict[bytes, bool] = {}
        self._asked: set[int] = set()
        self._out: set[int] = set()
        self._held: dict[_Place, bool | None] = {}
        self._meant: dict[tuple[bytes, int], Meant] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a configuration that decides."""
        return self._build is not None

    def never_returns(self, function: int, sites: int) -> bool:
        """Whether a function never returns; ``sites``: at so many places it is called."""
        if self.returning.never(function):
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

    def is_member(self, name: str, place: _Place) -> bool | None:
        """Whether a name on a line is a member (``->name``); None: the line does not have it."""
        lines = self.texts.branches(place[0]).plain
        if not 0 < place[1] <= len(lines):
            return None
        before = lines[place[1] - 2] if place[1] > 1 else b""
        found = re.findall(_MEMBER % name.encode(), before[-8:] + b"\n" + lines[place[1] - 1])
        return None if not found else any(found)

    def sees_structure(self, caller: int, set_at: _Place, how: str) -> bool | None:
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

    def _structure_at(self, place: _Place) -> str:
        """The structure whose initialiser a line stands in, if its declaration is near above."""
        lines = self.texts.branches(place[0]).plain
        for line in reversed(lines[max(0, place[1] - _NEAR) : place[1]]):
            if match := _INITIALISED.search(line):
                return match[1].decode(errors="replace")
            if line.startswith(b"}"):
                break
        return ""

    def defined_pointer(self, function: bytes, place: _Place) -> str:
        """The pointer that is defined on a line with this function as its value; empty: none."""
        lines = self.texts.branches(place[0]).plain[max(0, place[1] - 2) : place[1]]
        match = re.search(_POINTER % re.escape(function), b" ".join(lines))
        return match[1].decode(errors="replace") if match else ""

    def is_shared(self, variable: str, caller: int, set_at: _Place) -> bool:
        """Whether a variable that is called is the one that was set: a local one is another's."""
        if variable not in self._locals:
            rows = self._index.occurrences(variable)
            rows = rows[(rows[:, 2] & ROLE_MASK) == Role.LOCAL]
            home = self.functions.at(rows[:, 0], rows[:, 1])
            self._locals[variable] = frozenset(home.tolist())
        file, line = (np.array([one], np.int64) for one in set_at)
        setter = int(self.functions.at(file, line)[0])
        return setter == caller or not self._locals[variable] & {setter, caller}

    # ---- what is compiled

    def refused(self, place: _Place) -> Refused | None:
        """Why a line is not compiled, if it is not."""
        if refused := self.file_refused(place[0]):
            return refused
        for branch in self.texts.branches(place[0]).at(place[1]):
            if branch.holds(_Here(self, place)) is False:
                where = Where(self.paths[place[0]], branch.line)
                return Refused(where, f"{branch} does not hold")
        return None

    def file_refused(self, file: int) -> Refused | None:
        """Why a file is not compiled, if it is not."""
        path = self.paths[file]
        if self._build is None or (self._build.listed(path) is not False and file not in self._out):
            return None
        return Refused(None, f"{path} is not compiled: {self._build.refusal(path)}")

    def confirmed(self, file: int) -> bool:
        """Whether a file that no line names may be compiled all the same; this takes a while."""
        path = self.paths[file]
        if self._build and self._build.listed(path) is None and file not in self._asked:
            self._asked.add(file)
            if self._build.compiled(path) is False:
                self._out.add(file)
        return file not in self._out

    def holds(self, place: _Place, depth: int = 0) -> bool | None:
        """Whether the conditions around a line hold; None: that is not decided."""
        branches = self.texts.branches(place[0]).at(place[1])
        if not branches:
            return True
        key = place[0], branches[-1].line
        if key not in self._held:
            self._held[key] = None  # while it is looked at
            here = _Here(self, place, depth)
            found = [branch.holds(here) for branch in branches]
            self._held[key] = False if False in found else None if None in found else True
        return self._held[key]

    def conditions(self, place: _Place) -> Iterator[str]:
        """The conditions that a line has, in words: of its file, and around it."""
        path = self.paths[place[0]]
        if self._build is not None:
            if words := self._build.condition(path):
                yield f"only with {words}"
            elif self._build.listed(path) is None and not path.endswith(".h"):
                yield f"no line says whether {path} is compiled"
        yield from self.around(place)

    def around(self, place: _Place) -> Iterator[str]:
        """The ``#if`` around a line; not those that every kernel's C has."""
        here = _Here(self, place)
        for branch in self.texts.branches(place[0]).at(place[1]):
            usual = not _KERNELS.isdisjoint(names(branch.condition))
            held = branch.holds(here)
            if not (usual and held):
                yield f"{branch}{', not decided' if self._build and held is None else ''}"

    # ---- macros

    def defined(self, name: str, place: _Place, depth: int) -> bool | None:
        """Whether a macro is defined on a line: by the configuration, or by what the tree has."""
        if name in _KERNELS:
            return True
        if self._build is None:
            return None
        known = self._build.macros.defined(name)
        return known if known is not None else self._by_tree(name, place, depth)

    def value(self, name: str) -> int | None:
        """A macro's value by the configuration."""
        return self._build.macros.value(name) if self._build else None

    def called(self, name: str, argument: str) -> int | None:
        """The value of ``name(argument)`` by the configuration."""
        return self._build.macros.called(name, argument) if self._build else None

    def _by_tree(self, name: str, place: _Place, depth: int) -> bool | None:
        """A name that nothing defines is no macro, unless the compiler does."""
        places = self._definers(name)
        if not places:
            return None if name.startswith("__") else False
        file, line = place
        if self.paths[file].endswith(".h") or depth >= _DEEPEST:
            return None
        own = [self.holds(one, depth + 1) for one in places if one[0] == file and one[1] < line]
        if True in own:
            return True
        seen = self._includes.seen(file)
        return None if None in own or any(one[0] in seen for one in places) else False

    def _definers(self, name: str) -> list[_Place]:
        if name not in self._defined:
            rows = self._index.occurrences(name)
            rows = rows[((rows[:, 2] & ROLE_MASK) == Role.MACRO) & ((rows[:, 2] & DEAD) == 0)]
            self._defined[name] = [(file, line) for file, line, _ in rows.tolist()]
        return self._defined[name]


class _Here:
    """The macros as they are on one line."""

    def __init__(self, checks: Checks, place: _Place, depth: int = 0) -> None:
        self._checks, self._place, self._depth = checks, place, depth

    def defined(self, name: str) -> bool | None:
        return self._checks.defined(name, self._place, self._depth)

    def value(self, name: str) -> int | None:
        if self.defined(name) is False:
            return 0
        return self._checks.value(name)

    def called(self, name: str, argument: str) -> int | None:
        return self._checks.called(name, argument)
