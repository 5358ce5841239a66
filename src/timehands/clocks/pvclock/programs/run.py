"""Executes a program alone, in program order: what a reader gets from a page that stands still."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs.ops import (
    Accept,
    Branch,
    CompareSwap,
    Compute,
    Load,
    Op,
    Program,
    ReadTsc,
    Refuse,
    Store,
    Swap,
    Update,
)

#: Instructions after which a program that has not ended is given up: its version stays odd.
MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    ``time`` is None when it gave none: ``why`` says the reason. ``nsec`` is a wall clock's.
    ``ended`` is False when it was given up.
    """

    time: int | None
    nsec: int | None = None
    why: str = ""
    ended: bool = True


def memory_of(info: TimeInfo, last: int = 0) -> dict[str, int]:
    """A page as the fields that programs know, and the last value of the guest."""
    return {**asdict(info), "last": last}


def run(
    program: Program,
    memory: MutableMapping[str, int],
    tsc: Callable[[], int],
    inputs: Mapping[str, int] | None = None,
    most_steps: int = MOST_STEPS,
) -> Ran:
    """Execute a program on ``memory``, which it changes; ``tsc`` is asked at each RDTSC.

    Ends after ``most_steps`` instructions at the latest: a page whose version never becomes even
    is a `Ran` with a reason. Raises `KeyError` for a field that the memory does not have.
    """
    registers = dict(inputs or {})
    at = 0
    for _step in range(most_steps):
        if at == len(program.ops):
            return Ran(None, why="the program ends without a time")
        op = program.ops[at]
        match op:
            case Accept():
                nsec = registers[op.nsec] if op.nsec else None
                return Ran(registers[op.time], nsec)
            case Refuse():
                return Ran(None, why=op.why)
            case Branch():
                taken = op.condition is None or op.condition(*(registers[r] for r in op.of))
                at = program.target(op) if taken else at + 1
            case _:
                _execute(op, registers, memory, tsc)
                at += 1
    return Ran(None, why=f"no consistent page within {most_steps} instructions", ended=False)


def _execute(
    op: Op,
    registers: dict[str, int],
    memory: MutableMapping[str, int],
    tsc: Callable[[], int],
) -> None:
    """One instruction that goes on to the next. A fence does nothing: nobody else is there."""
    match op:
        case Load():
            registers[op.into] = memory[op.field]
        case Store() | Swap():
            memory[op.field] = registers[op.register]
        case ReadTsc():
            registers[op.into] = tsc()
        case Compute():
            registers[op.into] = op.function(*(registers[r] for r in op.of))
        case Update():
            memory[op.field] = op.function(memory[op.field])
        case CompareSwap():
            registers[op.into] = memory[op.field]
            if memory[op.field] == registers[op.expected]:
                memory[op.field] = registers[op.new]
