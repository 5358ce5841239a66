"""The clocks that a tree can register: who registers, which structure, what it says of itself.

The files are found by the index (who calls ``tc_init``, who sets ``tc_get_timecount``); each is
then parsed again, for what the index does not keep: the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from tree_sitter import Language, Node, Parser, Query, QueryCursor
from tree_sitter_c import language

from timehands.errors import FileUnusable
from timehands.sources.code.mask import mask
from timehands.sources.code.model import ClockSource
from timehands.sources.code.parse import innermost
from timehands.sources.code.roles import DEAD, ROLE_MASK, Role
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of clock. ``registrars``: function to (argument of the frequency, its unit)."""

    kind: str
    structure: str
    registrars: dict[str, tuple[int, str] | None]
    name: str
    frequency: str
    quality: str
    reader: str

    @property
    def members(self) -> frozenset[str]:
        return frozenset((self.name, self.frequency, self.quality, self.reader))


#: sys/timetc.h and sys/timeet.h of the BSDs; linux/clocksource.h and linux/clockchips.h.
KINDS: Final = (
    _Kind("timecounter", "timecounter", {"tc_init": None},
          "tc_name", "tc_frequency", "tc_quality", "tc_get_timecount"),
    _Kind("event timer", "eventtimer", {"et_register": None},
          "et_name", "et_frequency", "et_quality", "et_start"),
    _Kind("clocksource", "clocksource",
          {"clocksource_register": None, "clocksource_register_hz": (1, "Hz"),
           "clocksource_register_khz": (1, "kHz"), "__clocksource_register": None,
           "__clocksource_register_scale": (2, "Hz")},
          "name", "freq_khz", "rating", "read"),
    _Kind("clockevent", "clock_event_device",
          {"clockevents_register_device": None, "clockevents_config_and_register": (1, "Hz")},
          "name", "mult", "rating", "set_next_event"),
)  # fmt: skip
_QUERY: Final = """
(declaration declarator: (init_declarator value: (initializer_list))) @table
(call_expression function: (identifier)) @call
(assignment_expression left: (field_expression)) @set
(function_definition) @function
"""
_MAX_FILES: Final = 2000
_MAX_TEXT: Final = 80


def clocks(index: Index) -> list[ClockSource]:
    """Every clock that the tree can register, by kind, file and line."""
    layouts = index.layouts()
    found: list[ClockSource] = []
    for kind in KINDS:
        members = [name.decode() for name in layouts.get(kind.structure.encode(), [])]
        for file in _files(index, kind):
            try:
                parsed = _File(file, index.tree.read(file), kind, members)
            except FileUnusable:
                continue
            found += parsed.clocks()
    order = [kind.kind for kind in KINDS]
    return sorted(found, key=lambda clock: (order.index(clock.kind), clock.where))


def _files(index: Index, kind: _Kind) -> list[str]:
    """Files that register such a clock, or set up its structure."""
    numbers: set[int] = set()
    wanted: list[tuple[str, list[Role]]] = [(name, [Role.CALL]) for name in kind.registrars]
    if "_" in kind.reader:
        wanted.append((kind.reader, [Role.DESIGNATOR, Role.WRITE]))
    for name, roles in wanted:
        rows = index.occurrences(name)
        role = rows[:, 2] & ROLE_MASK
        good = np.isin(role, roles) & ((rows[:, 2] & DEAD) == 0)
        numbers.update(rows[good, 0].tolist())
    return sorted(index.paths(numbers).values())[:_MAX_FILES]


@dataclass(slots=True)
class _Set:
    """``base``.``member`` = ``value``; the function starts at ``function`` (offset), or -1."""

    base: str
    member: str
    value: str
    line: int
    function: int


@dataclass(slots=True)
class _Table:
    """A structure with its initialiser."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)


class _File:
    """One file, parsed for one kind of clock."""

    def __init__(self, file: str, data: bytes, kind: _Kind, members: list[str]) -> None:
        self._file, self._data, self._kind, self._members = file, data, kind, members
        grammar = Language(language())
        code = mask(data).code
        found = QueryCursor(Query(grammar, _QUERY)).captures(Parser(grammar).parse(code).root_node)
        self._spans = sorted((n.start_byte, n.end_byte) for n in found.get("function", ()))
        self._tables = {t.name: t for n in found.get("table", ()) for t in self._table(n)}
        self._sets = [s for n in found.get("set", ()) if (s := self._set(n))]
        self._calls = [c for n in found.get("call", ()) if (c := self._call(n))]

    def _text(self, node: Node | None) -> str:
        if node is None:
            return ""
        text = self._data[node.start_byte : node.end_byte].decode(errors="replace")
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
        return " ".join(text.split())[:_MAX_TEXT]

    def _home(self, at: int) -> int:
        return next((start for start, end in self._spans if start <= at < end), -1)

    # ---- what stands in the file

    def _table(self, node: Node) -> Iterator[_Table]:
        kind = node.child_by_field_name("type")
        if kind is None or self._text(kind).split()[-1:] != [self._kind.structure]:
            return
        for declarator in node.children_by_field_name("declarator"):
            name, value = innermost(declarator), declarator.child_by_field_name("value")
            if name is None or value is None:
                continue
            table = _Table(self._text(name), name.start_point.row + 1)
            lists = [n for n in value.named_children if n.type == "initializer_list"]
            for place, child in enumerate((lists[0] if lists else value).named_children):
                member, text = self._value(place, child)
                if member in self._kind.members:
                    table.values[member] = text
            yield table

    def _value(self, place: int, node: Node) -> tuple[str, str]:
        if node.type != "initializer_pair":
            member = self._members[place] if place < len(self._members) else ""
            return member, self._text(node)
        designator = node.child_by_field_name("designator")
        return self._text(designator).lstrip("."), self._text(node.child_by_field_name("value"))

    def _set(self, node: Node) -> _Set | None:
        left = node.child_by_field_name("left")
        member = self._text(left.child_by_field_name("field")) if left else ""
        if left is None or member not in self._kind.members:
            return None
        base = _bare(self._text(left.child_by_field_name("argument")))
        value = self._text(node.child_by_field_name("right"))
        return _Set(base, member, value, node.start_point.row + 1, self._home(node.start_byte))

    def _call(self, node: Node) -> tuple[str, list[str], int, int] | None:
        function = self._text(node.child_by_field_name("function"))
        arguments = node.child_by_field_name("arguments")
        if function not in self._kind.registrars or arguments is None:
            return None
        texts = [self._text(child) for child in arguments.named_children]
        return function, texts, node.start_point.row + 1, self._home(node.start_byte)

    # ---- what that makes

    def clocks(self) -> Iterator[ClockSource]:
        """The clocks of this file."""
        seen = set()
        for function, arguments, line, home in self._calls:
            if not arguments:
                continue
            base = _bare(arguments[0])
            seen.add(base)
            table = self._tables.get(base.partition("[")[0], _Table(base, line))
            seen.add(table.name)
            sets = self._sets_of(base, home)
            told = ""
            if (place := self._kind.registrars[function]) and place[0] < len(arguments):
                told = f"{arguments[place[0]]} {place[1]}"
            if table.values or sets or told:
                yield self._clock(table, sets, Where(self._file, line), told)
        for name, table in self._tables.items():
            if name not in seen and self._kind.reader in table.values:
                yield self._clock(table, self._sets_of(name, -1), None, "")

    def _sets_of(self, base: str, home: int) -> list[_Set]:
        """Assignments to this clock's members: in the function that registers it, if any."""
        mine = [one for one in self._sets if one.base == base]
        near = [one for one in mine if one.function == home]
        return mine if base in self._tables or not near else near

    def _clock(
        self, table: _Table, sets: list[_Set], registered: Where | None, told: str
    ) -> ClockSource:
        kind = self._kind

        def value(member: str) -> str:
            values = [] if table.values.get(member) in (None, "0") else [table.values[member]]
            values += [one.value for one in sets if one.member == member]
            spoken = dict.fromkeys(text.strip('"') for text in values)
            return " or ".join(spoken) or table.values.get(member, "")

        return ClockSource(
            kind.kind,
            value(kind.name),
            told or value(kind.frequency),
            value(kind.quality),
            Where(self._file, table.line),
            registered,
            value(kind.reader),
            tuple((Where(self._file, s.line), f"{s.member} = {s.value}") for s in sets),
        )


def _bare(text: str) -> str:
    return text.strip("&() ").replace(" ", "")
