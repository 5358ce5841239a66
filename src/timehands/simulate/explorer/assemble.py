"""Programs as a thread: copies one after another, registers numbered, orders worked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from timehands.clocks.pvclock.programs import ops as o
from timehands.simulate.explorer.orders import Order, needless, waits


class Kind(IntEnum):
    """What an instruction does. Those below `STORE` are seen by, or depend on, other threads."""

    LOAD = 0
    TSC = 1
    ATOMIC = 2
    UPDATE = 3
    STORE = 4
    FENCE = 5
    COMPUTE = 6
    BRANCH = 7
    ACCEPT = 8
    REFUSE = 9


_KINDS: Mapping[type, Kind] = {
    o.Load: Kind.LOAD, o.ReadTsc: Kind.TSC, o.CompareSwap: Kind.ATOMIC, o.Swap: Kind.ATOMIC,
    o.Update: Kind.UPDATE, o.Store: Kind.STORE, o.Fence: Kind.FENCE, o.Compute: Kind.COMPUTE,
    o.Branch: Kind.BRANCH, o.Accept: Kind.ACCEPT, o.Refuse: Kind.REFUSE,
}  # fmt: skip


#: What a time is judged by, besides the registers that `ops.Accept` names: the TSC value and the
#: page's timestamp, the page that was published when the TSC was read, the highest time that any
#: reader had accepted when this read began, and the time that this reader accepted before.
JUDGED = ("time", "ns", "flags", "nsec", "tsc", "tsc_timestamp", "published", "floor", "before")
#: The field in which the highest accepted time is kept.
SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a thread.

    Registers and fields are numbers; -1: none. ``of`` are the registers it reads; an ACCEPT's are
    those of `JUDGED`, in that order. ``also`` is the register in which a TSC instruction notes
    the page that was published then. ``then`` is where the thread goes on, ``target`` where a
    branch goes. ``waits`` is the set of instructions (as bits) that must be performed
    first when they are earlier and pending. ``copy`` counts the programs of the thread from 0;
    ``publishes``: the last store of an update.
    """

    kind: Kind
    op: o.Op
    copy: int
    into: int
    also: int
    of: tuple[int, ...]
    field: int
    then: int
    target: int
    waits: int
    function: Callable[..., int] | None
    publishes: bool


@dataclass(frozen=True, slots=True)
class Loop:
    """A round that ends by comparing a field, loaded again, with a register.

    From ``target`` to the ``branch`` back; ``check`` is the load, ``held`` the other register,
    ``first`` whether the loaded value is the condition's first argument. ``idle`` are the registers
    (bits) that decide nothing and are not needed when the round is repeated. ``odd`` is an earlier
    load of the same field in the round, -1: none, which ``odd_condition`` sends back as well.
    """

    target: int
    branch: int
    check: int
    field: int
    held: int
    first: bool
    idle: int
    condition: Callable[..., int]
    odd: int = -1
    odd_condition: Callable[..., int] | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread that is ready to run.

    ``registers`` are their names, ``start`` their values at first (None: not known). ``live[pc]``
    is the set (bits) of those that are needed from ``pc`` on. ``speculates``: it fetches beyond
    branches that are not decided.
    """

    name: str
    instructions: tuple[Instruction, ...]
    registers: tuple[str, ...]
    start: tuple[int | None, ...]
    live: tuple[int, ...]
    stores_from: tuple[int, ...]
    speculates: bool
    loops: tuple[Loop, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One program of a thread, with the values of its inputs."""

    program: o.Program
    inputs: Mapping[str, int]


def assemble(
    name: str, parts: Sequence[Part], fields: Sequence[str], order: Order, keep: bool = False
) -> Thread:
    """A thread that runs programs one after another.

    Registers of different copies are different ones, as a processor that renames them has it.
    With ``keep`` they are all kept to the end, for those who ask for final values.
    """
    ops, goes, copies = _flatten(parts, order)
    names = sorted({r for op in ops for r in (*o.reads(op), o.writes(op)) if r})
    names += [f"{extra}#{c}" for c in range(len(parts)) for extra in ("given", "published")]
    number = {register: index for index, register in enumerate(names)}
    start = {f"{r}#{copy}": v for copy, part in enumerate(parts) for r, v in part.inputs.items()}
    last = _last_stores(ops, copies)
    instructions = tuple(
        Instruction(
            kind=_KINDS[type(op)],
            op=op,
            copy=copies[at],
            into=number.get(_result(op, copies[at]), -1),
            also=number[f"published#{copies[at]}"] if isinstance(op, o.ReadTsc) else -1,
            of=tuple(number.get(r, -1) for r in _needs(op, copies[at])),
            field=fields.index(op.field)
            if isinstance(op, o.Load | o.Store | o.CompareSwap | o.Swap | o.Update)
            else -1,
            then=goes[at][0],
            target=goes[at][1],
            waits=_waits(ops, at, order),
            function=_function(op),
            publishes=at in last,
        )
        for at, op in enumerate(ops)
    )
    every = (1 << len(names)) - 1 if keep else 0
    live = [needed | every for needed in _liveness(instructions)]
    return Thread(
        name,
        instructions,
        tuple(names),
        tuple(start.get(r) for r in names),
        tuple(live),
        tuple(_stores_from(instructions)),
        order is not Order.EXIT,
        tuple(_loops(instructions, live)),
    )


def _flatten(
    parts: Sequence[Part], order: Order
) -> tuple[list[o.Op], list[tuple[int, int]], list[int]]:
    """All instructions, where each goes on and branches to, and of which copy it is."""
    ops: list[o.Op] = []
    goes: list[tuple[int, int]] = []
    copies: list[int] = []
    for copy, part in enumerate(parts):
        base = len(ops)
        expanded, labels = _expand(part.program, order)
        end = base + len(expanded)
        for at, op in enumerate(expanded):
            ends = isinstance(op, o.Accept | o.Refuse)
            target = base + labels[op.to] if isinstance(op, o.Branch) else -1
            ops.append(_renamed(op, copy))
            goes.append((end if ends else base + at + 1, target))
            copies.append(copy)
    return ops, goes, copies


def _expand(program: o.Program, order: Order) -> tuple[list[o.Op], dict[str, int]]:
    """Without fences that do nothing; an unlocked update as the load and the store that it is."""
    result: list[o.Op] = []
    moved: list[int] = []
    for op in program.ops:
        moved.append(len(result))
        if needless(order, op):
            continue
        if isinstance(op, o.Update) and order is not Order.EXIT:
            old, new = f"old {op.field}", f"new {op.field}"
            result += [o.Load(old, op.field), o.Compute(new, op.function, (old,))]
            result.append(o.Store(op.field, new))
        else:
            result.append(op)
    moved.append(len(result))
    return result, {label: moved[at] for label, at in program.labels.items()}


def _renamed(op: o.Op, copy: int) -> o.Op:
    """The instruction with the registers of a copy."""

    def name(register: str) -> str:
        return f"{register}#{copy}" if register else ""

    match op:
        case o.Load() | o.ReadTsc():
            return replace(op, into=name(op.into))
        case o.Store() | o.Swap():
            return replace(op, register=name(op.register))
        case o.Compute():
            return replace(op, into=name(op.into), of=tuple(map(name, op.of)))
        case o.Branch():
            return replace(op, of=tuple(map(name, op.of)))
        case o.CompareSwap():
            return replace(op, into=name(op.into), expected=name(op.expected), new=name(op.new))
        case o.Accept():
            return replace(
                op, time=name(op.time), ns=name(op.ns), flags=name(op.flags), nsec=name(op.nsec)
            )
    return op


def _waits(ops: Sequence[o.Op], at: int, order: Order) -> int:
    return sum(1 << other for other, op in enumerate(ops) if waits(order, ops[at], op))


def _result(op: o.Op, copy: int) -> str:
    return f"given#{copy}" if isinstance(op, o.Accept) else o.writes(op)


def _needs(op: o.Op, copy: int) -> tuple[str, ...]:
    """The registers that an instruction reads; those of `JUDGED` for an accepted time."""
    if not isinstance(op, o.Accept):
        return o.reads(op)
    rest = [f"{name}#{copy}" for name in JUDGED[4:-1]]
    return (op.time, op.ns, op.flags, op.nsec, *rest, f"given#{copy - 1}")


def _function(op: o.Op) -> Callable[..., int] | None:
    if isinstance(op, o.Compute | o.Update):
        return op.function
    return op.condition if isinstance(op, o.Branch) else None


def _last_stores(ops: Sequence[o.Op], copies: Sequence[int]) -> set[int]:
    """The last store of each copy."""
    return set({copies[at]: at for at, op in enumerate(ops) if isinstance(op, o.Store)}.values())


def _liveness(instructions: Sequence[Instruction]) -> list[int]:
    """For each instruction the registers that may be read from there on, and for the end."""
    live = [0] * (len(instructions) + 1)
    changed = True
    while changed:
        changed = False
        for at in reversed(range(len(instructions))):
            one = instructions[at]
            after = 0 if _always(one) else live[one.then]
            after |= live[one.target] if one.target >= 0 else 0
            for made in {one.into, one.also} - {-1}:
                after &= ~(1 << made)
            after |= sum(1 << r for r in set(one.of) - {-1})
            changed |= after != live[at]
            live[at] = after
    return live


def _loops(instructions: Sequence[Instruction], live: Sequence[int]) -> Iterator[Loop]:
    for at, one in enumerate(instructions):
        if one.kind is not Kind.BRANCH or not 0 <= one.target < at or len(one.of) != 2:
            continue
        body = range(one.target, at)
        for first, register in enumerate(one.of):
            makers = [i for i in body if instructions[i].into == register]
            if len(makers) == 1 and instructions[makers[0]].kind is Kind.LOAD:
                assert one.function is not None
                field = instructions[makers[0]].field
                yield Loop(
                    one.target,
                    at,
                    makers[0],
                    field,
                    one.of[1 - first],
                    first == 0,
                    _idle(instructions, live, one.target, at),
                    one.function,
                    *_odd_check(instructions, one.target, makers[0], field),
                )
                break


def _odd_check(
    instructions: Sequence[Instruction], start: int, end: int, field: int
) -> tuple[int, Callable[..., int] | None]:
    """A load of the field after which alone a branch may go back to ``start``."""
    for one in instructions[start:end]:
        if one.kind is Kind.BRANCH and one.target == start and len(one.of) == 1:
            for at in range(start, end):
                load = instructions[at]
                if load.into == one.of[0] and load.kind is Kind.LOAD and load.field == field:
                    return at, one.function
    return -1, None


def _idle(instructions: Sequence[Instruction], live: Sequence[int], start: int, end: int) -> int:
    """Registers made in a round from which nothing flows into what it stores or decides."""
    needed, made = live[start], 0
    for one in instructions[start : end + 1]:
        if one.target > end:
            needed |= live[one.target]
        if one.kind not in (Kind.LOAD, Kind.TSC, Kind.COMPUTE, Kind.FENCE):
            needed |= sum(1 << r for r in set(one.of) - {-1})
        for register in {one.into, one.also} - {-1}:
            made |= 1 << register
    for _again in range(end - start):
        for one in instructions[start : end + 1]:
            if one.kind is Kind.COMPUTE and needed >> one.into & 1:
                needed |= sum(1 << r for r in set(one.of))
    return made & ~needed


def _stores_from(instructions: Sequence[Instruction]) -> list[int]:
    """For each instruction the fields (bits) that may be stored to from there on."""
    found = [0] * (len(instructions) + 1)
    changed = True
    while changed:
        changed = False
        for at in reversed(range(len(instructions))):
            one = instructions[at]
            fields = found[one.then] | (found[one.target] if one.target >= 0 else 0)
            if one.kind in (Kind.STORE, Kind.ATOMIC, Kind.UPDATE):
                fields |= 1 << one.field
            changed |= fields != found[at]
            found[at] = fields
    return found


def exposed_from(thread: Thread, stored_by_others: int) -> tuple[bool, ...]:
    """For each instruction whether a load that others may disturb, or RDTSC, may come from there.

    ``stored_by_others`` are the fields (bits) that other threads ever store to. Where it is False,
    beginning early changes nothing.
    """
    instructions = thread.instructions
    found = [False] * (len(instructions) + 1)
    changed = True
    while changed:
        changed = False
        for at in reversed(range(len(instructions))):
            one = instructions[at]
            here = one.kind is Kind.TSC or (
                one.kind is Kind.LOAD and bool(stored_by_others >> one.field & 1)
            )
            here = here or found[one.then] or (one.target >= 0 and found[one.target])
            changed |= here != found[at]
            found[at] = here
    return tuple(found)


def _always(one: Instruction) -> bool:
    """A branch that is always taken."""
    return one.kind is Kind.BRANCH and one.function is None
