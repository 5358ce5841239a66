"""What a parsed expression is: nodes with the place in the text that they came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Number:
    """A constant; ``unsigned`` and ``long`` by its suffix, ``decimal`` by its digits."""

    position: int
    value: int
    decimal: bool = True
    unsigned: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, function, symbol or constant."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Register:
    """``$rax``: its name without the sign."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x``, ``*x``, ``&x``, ``!x``, ``~x``, ``+x``, ``sizeof x``."""

    position: int
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands, also of ``&&`` and ``||``."""

    position: int
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? yes : no``."""

    position: int
    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class MemberOf:
    """``owner.name`` or ``owner->name``."""

    position: int
    owner: Node
    name: str
    arrow: bool


@dataclass(frozen=True, slots=True)
class Index:
    """``owner[index]``."""

    position: int
    owner: Node
    index: Node


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as written: ``struct timecounter *``: its words, the pointers, the array counts."""

    position: int
    words: tuple[str, ...]
    pointers: int = 0
    counts: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """As C writes it."""
        return " ".join(self.words) + (" " + "*" * self.pointers if self.pointers else "")


@dataclass(frozen=True, slots=True)
class Cast:
    """``(type)operand``."""

    position: int
    to: TypeName
    operand: Node


@dataclass(frozen=True, slots=True)
class SizeOf:
    """``sizeof(type)``."""

    position: int
    of: TypeName


Node = Number | Name | Register | Unary | Binary | Conditional | MemberOf | Index | Cast | SizeOf
