"""Where a value is when a guest stands still: in a register, in memory, nowhere.

Arguments at a function's first instruction are placed by the System V order (AMD64 ABI, section
3.2.3), which both the BSDs and Linux keep for C functions on x86-64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from timehands.kernels.types import Float, Func, Struct, Type, strip

#: The registers of integer arguments, in order.
ARGUMENTS: Final = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_EIGHTBYTE: Final = 8
_TWO_REGISTERS: Final = 16


@dataclass(frozen=True)
class InRegister:
    """In a register, by its name: ``rdi``."""

    name: str


@dataclass(frozen=True)
class InMemory:
    """In memory, at a virtual address."""

    address: int


@dataclass(frozen=True)
class Known:
    """Nowhere, but these are its bytes."""

    data: bytes


@dataclass(frozen=True)
class Gone:
    """Nowhere; ``why`` in words: ``optimised out``."""

    why: str = "optimised out"


@dataclass(frozen=True)
class Pieces:
    """In several places, each with its size in bytes, from the lowest byte on."""

    parts: tuple[tuple[Place, int], ...]


Place = InRegister | InMemory | Known | Gone | Pieces


def at_entry(function: Func, number: int, registers: Mapping[str, int]) -> Place:
    """Where an argument is at a function's first instruction.

    Args:
        function: its type; all its parameters matter.
        number: which, from 0.
        registers: ``rsp`` is needed for what is passed on the stack.
    """
    free, stack = list(ARGUMENTS), 0
    result = strip(function.result)
    if isinstance(result, Struct) and result.size > _TWO_REGISTERS:
        free.pop(0)  # the address for the result
    for index, (_, declared) in enumerate(function.parameters):
        kind = strip(declared)
        needed = -(-max(kind.size, 1) // _EIGHTBYTE)
        in_registers = needed <= min(2, len(free)) and not isinstance(kind, Float)
        if index == number and isinstance(kind, Float):
            return Gone("in a vector register")
        if index == number and in_registers:
            return _joined(free[:needed], kind)
        if index == number:
            return _on_stack(stack, registers)
        if in_registers:
            del free[:needed]
        elif not isinstance(kind, Float):
            stack += needed
    return Gone("no such argument")


def raw_argument(number: int) -> Place:
    """Where an integer argument is when nothing is known of the function; 0 to 5."""
    return InRegister(ARGUMENTS[number]) if 0 <= number < len(ARGUMENTS) else Gone("not known")


def _joined(names: list[str], kind: Type) -> Place:
    if len(names) == 1:
        return InRegister(names[0])
    rest = kind.size - _EIGHTBYTE
    return Pieces(((InRegister(names[0]), _EIGHTBYTE), (InRegister(names[1]), rest)))


def _on_stack(slot: int, registers: Mapping[str, int]) -> Place:
    if "rsp" not in registers:
        return Gone("on the stack, which is not known")
    return InMemory((registers["rsp"] + _EIGHTBYTE * (slot + 1)) % (1 << 64))
