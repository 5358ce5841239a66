"""What the names in an expression mean, at one stop of a guest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from timehands.kernels.places import InMemory, raw_argument
from timehands.kernels.symbols import Symbol, SymbolTable
from timehands.kernels.types import (
    INT,
    LONG,
    UNSIGNED,
    UNSIGNED_LONG,
    VOID,
    Func,
    Type,
    Types,
    common,
    is_keyword,
)
from timehands.kernels.values import Reading, Value, literal, register_value

_ARGUMENT: Final = re.compile(r"arg([0-5])", re.ASCII)
_CODE_LETTERS: Final = "tTwWiI"


@dataclass(frozen=True)
class Untyped(Type):
    """A symbol of which only the address is known; ``bytes`` is its size, 0 when not known."""

    name: str
    bytes: int

    @property
    def size(self) -> int:
        return self.bytes


@dataclass(frozen=True)
class Environment:
    """Names and what they stand for. In this order: locals, variables and functions with types,
    constants, ``arg0`` to ``arg5``, enumerations' names, symbols.

    Attributes:
        reading: memory, registers, and symbols.
        types: the kernel's types, None when it tells none.
        constants: named numbers, such as ``CPUID_TSC``.
        locals: arguments and local variables where the guest stands, by name.
        sizes: a symbol's own size in bytes by its name, None when not known.
    """

    reading: Reading
    types: Types | None = None
    constants: Mapping[str, int] = field(default_factory=dict)
    locals: Callable[[str], Value | None] = lambda _: None
    sizes: Callable[[str], int | None] = lambda _: None

    @property
    def symbols(self) -> SymbolTable:
        """The kernel's symbols; empty when it has none."""
        return self.reading.symbols or SymbolTable.empty()

    def is_type(self, name: str) -> bool:
        """Whether a name is a type, and nothing nearer at hand."""
        if is_keyword(name):
            return True
        return self.locals(name) is None and self.named_type(name) is not None

    def named_type(self, name: str) -> Type | None:
        """A typedef, or a name that means the same in every kernel."""
        found = self.types.named(name) if self.types else None
        return found or common(name)

    def lookup(self, name: str) -> Value | None:
        """What a name stands for, None when nothing."""
        ways = (self.locals, self._typed, self._named_number, self._argument, self._enumerator)
        for way in (*ways, self._symbol):
            found = way(name)
            if found is not None:
                return found
        return None

    def register(self, name: str) -> Value | None:
        """A register, or ``arg0`` to ``arg5``, by its name without the sign."""
        found = register_value(name, self.reading)
        return found if found is not None else self._argument(name)

    def _typed(self, name: str) -> Value | None:
        if self.types is None or (len(self.symbols) and name not in self.symbols):
            return None
        variable = self.types.variable(name)
        if variable is not None:
            return Value(variable.type, self.reading, InMemory(variable.address))
        function = self.types.function(name)
        if function is not None and function.low_pc is not None:
            return Value(function.type, self.reading, InMemory(function.low_pc))
        return None

    def _named_number(self, name: str) -> Value | None:
        return constant(self.constants[name], self.reading) if name in self.constants else None

    def _enumerator(self, name: str) -> Value | None:
        value = self.types.constant(name) if self.types else None
        return None if value is None else constant(value, self.reading)

    def _symbol(self, name: str) -> Value | None:
        symbols = self.symbols.symbols(name)
        if not symbols:
            return None
        return Value(self._symbol_type(symbols[0]), self.reading, InMemory(symbols[0].address))

    def _symbol_type(self, symbol: Symbol) -> Type:
        if symbol.type in _CODE_LETTERS:
            return Func(lambda: VOID, tuple)
        return Untyped(symbol.name, self.sizes(symbol.name) or 0)

    def _argument(self, name: str) -> Value | None:
        match = _ARGUMENT.fullmatch(name)
        if match is None or not self.reading.registers:
            return None
        return Value(UNSIGNED_LONG, self.reading, raw_argument(int(match[1])))


def constant(value: int, reading: Reading) -> Value:
    """A number as C types a hexadecimal constant: the first of these that holds it."""
    for kind in (INT, UNSIGNED, LONG):
        top = 1 << (8 * kind.bytes - kind.signed)
        if -top * kind.signed <= value < top:
            return literal(kind, value, reading)
    return literal(UNSIGNED_LONG, value, reading)
