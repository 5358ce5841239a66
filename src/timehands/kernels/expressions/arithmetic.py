"""C's integer arithmetic (C11, 6.3.1 and 6.5), with what it leaves open settled: numbers wrap
around, and shifts of negative numbers keep the sign, as gcc and clang do on x86-64."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final

from timehands.kernels.types import (
    INT,
    LONG,
    UNSIGNED,
    UNSIGNED_LONG,
    Enum,
    Int,
    Type,
    strip,
)

_INT_BYTES: Final = 4

OPERATORS: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def promoted(of: Type, bits: int = 0) -> Int | None:
    """The type that a value counts as: integer promotion. None when it is no integer.

    ``bits`` is the width of a bit field, 0 for anything else.
    """
    kind = strip(of)
    if not isinstance(kind, Int | Enum):
        return None
    if bits and (bits < 32 or (bits == 32 and kind.signed)):
        return INT
    if kind.size < _INT_BYTES:
        return INT
    if kind.size == _INT_BYTES:
        return INT if kind.signed else UNSIGNED
    return LONG if kind.signed else UNSIGNED_LONG


def balanced(one: Int, other: Int) -> Int:
    """The type that an operator on two promoted values computes in."""
    if one.bytes == other.bytes:
        return one if not one.signed else other
    return max(one, other, key=lambda kind: kind.bytes)


def wrapped(value: int, kind: Int) -> int:
    """A number cut to a type's width."""
    width = 8 * kind.bytes
    value &= (1 << width) - 1
    return value - (1 << width) if kind.signed and value >> (width - 1) else value


def divided(left: int, right: int) -> int:
    """The quotient, rounded towards zero; ``right`` is not 0."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def constant_type(value: int, decimal: bool, unsigned: bool, long: bool) -> Int:
    """The type of a constant (C11, 6.4.4.1): the first that holds it."""
    for kind in (INT, UNSIGNED, LONG, UNSIGNED_LONG):
        if long and kind.bytes == _INT_BYTES:
            continue
        if kind.signed and unsigned:
            continue
        if not kind.signed and decimal and not unsigned and kind is not UNSIGNED_LONG:
            continue
        if value < 1 << (8 * kind.bytes - kind.signed):
            return kind
    return UNSIGNED_LONG
