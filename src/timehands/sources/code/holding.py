"""Whether lines are compiled: their files, and the ``#if`` around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from timehands.sources.code.deciding import names
from timehands.sources.code.includes import Includes
from timehands.sources.code.model import Build, Refused
from timehands.sources.code.roles import DEAD, ROLE_MASK, Role
from timehands.sources.code.texts import Texts
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_DEEPEST: Final = 3
#: So many files of a folder are read for who includes one.
_BESIDE: Final = 400
#: What makes C a kernel's, in every system.
_KERNELS: Final = frozenset(("_KERNEL", "__KERNEL__"))
#: A line of a file, by the file's number.
Place = tuple[int, int]


class Holding:
    """What is known of the lines of a tree, as it is or as a configuration compiles it."""

    def __init__(self, index: Index, build: Build | None) -> None:
        self._index, self._build = index, build
        self.paths = index.living()
        self.texts = Texts(index.tree, self.paths)
        self._includes = Includes(self.paths, self.texts.data)
        self._defined: dict[str, list[Place]] = {}
        self._asked: set[int] = set()
        self._out: set[int] = set()
        self._held: dict[Place, bool | None] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a configuration that decides."""
        return self._build is not None

    def refused(self, place: Place) -> Refused | None:
        """Why a line is not compiled, if it is not."""
        return self.file_refused(place[0]) or self.refused_by_branch(place)

    def refused_by_branch(self, place: Place) -> Refused | None:
        """The ``#if`` that keeps a line of its file from being compiled, if one does."""
        for branch in self.texts.branches(place[0]).at(place[1]):
            if branch.holds(_Here(self, place)) is False:
                where = Where(self.paths[place[0]], branch.line)
                return Refused(where, f"{branch} does not hold")
        return None

    def included(self, file: int) -> frozenset[int]:
        """The headers that a file sees."""
        return self._includes.seen(file)

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

    def is_aside(self, place: Place) -> bool:
        """Whether a line is no kernel's: in C that no line names, or not for ``_KERNEL``."""
        if self._build is None:
            return False
        unnamed = self._build.listed(self.paths[place[0]]) is None
        return self.refused_by_branch(place) is not None or (unnamed and self._is_alone(place[0]))

    def _is_alone(self, file: int) -> bool:
        """Whether no file beside it includes it; of a header: whether no line names C beside it."""
        path = self.paths[file]
        folder, _, name = path.rpartition("/")
        beside = [one for one, other in self.paths.items() if other.rpartition("/")[0] == folder]
        if path.endswith(".c"):
            quoted = b'"%s"' % name.encode()
            return not any(quoted in self.texts.data(one) for one in beside[:_BESIDE])
        sources = [self.paths[one] for one in beside if self.paths[one].endswith(".c")]
        listed = [self._build.listed(one) for one in sources] if self._build else []
        return bool(listed) and listed.count(None) == len(listed)

    def holds(self, place: Place, depth: int = 0) -> bool | None:
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

    def conditions(self, place: Place) -> Iterator[str]:
        """The conditions that a line has, in words: of its file, and around it."""
        path = self.paths[place[0]]
        if self._build is not None:
            if words := self._build.condition(path):
                yield f"only with {words}"
            elif self._build.listed(path) is None and not path.endswith(".h"):
                yield f"no line says whether {path} is compiled"
        yield from self.around(place)

    def around(self, place: Place) -> Iterator[str]:
        """The ``#if`` around a line; not those that every kernel's C has."""
        here = _Here(self, place)
        for branch in self.texts.branches(place[0]).at(place[1]):
            usual = not _KERNELS.isdisjoint(names(branch.condition))
            held = branch.holds(here)
            if not (usual and held):
                yield f"{branch}{', not decided' if self._build and held is None else ''}"

    # ---- macros

    def defined(self, name: str, place: Place, depth: int) -> bool | None:
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

    def _by_tree(self, name: str, place: Place, depth: int) -> bool | None:
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

    def _definers(self, name: str) -> list[Place]:
        if name not in self._defined:
            rows = self._index.occurrences(name)
            rows = rows[((rows[:, 2] & ROLE_MASK) == Role.MACRO) & ((rows[:, 2] & DEAD) == 0)]
            self._defined[name] = [(file, line) for file, line, _ in rows.tolist()]
        return self._defined[name]


class _Here:
    """The macros as they are on one line."""

    def __init__(self, holding: Holding, place: Place, depth: int = 0) -> None:
        self._holding, self._place, self._depth = holding, place, depth

    def defined(self, name: str) -> bool | None:
        return self._holding.defined(name, self._place, self._depth)

    def value(self, name: str) -> int | None:
        if self.defined(name) is False:
            return 0
        return self._holding.value(name)

    def called(self, name: str, argument: str) -> int | None:
        return self._holding.called(name, argument)
