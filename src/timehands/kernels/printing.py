"""Values as text, in the way of gdb: ``{tc_frequency = 1193182, tc_name = 0x... "i8254"}``."""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Final

from timehands.errors import KernelDamaged, TimehandsError, ValueUnreadable
from timehands.kernels.types import (
    CHAR,
    Array,
    Enum,
    Float,
    Func,
    Int,
    Pointer,
    Struct,
    Void,
    is_char,
    strip,
)
from timehands.kernels.values import Value, escape

_MAX_TEXT: Final = 20_000
#: So many equal elements are printed once (gdb: set print repeats).
_REPEATS: Final = 10
_TEXT: Final = frozenset((*range(32, 127), *b"\t\n\r"))
_MAX_FLAGS: Final = 64


class Printer:
    """Prints one value.

    Args:
        depth: structures and arrays within each other that are printed, at least 0.
        elements: of an array or a string that are printed.
    """

    def __init__(self, depth: int, elements: int) -> None:
        self._depth = depth
        self._elements = elements
        self._printed = 0

    def text(self, value: Value) -> str:
        """The value. Never raises for what the guest holds: says what cannot be read."""
        try:
            return self._any(value, self._depth)
        except TimehandsError as error:
            return f"<{getattr(error, 'message', error)}>"

    def _inner(self, value: Value, depth: int) -> str:
        try:
            shown = self._any(value, depth)
        except (ValueUnreadable, KernelDamaged) as error:
            shown = f"<{error.message}>"
        self._printed += len(shown)
        return shown

    def _any(self, value: Value, depth: int) -> str:
        kind = strip(value.type)
        if isinstance(kind, Struct):
            return self._struct(value, kind, depth)
        if isinstance(kind, Array):
            return self._array(value, kind, depth)
        if isinstance(kind, Pointer):
            return self._pointer(value, kind)
        if isinstance(kind, Func):
            return f"{{{value.type}}} {self._address(value, int(value))}"
        if isinstance(kind, Float):
            return _float(value.raw())
        if isinstance(kind, Void):
            return "void"
        number = int(value)
        if isinstance(kind, Enum):
            return _enum(kind, number)
        return _number(kind, number) if isinstance(kind, Int) else str(number)

    def _struct(self, value: Value, kind: Struct, depth: int) -> str:
        if not kind.complete:
            return "<incomplete type>"
        if depth <= 0:
            return "{...}"
        parts = []
        for member in kind.members:
            if self._printed > _MAX_TEXT:
                parts.append("...")
                break
            shown = self._inner(value.at_member(member), depth - 1)
            parts.append(f"{member.name} = {shown}" if member.name else shown)
        return "{" + ", ".join(parts) + "}"

    def _array(self, value: Value, kind: Array, depth: int) -> str:
        if is_char(kind.element) and kind.count and (text := self._text(value, kind.count)):
            return text
        if depth <= 0 and isinstance(strip(kind.element), Struct | Array):
            return "{...}"
        count = kind.count or 0
        shown = []
        for index in range(min(count, self._elements)):
            if self._printed > _MAX_TEXT:
                count = index + 1
                break
            shown.append(self._inner(value.element(index), depth - 1))
        return "{" + ", ".join(_folded(shown)) + ("..." if count > len(shown) else "") + "}"

    def _text(self, value: Value, count: int) -> str | None:
        """An array of characters as a string; None when it holds other bytes than text."""
        shown = min(count, self._elements)
        part = Value(Array(lambda: CHAR, shown), value.reading, value.place)
        data = part.raw().rstrip(b"\0")
        if any(byte not in _TEXT for byte in data):
            return None
        return f'"{escape(data)}"' + ("..." if count > shown and len(data) == shown else "")

    def _pointer(self, value: Value, kind: Pointer) -> str:
        address = int(value)
        if not is_char(kind.target) or not address:
            return self._address(value, address) if address else "0x0"
        try:
            data, whole = value.characters(self._elements)
        except ValueUnreadable as error:
            return f"{address:#x} <{error.message}>"
        return f'{address:#x} "{escape(data)}"' + ("" if whole else "...")

    def _address(self, value: Value, address: int) -> str:
        """A number, and the symbol that it lies in."""
        symbols = value.reading.symbols
        place = symbols.find(address) if symbols else None
        if place is None:
            return f"{address:#x}"
        offset = f"+{place.offset}" if place.offset else ""
        return f"{address:#x} <{place.name}{offset}>"


def _folded(shown: list[str]) -> list[str]:
    """Many equal elements in a row, said once."""
    parts = []
    for text, run in groupby(shown):
        count = len(list(run))
        parts += [f"{text} <repeats {count} times>"] if count >= _REPEATS else [text] * count
    return parts


def _number(kind: Int, number: int) -> str:
    if kind.kind == "bool" and number in (0, 1):
        return "true" if number else "false"
    if kind.kind == "char" and kind.bytes == 1:
        quoted = escape(bytes([number & 0xFF])).replace('\\"', '"').replace("'", "\\'")
        return f"{number} '{quoted}'"
    return str(number)


def _enum(kind: Enum, number: int) -> str:
    for name, value in kind.values.items():
        if value == number:
            return name
    flags = [
        (name, value) for name, value in kind.values.items() if value and not value & value - 1
    ]
    there = [name for name, value in flags[:_MAX_FLAGS] if value & number]
    rest = number & ~sum(value for _, value in flags[:_MAX_FLAGS] if value & number)
    if there and number > 0:
        return "(" + " | ".join([*there, *([f"unknown: {rest:#x}"] if rest else [])]) + ")"
    return str(number)


def _float(data: bytes) -> str:
    formats = {4: "<f", 8: "<d"}
    if len(data) not in formats:
        return f"<a floating point number of {len(data)} bytes>"
    return f"{struct.unpack(formats[len(data)], data)[0]:.17g}"
