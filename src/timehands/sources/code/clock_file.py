"""What one file says of clocks of one kind: structures, assignments to members, registrations.

The index does not keep values; so a file that it points to is parsed again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tree_sitter import Node

from timehands.sources.code.clock_kinds import ClockKind
from timehands.sources.code.grammar import captures, in_order, innermost, is_too_deep
from timehands.sources.code.mask import mask

_QUERY: Final = """
(declaration declarator: (init_declarator value: (initializer_list))) @table
(call_expression function: (identifier)) @call
(assignment_expression left: (field_expression)) @set
(function_definition) @function
(pointer_expression argument: (field_expression)) @address
(update_expression argument: (field_expression)) @update
"""
_MAX_TEXT: Final = 80
_LONGEST: Final = 4000
_LARGEST: Final = 4 << 20
_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DESIGNATED: Final = re.compile(r"^\s*\.\s*\w+\s*=")


@dataclass(frozen=True, slots=True)
class Home:
    """A function: its name, its parameters in their order, its first and last line."""

    name: str
    parameters: tuple[str, ...]
    line: int
    last: int


@dataclass(frozen=True, slots=True)
class Given:
    """``base.member`` gets ``text`` on ``line``, in a function (None: where it is defined)."""

    base: str
    member: str
    text: str
    line: int
    home: Home | None = None


@dataclass(slots=True)
class Structure:
    """A clock's structure with its initialiser."""

    name: str
    line: int
    values: list[Given] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Registered:
    """A call that registers: the structure that it names, and its arguments."""

    function: str
    base: str
    arguments: tuple[str, ...]
    line: int
    home: Home | None


class ClockFile:
    """One file, parsed for one kind of clock. ``members``: of the structure, in their order."""

    def __init__(self, data: bytes, kind: ClockKind, members: list[str]) -> None:
        data = data if len(data) <= _LARGEST else b""
        self._data, self._kind, self._members = data, kind, members
        code = mask(data).code
        captured = {} if is_too_deep(code) else captures(code, _QUERY)
        found = {name: in_order(nodes) for name, nodes in captured.items()}
        homes = (self._function(node) for node in found.get("function", ()))
        self._homes = _outer(one for one in homes if one)
        tables = (one for node in found.get("table", ()) for one in self._table(node))
        self.structures = {one.name: one for one in tables}
        sets = [self._set(node) for node in found.get("set", ())]
        sets += [self._stored(node) for node in found.get("address", ())]
        sets += [self._updated(node) for node in found.get("update", ())]
        self.sets = sorted((one for one in sets if one), key=lambda one: one.line)
        calls = (self._call(node) for node in found.get("call", ()))
        self.calls = sorted((one for one in calls if one), key=lambda one: one.line)

    def _text(self, node: Node | None) -> str:
        if node is None:
            return ""
        end = min(node.end_byte, node.start_byte + _LONGEST)
        return plain(self._data[node.start_byte : end].decode(errors="replace"))

    def _home(self, node: Node) -> Home | None:
        """The function that a node stands in."""
        line = node.start_point.row + 1
        at = bisect_left(self._homes, line, key=lambda one: one.last)
        found = self._homes[at] if at < len(self._homes) else None
        return found if found and found.line <= line else None

    def _function(self, node: Node) -> Home | None:
        declarator = node.child_by_field_name("declarator")
        name = innermost(declarator)
        while declarator is not None and declarator.type != "function_declarator":
            declarator = declarator.child_by_field_name("declarator")
        if declarator is None or name is None:
            return None
        parameters = declarator.child_by_field_name("parameters")
        names = [
            self._text(innermost(one.child_by_field_name("declarator")))
            for one in (parameters.named_children if parameters else ())
        ]
        first, last = node.start_point.row + 1, node.end_point.row + 1
        return Home(self._text(name), tuple(names), first, last)

    # ---- structures

    def _table(self, node: Node) -> Iterator[Structure]:
        kind = node.child_by_field_name("type")
        if kind is None or self._text(kind).split()[-1:] != [self._kind.structure]:
            return
        for declarator in node.children_by_field_name("declarator"):
            name, value = innermost(declarator), declarator.child_by_field_name("value")
            if name is None or value is None:
                continue
            table = Structure(self._text(name), name.start_point.row + 1)
            lists = [one for one in value.named_children if one.type == "initializer_list"]
            for place, child in enumerate((lists[0] if lists else value).named_children):
                table.values += self._values(table.name, place, child)
            yield table

    def _values(self, base: str, place: int, node: Node) -> Iterator[Given]:
        if node.type == "initializer_pair":
            member = self._text(node.child_by_field_name("designator")).lstrip(".")
            value = node.child_by_field_name("value")
        else:
            member = self._members[place] if place < len(self._members) else ""
            value = node
        if member not in self._kind.members or value is None:
            return
        several = list(self._alternatives(node))
        if not several:
            several = [(self._text(value), value.start_point.row + 1)]
        for text, line in several:
            yield Given(base, member, _spoken(member, text), line)

    def _alternatives(self, node: Node) -> Iterator[tuple[str, int]]:
        """The values of one member of which ``#if`` decides: each on a line of its own."""
        after = node.next_sibling
        end = after.end_byte if after is not None else node.end_byte
        while after is not None and after.type in (",", "comment"):
            after = after.next_sibling
            end = after.start_byte if after is not None else end
        cut = slice(node.start_byte, min(end, node.start_byte + _LONGEST))
        text = self._data[cut].decode(errors="replace")
        if "\n#" not in text.replace("\n ", "\n").replace("\n\t", "\n"):
            return
        shown = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
        for line, one in enumerate(shown.split("\n"), node.start_point.row + 1):
            value = _DESIGNATED.sub("", one).strip().rstrip(",};").strip()
            if value and not value.startswith("#"):
                yield value, line

    # ---- in functions

    def _set(self, node: Node) -> Given | None:
        base, member = self._field(node.child_by_field_name("left"))
        if not member:
            return None
        operator = self._text(node.child_by_field_name("operator"))
        value = self._text(node.child_by_field_name("right"))
        text = _spoken(member, value) if operator in ("=", "") else f"{operator} {value}"
        return Given(base, member, text, node.start_point.row + 1, self._home(node))

    def _updated(self, node: Node) -> Given | None:
        """``clock.rating++``."""
        base, member = self._field(node.child_by_field_name("argument"))
        sign = self._text(node.child_by_field_name("operator"))[:1]
        if not member:
            return None
        return Given(base, member, f"{sign}= 1", node.start_point.row + 1, self._home(node))

    def _stored(self, node: Node) -> Given | None:
        """``store(&clock.frequency, value)``."""
        base, member = self._field(node.child_by_field_name("argument"))
        arguments = node.parent
        if not member or arguments is None or arguments.type != "argument_list":
            return None
        rest = [self._text(one) for one in arguments.named_children[1:]]
        called = self._text(arguments.prev_sibling)
        if len(rest) != 1 or not any(word in called for word in ("store", "set")):
            return None
        return Given(base, member, rest[0], node.start_point.row + 1, self._home(node))

    def _field(self, node: Node | None) -> tuple[str, str]:
        if node is None or node.type != "field_expression":
            return "", ""
        member = self._text(node.child_by_field_name("field"))
        if member not in self._kind.members:
            return "", ""
        return bare(self._text(node.child_by_field_name("argument"))), member

    def _call(self, node: Node) -> Registered | None:
        function = self._text(node.child_by_field_name("function"))
        arguments = node.child_by_field_name("arguments")
        if function not in self._kind.registrars or arguments is None:
            return None
        texts = tuple(self._text(child) for child in arguments.named_children)
        if not texts:
            return None
        home = self._home(node)
        return Registered(function, bare(texts[0]), texts, node.start_point.row + 1, home)


def _outer(homes: Iterable[Home]) -> list[Home]:
    """Functions in their order, without those that stand within another."""
    found: list[Home] = []
    for one in sorted(homes, key=lambda one: one.line):
        if not found or one.last > found[-1].last:
            found.append(one)
    return found


def _spoken(member: str, text: str) -> str:
    """Linux's ``mult`` is no frequency, but made from one."""
    return f"{member} {text}" if member == "mult" else text


def plain(text: str) -> str:
    """A piece of C on one line, without comments."""
    return " ".join(_COMMENT.sub(" ", text).split())[:_MAX_TEXT]


def bare(text: str) -> str:
    """What an expression names, without ``&`` and brackets around it."""
    return text.strip("&() ").replace(" ", "")
