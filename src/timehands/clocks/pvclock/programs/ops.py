"""A tiny instruction set: what a program does to memory, and in which order it insists on it.

A program's memory has named fields (``version``, ``tsc_timestamp``, ...), each read and written as
a whole; its registers have names too. Program order is the order after the compiler: what a
compiler may not move is what the program's fences forbid to move under the weak order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class FenceKind(Enum):
    """What a fence orders. On x86 only `FULL` and `LFENCE` are instructions."""

    #: Loads before it, then loads after it: Linux smp_rmb, virt_rmb; NetBSD membar_consumer.
    LOAD_LOAD = "rmb"
    #: Stores before it, then stores after it: Linux smp_wmb.
    STORE_STORE = "wmb"
    #: Loads before it, then loads and stores after it: FreeBSD atomic_thread_fence_acq.
    ACQUIRE = "acquire"
    #: Loads and stores before it, then stores after it.
    RELEASE = "release"
    #: All loads and stores, and the store buffer is empty: MFENCE; OpenBSD virtio_membar_sync.
    FULL = "mfence"
    #: Everything that is no store has finished before anything after it starts.
    LFENCE = "lfence"


@dataclass(frozen=True, slots=True)
class Load:
    """``into := memory[field]``. With ``acquire`` later loads and stores wait for it."""

    into: str
    field: str
    acquire: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """``memory[field] := register``. With ``release`` earlier loads and stores come first."""

    field: str
    register: str
    release: bool = False


@dataclass(frozen=True, slots=True)
class ReadTsc:
    """``into := TSC``. ``ordered``: as LFENCE;RDTSC or RDTSCP, after all earlier loads.

    Nothing that comes later waits for either of them, except by a `Fence` of kind LFENCE: MFENCE
    orders memory accesses, and RDTSC is none (SDM volume 2, MFENCE, RDTSC).
    """

    into: str
    ordered: bool


@dataclass(frozen=True, slots=True)
class Fence:
    """Orders what is before it against what is after it."""

    kind: FenceKind


@dataclass(frozen=True, slots=True)
class Compute:
    """``into := function(*of)``: a pure function of registers, shown by its name."""

    into: str
    function: Callable[..., int]
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """Goes to the label ``to`` when ``condition(*of)`` holds; always, when ``of`` is empty."""

    to: str
    condition: Callable[..., bool] | None = None
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompareSwap:
    """``into := memory[field]``; if that equals ``expected``, ``memory[field] := new``. Atomic.

    On x86 a locked instruction, which is a full barrier. ``full`` says whether it is one under the
    weak order too (Linux atomic64_try_cmpxchg); else it has release order only (FreeBSD
    atomic_fcmpset_rel_64).
    """

    into: str
    field: str
    expected: str
    new: str
    full: bool = True


@dataclass(frozen=True, slots=True)
class Swap:
    """``memory[field] := register``, atomic and a full barrier: XCHG. The old value is dropped."""

    field: str
    register: str


@dataclass(frozen=True, slots=True)
class Update:
    """``memory[field] := function(memory[field])`` as one instruction that is not locked.

    Another CPU's store may fall between its load and its store; an exit may not.
    """

    field: str
    function: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Accept:
    """The program ends: the time is in the register ``time``.

    ``ns`` is the register of the page's time before a clamp by a last value, ``flags`` that of the
    flags by which the program decided; empty where it has none. A wall clock's time is in ``time``
    (s) and ``nsec``.
    """

    time: str
    ns: str = ""
    flags: str = ""
    nsec: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The program ends without a time. ``why`` says in words what the guest does instead."""

    why: str


@dataclass(frozen=True, slots=True)
class Label:
    """A place that a `Branch` goes to."""

    name: str


Op = (
    Load | Store | ReadTsc | Fence | Compute | Branch | CompareSwap | Swap | Update | Accept
    | Refuse
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions in order, and where their labels are. Made by `program`.

    ``inputs`` are registers that are set before it starts.
    """

    name: str
    ops: tuple[Op, ...]
    labels: Mapping[str, int] = field(hash=False)
    inputs: tuple[str, ...] = ()

    def target(self, branch: Branch) -> int:
        """The index of the instruction that a branch goes to."""
        return self.labels[branch.to]


def program(name: str, *parts: Op | Label, inputs: tuple[str, ...] = ()) -> Program:
    """A program of instructions and labels. Raises `ValueError` for a label that is not there."""
    ops: list[Op] = []
    labels: dict[str, int] = {}
    for part in parts:
        if isinstance(part, Label):
            labels[part.name] = len(ops)
        else:
            ops.append(part)
    for op in ops:
        if isinstance(op, Branch) and op.to not in labels:
            raise ValueError(f"{name}: no label {op.to!r}")
    return Program(name, tuple(ops), labels, inputs)


def edited(old: Program, name: str, edit: Callable[[Op], Iterable[Op]]) -> Program:
    """A program in which each instruction is replaced by what ``edit`` makes of it."""
    ops: list[Op] = []
    places = []
    for op in old.ops:
        places.append(len(ops))
        ops += edit(op)
    places.append(len(ops))
    labels = {label: places[at] for label, at in old.labels.items()}
    return Program(name, tuple(ops), labels, old.inputs)


def reads(op: Op) -> tuple[str, ...]:
    """The registers that an instruction needs."""
    match op:
        case Store() | Swap():
            return (op.register,)
        case Compute() | Branch():
            return op.of
        case CompareSwap():
            return (op.expected, op.new)
        case Accept():
            return tuple(name for name in (op.time, op.ns, op.flags, op.nsec) if name)
    return ()


def writes(op: Op) -> str:
    """The register that an instruction sets; empty when it sets none."""
    return op.into if isinstance(op, Load | ReadTsc | Compute | CompareSwap) else ""


def spell(op: Op) -> str:
    """An instruction on one line, as the schedules show it."""
    match op:
        case Load():
            return f"{op.into} := load {op.field}{' (acquire)' if op.acquire else ''}"
        case Store():
            return f"store {op.field} := {op.register}{' (release)' if op.release else ''}"
        case ReadTsc():
            return f"{op.into} := {'lfence; rdtsc' if op.ordered else 'rdtsc'}"
        case Fence():
            return f"fence {op.kind.value}"
        case Compute():
            return f"{op.into} := {_call(op.function, op.of)}"
        case Branch():
            return f"if {_call(op.condition, op.of)} goto {op.to}" if op.of else f"goto {op.to}"
        case CompareSwap():
            return f"{op.into} := cmpxchg {op.field}: {op.expected} -> {op.new}"
        case Swap():
            return f"xchg {op.field} := {op.register}"
        case Update():
            return f"{op.field} := {_call(op.function, (op.field,))}"
        case Accept():
            return f"accept {op.time}"
    return f"refuse: {op.why}"


def _call(function: Callable[..., int] | None, of: tuple[str, ...]) -> str:
    name = getattr(function, "__name__", "").removeprefix("_")
    return f"{name}({', '.join(of)})"
