"""The memory orders: which of two instructions of one thread has to wait for the other.

``x86``: total store order. Loads are performed in order, stores in order through a FIFO store
buffer that the thread's own loads see into; a load may be performed before an earlier store has
left the buffer. RDTSC is no load: nothing orders it against loads but LFENCE, or its being ordered
(after all that is earlier). Locked instructions drain the buffer. Sources: SDM volume 3, 10.2;
volume 2, RDTSC, RDTSCP, LFENCE, MFENCE; Owens, Sarkar, Sewell: x86-TSO.

``weak``: loads and stores are performed in any order that fences, acquire and release, data
dependencies, and (for stores) control dependencies allow; accesses of the same field stay in
order. Stores leave the buffer in any order unless a barrier lies between. There is one memory: a
store that another thread sees is seen by all (as ARMv8, unlike POWER).

``exit``: the provider works while the vCPU is outside of the guest. The reader stops between two of
its instructions; everything before is done, nothing after has begun.
"""

from __future__ import annotations

from enum import Enum

from timehands.clocks.pvclock.programs.ops import (
    Accept,
    Branch,
    CompareSwap,
    Compute,
    Fence,
    FenceKind,
    Load,
    Op,
    ReadTsc,
    Refuse,
    Store,
    Swap,
    reads,
    writes,
)

_ATOMIC = (CompareSwap, Swap)
_MEMORY = (Load, Store, CompareSwap, Swap)
_NOT_STORES = (Load, ReadTsc, CompareSwap, Swap, Branch)


class Order(Enum):
    """A memory order; see the top of this file."""

    X86 = "x86"
    WEAK = "weak"
    EXIT = "exit"


def waits(order: Order, later: Op, earlier: Op) -> bool:
    """Whether ``later`` may be performed only after ``earlier``, which precedes it in its thread.

    A store is performed when it enters the store buffer.
    """
    if order is Order.EXIT or _depends(later, earlier):
        return True
    if isinstance(later, Accept | Refuse):
        return isinstance(earlier, Branch | Accept | Refuse)
    if isinstance(later, Compute | Branch) or isinstance(earlier, Compute | Accept | Refuse):
        return _is_lfence(later) and isinstance(earlier, Compute)
    return _x86_waits(later, earlier) if order is Order.X86 else _weak_waits(later, earlier)


def needless(order: Order, op: Op) -> bool:
    """Whether a fence does nothing under this order (it is no instruction there)."""
    if not isinstance(op, Fence):
        return False
    return order is Order.EXIT or (
        order is Order.X86 and op.kind not in (FenceKind.FULL, FenceKind.LFENCE)
    )


def _depends(later: Op, earlier: Op) -> bool:
    """Through a register: the data itself, or a name that is used again."""
    result, made = writes(later), writes(earlier)
    return bool(made and (made in reads(later) or made == result)) or bool(
        result and result in reads(earlier)
    )


def _is_lfence(op: Op) -> bool:
    return isinstance(op, Fence) and op.kind is FenceKind.LFENCE


def _is_fence(op: Op, *kinds: FenceKind) -> bool:
    return isinstance(op, Fence) and op.kind in kinds


def _x86_waits(later: Op, earlier: Op) -> bool:
    if _is_lfence(later) or _is_lfence(earlier):
        return True
    match later:
        case ReadTsc():
            return later.ordered
        case Load():
            return isinstance(earlier, Load | Fence | CompareSwap | Swap) or _same(later, earlier)
        case Fence():
            return isinstance(earlier, (*_MEMORY, Fence))
    return True  # stores and locked instructions retire in order


def _weak_waits(later: Op, earlier: Op) -> bool:
    if _is_lfence(earlier) or _same(later, earlier):
        return True
    if isinstance(earlier, Load) and earlier.acquire and not isinstance(later, ReadTsc):
        return True
    match later:
        case ReadTsc():
            return later.ordered and isinstance(earlier, _NOT_STORES)
        case Load():
            return (isinstance(earlier, _ATOMIC) and _full(earlier)) or _holds_loads(earlier)
        case Store():
            strong = later.release and isinstance(earlier, _MEMORY)
            return strong or _holds_stores(earlier)
        case CompareSwap() | Swap():
            strong = isinstance(earlier, _MEMORY)
            return strong or _holds_stores(earlier)
        case Fence():
            return _fence_waits(later.kind, earlier)
    return False


def _fence_waits(kind: FenceKind, earlier: Op) -> bool:
    """What a fence itself waits for under the weak order. Fences stay in order."""
    if isinstance(earlier, Fence):
        return True
    match kind:
        case FenceKind.LOAD_LOAD | FenceKind.ACQUIRE:
            return isinstance(earlier, Load | CompareSwap | Swap)
        case FenceKind.STORE_STORE:
            return isinstance(earlier, Store | CompareSwap | Swap)
        case FenceKind.LFENCE:
            return isinstance(earlier, _NOT_STORES)
    return isinstance(earlier, _MEMORY)


def _holds_loads(earlier: Op) -> bool:
    return _is_fence(earlier, FenceKind.LOAD_LOAD, FenceKind.ACQUIRE, FenceKind.FULL)


def _holds_stores(earlier: Op) -> bool:
    """Stores wait for branches (they are not speculated), for fences, for full barriers."""
    if isinstance(earlier, Branch):
        return True
    if isinstance(earlier, _ATOMIC):
        return _full(earlier)
    return _is_fence(
        earlier, FenceKind.STORE_STORE, FenceKind.ACQUIRE, FenceKind.RELEASE, FenceKind.FULL
    )


def _full(op: Op) -> bool:
    return isinstance(op, Swap) or (isinstance(op, CompareSwap) and op.full)


def _same(later: Op, earlier: Op) -> bool:
    """Both access the same field."""
    a, b = getattr(later, "field", None), getattr(earlier, "field", None)
    return a is not None and a == b
