"""The clocks that a tree can register: who registers, which structure, what it says of itself.

The files are found by the index (who calls ``tc_init``, who sets ``tc_get_timecount``); each is
then parsed again, for what the index does not keep: the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from timehands.sources.code.clock_file import ClockFile, Given, Registered, Structure
from timehands.sources.code.clock_kinds import KINDS, ClockKind
from timehands.sources.code.clock_values import Origins
from timehands.sources.code.holding import Holding
from timehands.sources.code.model import Build, ClockSource, ClockValue, Refused
from timehands.sources.code.roles import DEAD, ROLE_MASK, Role
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_MAX_FILES: Final = 2000
_UNIT: Final = re.compile(r" k?Hz$")


def clocks(index: Index, build: Build | None = None) -> list[ClockSource]:
    """Every clock that the tree can register, by kind, file and line.

    With ``build`` the values that a configuration does not compile are left out, and a clock that
    it does not compile says so.
    """
    layouts = index.layouts()
    holding = Holding(index, build)
    origins = Origins(index, holding)
    found: list[ClockSource] = []
    for kind in KINDS:
        members = [name.decode() for name in layouts.get(kind.structure.encode(), [])]
        for file in _files(index, kind, set(holding.paths)):
            parsed = ClockFile(holding.texts.data(file), kind, members)
            found += _Clocks(file, parsed, kind, holding, origins).all()
    order = [kind.kind for kind in KINDS]
    return sorted(found, key=lambda clock: (order.index(clock.kind), clock.where))


def _files(index: Index, kind: ClockKind, alive: set[int]) -> list[int]:
    """Files that register such a clock, or set up its structure."""
    numbers = set(_with_tables(index, kind))
    wanted: list[tuple[str, list[Role]]] = [(name, [Role.CALL]) for name in kind.registrars]
    if "_" in kind.reader:
        wanted.append((kind.reader, [Role.DESIGNATOR, Role.WRITE]))
    for name, roles in wanted:
        rows = index.occurrences(name)
        good = np.isin(rows[:, 2] & ROLE_MASK, roles) & ((rows[:, 2] & DEAD) == 0)
        numbers.update(rows[good, 0].tolist())
    return sorted(numbers & alive)[:_MAX_FILES]


def _with_tables(index: Index, kind: ClockKind) -> Iterator[int]:
    """Files with an initialiser of the structure by its members' places."""
    start = f"{kind.structure} ".encode()
    for _, _, how, file, _ in index.links():
        yield from (int(file[at]) for at, one in enumerate(how) if one.startswith(start))


class _Clocks:
    """The clocks of one file and kind."""

    def __init__(
        self, file: int, parsed: ClockFile, kind: ClockKind, holding: Holding, origins: Origins
    ) -> None:
        self._file, self._parsed, self._kind = file, parsed, kind
        self._holding, self._origins = holding, origins
        self._bases = {call.base for call in parsed.calls}
        #: Why nobody who would register the clock is compiled.
        self._lacking: Refused | None = None

    def all(self) -> Iterator[ClockSource]:
        """Those that are registered, and those that are there without."""
        seen = set()
        for call in self._parsed.calls:
            if call.home and call.home.name in self._kind.registrars:
                continue  # it hands on what its callers register
            name = call.base.partition("[")[0]
            table = self._parsed.structures.get(name, Structure(call.base, call.line))
            seen |= {call.base, name}
            given = [*table.values, *self._sets(call), *self._told(call)]
            if given:
                yield self._clock(table, call, given)
        for name, table in self._parsed.structures.items():
            members = {one.member for one in table.values}
            if name not in seen and self._kind.reader in members:
                given = [*table.values, *self._sets_of(name)]
                yield self._clock(table, None, given)

    def _told(self, call: Registered) -> list[Given]:
        """The frequency, where it is an argument."""
        place = self._kind.registrars[call.function]
        if place is None or place[0] >= len(call.arguments):
            return []
        text = f"{call.arguments[place[0]]} {place[1]}"
        return [Given(call.base, self._kind.frequency, text, call.line, call.home)]

    def _sets(self, call: Registered) -> list[Given]:
        """Assignments to this clock's members: in the function that registers it, if any.

        What is assigned through another name is this clock's, too, if the file has no other, and
        no other structure has such a member.
        """
        mine = self._sets_of(call.base)
        near = [one for one in mine if one.home == call.home]
        if call.base not in self._parsed.structures and near:
            mine = near
        if len(self._bases) == 1 and len(self._parsed.structures) <= 1:
            lasting = (self._kind.frequency, self._kind.quality)
            mine += [
                one
                for one in self._parsed.sets
                if one.base != call.base
                and one.member in lasting
                and "_" in one.member
                and one.text != "0"
            ]
        return mine

    def _sets_of(self, base: str) -> list[Given]:
        return [one for one in self._parsed.sets if one.base == base]

    def _clock(
        self, table: Structure, call: Registered | None, given: Iterable[Given]
    ) -> ClockSource:
        line = call.line if call else table.line
        place = (self._file, line)
        path = self._holding.paths[self._file]
        around = tuple(self._holding.around(place))
        self._lacking = None
        refused = self._holding.refused(place)
        # Of a clock that is not compiled all is told; of another what is compiled of it.
        compiled = (one for one in given if refused or not self._refused(one))
        values = tuple(value for one in compiled for value in self._values(one, around))
        return ClockSource(
            self._kind.kind,
            Where(path, table.line),
            Where(path, line) if call else None,
            values,
            around,
            refused or self._lacking,
        )

    def _refused(self, given: Given) -> bool:
        return self._holding.refused_by_branch((self._file, given.line)) is not None

    def _values(self, given: Given, around: tuple[str, ...]) -> Iterator[ClockValue]:
        """What a member gets: of a parameter what the callers hand over.

        Conditions that the whole clock has (``around``) are left out.
        """
        place = (self._file, given.line)
        member = self._kind.members[given.member]
        callers = list(self._origins.callers(given))
        handed = [one for one in callers if not self._holding.refused(one[1:])]
        if callers and not handed:
            self._lacking = self._holding.refused(callers[0][1:])
        if not handed:
            origins = (
                ()
                if member == "reader"
                else self._origins.of(_UNIT.sub("", given.text), self._file, given.home)
            )
            conditions = tuple(one for one in self._holding.around(place) if one not in around)
            where = Where(self._holding.paths[self._file], given.line)
            yield ClockValue(member, given.text, where, conditions, origins)
        for text, file, line in handed:
            where = Where(self._holding.paths[file], line)
            conditions = tuple(self._holding.conditions((file, line)))
            yield ClockValue(member, text, where, conditions, self._origins.of(text, file, None))
