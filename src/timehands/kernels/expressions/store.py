"""What an assignment writes, and where: ``tsc_freq = 2500000000``, ``$rax = 1``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from timehands.errors import ExpressionError, TimehandsError
from timehands.kernels.expressions.environment import Environment, Untyped
from timehands.kernels.expressions.evaluate import Evaluator
from timehands.kernels.expressions.parser import Assignment, parse_assignment
from timehands.kernels.places import InMemory, InRegister
from timehands.kernels.types import Enum, Int, Pointer, strip
from timehands.kernels.values import Value, literal

_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True)
class SetMemory:
    """Write ``data`` at a virtual address."""

    address: int
    data: bytes


@dataclass(frozen=True)
class SetRegister:
    """Write a 64-bit number into a register: ``rax``."""

    name: str
    value: int


def assign(text: str | Assignment, environment: Environment) -> SetMemory | SetRegister:
    """What to write for an assignment.

    A bit field's other bits are read, and written as they were.

    Raises:
        ExpressionError: it is none, its target is no place for a number, or a part of it has no
            value.
    """
    source = text if isinstance(text, str) else ""
    both = parse_assignment(text, environment.is_type) if isinstance(text, str) else text
    evaluator = Evaluator(environment, source)
    target = evaluator.number_in(evaluator.value(both.target), both.target)
    given = evaluator.number_in(evaluator.value(both.value), both.value)
    try:
        return store(target, given)
    except ExpressionError as error:
        raise evaluator.error(both.target, error.reason) from error


def store(target: Value, given: Value) -> SetMemory | SetRegister:
    """What to write so that ``target`` has the number ``given``. Raises `ExpressionError`."""
    kind = strip(target.type)
    if isinstance(kind, Untyped) or not isinstance(kind, Int | Enum | Pointer):
        raise ExpressionError(f"nothing can be assigned to a value of type {target.type}")
    try:
        data = _bytes(target, int(given), isinstance(kind, Int) and kind.kind == "bool")
    except TimehandsError as error:
        raise ExpressionError(f"this has no value: {error.message}") from error
    if isinstance(target.place, InMemory):
        return SetMemory(target.place.address, data)
    if isinstance(target.place, InRegister) and target.bits is None:
        return SetRegister(target.place.name, _widened(target, data))
    raise ExpressionError("this is neither in memory nor in a register")


def _bytes(target: Value, number: int, boolean: bool) -> bytes:
    number = int(number != 0) if boolean else number
    if target.bits is None:
        return literal(target.type, number, target.reading).raw()
    start, width = target.bits
    before = int.from_bytes(target.raw(), "little")
    mask = (1 << width) - 1 << start
    after = before & ~mask | number << start & mask
    return after.to_bytes(len(target.raw()), "little")


def _widened(target: Value, data: bytes) -> int:
    """What the whole register holds: as the processor does, writing 4 bytes clears the others."""
    if len(data) >= 4:
        return int.from_bytes(data, "little")
    name = target.place.name if isinstance(target.place, InRegister) else ""
    before = target.reading.registers.get(name, 0) & _MASK
    return before >> 8 * len(data) << 8 * len(data) | int.from_bytes(data, "little")
