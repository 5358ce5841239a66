"""The structure of one C file, by tree-sitter: functions, declarations, initialisers, types.

What tree-sitter cannot parse is counted and named by its line; functions within it whose braces
stand as kernels write them (`timehands.sources.code.bodies`) are found all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tree_sitter import Node

from timehands.sources.code.bodies import Body, bodies, hidden
from timehands.sources.code.brief import brief
from timehands.sources.code.grammar import captures, in_order, innermost, is_too_deep
from timehands.sources.code.mask import parsable
from timehands.sources.code.roles import KEYWORDS

_QUERY: Final = """
(function_definition) @function
(declaration declarator: (identifier) @name)
(init_declarator declarator: (identifier) @name)
(pointer_declarator declarator: (identifier) @name)
(array_declarator declarator: (identifier) @name)
(parameter_declaration declarator: (identifier) @parameter)
(parameter_declaration declarator: (pointer_declarator declarator: (identifier) @parameter))
(parameter_declaration declarator: (array_declarator declarator: (identifier) @parameter))
(parameter_declaration declarator: (pointer_declarator declarator: [
  (pointer_declarator declarator: [(identifier) @parameter
    (pointer_declarator declarator: (identifier) @parameter)])
  (array_declarator declarator: (identifier) @parameter)]))
(parameter_declaration declarator: (array_declarator declarator: [
  (array_declarator declarator: (identifier) @parameter)
  (parenthesized_declarator (pointer_declarator declarator: (identifier) @parameter))]))
(parameter_declaration declarator: (function_declarator declarator: (parenthesized_declarator
  (pointer_declarator declarator: [(identifier) @parameter
    (pointer_declarator declarator: (identifier) @parameter)
    (array_declarator declarator: (identifier) @parameter)]))))
(declaration (storage_class_specifier) @storage) @stored
(translation_unit (declaration declarator: (init_declarator value: (initializer_list))) @table)
(field_declaration declarator: (_) @member)
(struct_specifier name: (type_identifier) @type body: (_) @body)
(union_specifier name: (type_identifier) @type body: (_))
(enum_specifier name: (type_identifier) @type body: (_))
(type_definition declarator: (type_identifier) @type)
(enumerator name: (identifier) @enumerator)
(ERROR) @error
"""
_MAX_VALUES: Final = 4000
_MAX_ERRORS: Final = 3
#: Initialisers within one another.
_MAX_DEPTH: Final = 12


class Span(NamedTuple):
    """A function, from its first word to its last brace. ``body`` is where its braces open."""

    start: int
    body: int
    end: int
    name: bytes
    at: int
    static: bool


class Value(NamedTuple):
    """An identifier in the initialiser of a structure, and which member it initialises.

    ``member`` is empty where only its ``place`` (from 0) is known.
    """

    at: int
    name: bytes
    type: bytes
    member: bytes
    place: int


@dataclass(slots=True)
class Structure:
    """Offsets of what tree-sitter found in one file. Lists are in no order."""

    functions: list[Span] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    externs: list[tuple[int, int]] = field(default_factory=list)
    tables: list[tuple[int, int]] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    enumerators: list[int] = field(default_factory=list)
    layouts: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    recovered: int = 0


def parse(code: bytes) -> Structure:
    """The structure of a masked file (`timehands.sources.code.mask.Masked.code`)."""
    found_bodies = bodies(code)
    short, places = brief(code, hidden(code, found_bodies))
    if is_too_deep(short):
        structure = Structure(errors=[0])
        _recover(structure, code, found_bodies)
        return structure
    short = parsable(short)
    found = captures(short, _QUERY)
    structure = Structure()
    for node in found.get("function", ()):
        if span := _function(node, short):
            structure.functions.append(span)
    structure.names = [node.start_byte for node in found.get("name", ())]
    structure.parameters = [node.start_byte for node in found.get("parameter", ())]
    structure.types = [node.start_byte for node in found.get("type", ())]
    structure.enumerators = [node.start_byte for node in found.get("enumerator", ())]
    structure.errors = sorted({node.start_byte for node in found.get("error", ())})
    _externs(structure, found, short)
    _tables(structure, in_order(found.get("table", ())), short)
    _members(structure, found, short)
    _move(structure, places)
    _recover(structure, code, found_bodies)
    return structure


def _move(structure: Structure, places: NDArray[np.int64]) -> None:
    """Offsets in the shorter text become those in the whole one."""

    def moved(offsets: list[int]) -> list[int]:
        found: list[int] = places[offsets].tolist() if offsets else []
        return found

    def ranges(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(int(places[start]), int(places[end - 1]) + 1) for start, end in pairs]

    structure.functions = [
        Span(
            int(places[one.start]),
            int(places[one.body]),
            int(places[one.end - 1]) + 1,
            one.name,
            int(places[one.at]),
            one.static,
        )
        for one in structure.functions
    ]
    structure.values = [one._replace(at=int(places[one.at])) for one in structure.values]
    structure.names, structure.parameters = moved(structure.names), moved(structure.parameters)
    structure.types, structure.enumerators = moved(structure.types), moved(structure.enumerators)
    structure.members = moved(structure.members)
    structure.errors = moved(structure.errors)
    structure.externs, structure.tables = ranges(structure.externs), ranges(structure.tables)


def _text(node: Node, code: bytes) -> bytes:
    return code[node.start_byte : node.end_byte]


def _made_name(name: Node, declarator: Node) -> Node:
    """What ``__CONCAT(pmap_, init)(void)`` defines is found by the last of the macro's words."""
    while declarator.start_byte < name.start_byte or declarator.type != "function_declarator":
        inner = declarator.child_by_field_name("declarator")
        if inner is None:
            return name
        declarator = inner
    inner = declarator.child_by_field_name("declarator")
    if inner is None or inner.type != "function_declarator":
        return name
    parameters = inner.child_by_field_name("parameters")
    last = parameters.named_children[-1:] if parameters else []
    found = last[0].child_by_field_name("type") if last else None
    return found if found is not None and found.type == "type_identifier" else name


def _function(node: Node, code: bytes) -> Span | None:
    declarator, body = node.child_by_field_name("declarator"), node.child_by_field_name("body")
    name = innermost(declarator)
    if name is None or body is None:
        return None
    if declarator is not None:
        name = _made_name(name, declarator)
    if _text(name, code) in KEYWORDS:
        return None
    static = b"static" in code[node.start_byte : name.start_byte].split()
    return Span(
        node.start_byte,
        body.start_byte,
        node.end_byte,
        _text(name, code),
        name.start_byte,
        static,
    )


def _externs(structure: Structure, found: dict[str, list[Node]], code: bytes) -> None:
    """Declarations that start with ``extern``."""
    extern = {
        node.start_byte for node in found.get("storage", ()) if _text(node, code) == b"extern"
    }
    for node in found.get("stored", ()):
        if node.start_byte in extern:
            structure.externs.append((node.start_byte, node.end_byte))


def _tables(structure: Structure, nodes: list[Node], code: bytes) -> None:
    for node in nodes:
        kind = node.child_by_field_name("type")
        name = kind.child_by_field_name("name") if kind else None
        type_name = _text(name, code) if name else b""
        for declarator in node.children_by_field_name("declarator"):
            value = declarator.child_by_field_name("value")
            if value is None or value.type != "initializer_list":
                continue
            structure.tables.append((value.start_byte, value.end_byte))
            left = declarator.child_by_field_name("declarator")
            is_array = left is not None and left.type == "array_declarator"
            if b"struct" in _text(kind, code)[:6] if kind else False:
                structure.values.extend(_values(value, code, type_name, is_array))


def _values(
    node: Node, code: bytes, type_name: bytes, is_array: bool, depth: int = 0
) -> Iterator[Value]:
    """The identifiers in an initialiser of a structure, or of an array of them."""
    children = node.named_children
    if len(children) > _MAX_VALUES:
        return
    for place, child in enumerate(children):
        if is_array and child.type == "initializer_list":
            yield from _values(child, code, type_name, False)
        elif child.type == "initializer_pair":
            yield from _pair(child, code, type_name, is_array, depth)
        elif not is_array and (name := _named(child)):
            yield Value(name.start_byte, _text(name, code), type_name, b"", place)


def _pair(node: Node, code: bytes, type_name: bytes, is_array: bool, depth: int) -> Iterator[Value]:
    value = node.child_by_field_name("value")
    if value is not None and value.type == "initializer_list" and is_array:
        yield from _values(value, code, type_name, False)
        return
    designators = node.children_by_field_name("designator")
    if value is None or not designators or designators[-1].type != "field_designator":
        return
    member = _text(designators[-1], code).lstrip(b". \t\n")
    if value.type == "initializer_list":
        if depth < _MAX_DEPTH:
            inner = _values(value, code, b"", False, depth + 1)
            yield from (one for one in inner if one.member)
    elif name := _named(value):
        yield Value(name.start_byte, _text(name, code), type_name, member, 0)


def _named(node: Node) -> Node | None:
    """The identifier that a value is, also behind ``&`` or a cast."""
    for _ in range(4):
        if node.type == "identifier":
            return node
        inner = node.child_by_field_name("argument") or node.child_by_field_name("value")
        if node.type not in ("pointer_expression", "cast_expression") or inner is None:
            return None
        node = inner
    return None


def _members(structure: Structure, found: dict[str, list[Node]], code: bytes) -> None:
    """The members' names, and by structure in their order."""
    names = [name for node in found.get("member", ()) if (name := innermost(node))]
    structure.members = sorted({name.start_byte for name in names})
    for node in in_order(found.get("body", ())):
        parent = node.parent
        name = parent.child_by_field_name("name") if parent else None
        if name is not None and node.named_child_count <= 256:
            structure.layouts.append((_text(name, code), list(_layout(node, code))))


def _layout(body: Node, code: bytes) -> Iterator[bytes]:
    for child in body.named_children:
        if child.type == "field_declaration":
            for declarator in child.children_by_field_name("declarator"):
                name = innermost(declarator)
                yield _text(name, code) if name else b""


def _recover(structure: Structure, code: bytes, found: list[Body]) -> None:
    """Functions that were not seen: the braces of one, a name with parentheses."""
    known = {span.body for span in structure.functions}
    for body in found:
        if body.start not in known and (span := _header(code, body.start, body.end + 1)):
            structure.functions.append(span)
            structure.recovered += 1


def _header(code: bytes, body: int, end: int) -> Span | None:
    """The function whose body starts here, by what stands before it."""
    base = max(0, body - 3000, code.rfind(b"}", 0, body) + 1)
    before = code[base:body]
    blank = before.rfind(b"\n\n")
    if blank >= 0 and before[blank:].strip():
        base, before = base + blank + 2, before[blank + 2 :]
    found = re.match(rb"\s*+([\w \t\n*]*?)\b(\w++)[ \t]*+\(", before)
    if not found or b"=" in before or found[2] in KEYWORDS:
        return None
    return Span(
        base + found.start(1),
        body,
        end,
        found[2],
        base + found.start(2),
        b"static" in found[1].split(),
    )
