"""The explorer against enumerators that share nothing with it: the same outcomes, no more, no less.

x86: the abstract machine of x86-TSO, by recursion over every choice. Weak: every order of each
thread's instructions that its rules allow, in every interleaving on one memory; programs in which a
thread does not load what it stores, so that the store buffer can be seen by nobody else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.clocks.pvclock.programs.ops import Fence, FenceKind, Load, Op, Store
from timehands.simulate.explorer.orders import Order

from .tiny import ACQUIRE, FIELDS, MB, RELEASE, RMB, VALUES, WMB, Outcome, load, outcomes, store

Program = tuple[Op, ...]


def tso(threads: Sequence[Program]) -> set[Outcome]:
    """x86-TSO: instructions in order, a FIFO store buffer for each thread."""
    found: set[Outcome] = set()

    def go(pcs: tuple[int, ...], buffers: tuple[Program, ...], memory: dict[str, int],
           registers: dict[str, int]) -> None:  # fmt: skip
        stuck = True
        for at, ops in enumerate(threads):
            buffer = buffers[at]
            if buffer:
                stuck = False
                first = buffer[0]
                assert isinstance(first, Store)
                after = {**memory, first.field: VALUES[first.register]}
                go(pcs, put(buffers, at, buffer[1:]), after, registers)
            if pcs[at] == len(ops):
                continue
            op, following = ops[pcs[at]], put(pcs, at, pcs[at] + 1)
            match op:
                case Store():
                    stuck = False
                    go(following, put(buffers, at, (*buffer, op)), memory, registers)
                case Load():
                    stuck = False
                    own = [s for s in buffer if isinstance(s, Store) and s.field == op.field]
                    value = VALUES[own[-1].register] if own else memory[op.field]
                    go(following, buffers, memory, {**registers, op.into: value})
                case Fence():
                    if op.kind is not FenceKind.FULL or not buffer:
                        stuck = False
                        go(following, buffers, memory, registers)
        if stuck:
            found.add(frozenset({**memory, **registers}.items()))

    go((0,) * len(threads), ((),) * len(threads), dict.fromkeys(FIELDS, 0), {})
    return found


def put(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


def weak(threads: Sequence[Program]) -> set[Outcome]:
    """Every allowed order of each thread, interleaved on one memory."""
    found: set[Outcome] = set()
    for orders in itertools.product(*(allowed_orders(ops) for ops in threads)):
        for one in interleavings(orders):
            state = dict.fromkeys(FIELDS, 0)
            for op in one:
                if isinstance(op, Store):
                    state[op.field] = VALUES[op.register]
                elif isinstance(op, Load):
                    state[op.into] = state[op.field]
            found.add(frozenset(state.items()))
    return found


def allowed_orders(ops: Program) -> Iterator[Program]:
    """The orders of a thread's accesses in which none that must wait comes too early."""
    accesses = [at for at, op in enumerate(ops) if not isinstance(op, Fence)]
    for order in itertools.permutations(accesses):
        pairs = itertools.combinations(order, 2)
        if not any(first > second and ordered(ops, second, first) for first, second in pairs):
            yield tuple(ops[at] for at in order)


_KINDS = {
    FenceKind.LOAD_LOAD: ("L", "L"),
    FenceKind.STORE_STORE: ("S", "S"),
    FenceKind.ACQUIRE: ("L", "LS"),
    FenceKind.RELEASE: ("LS", "S"),
    FenceKind.FULL: ("LS", "LS"),
}


def ordered(ops: Program, earlier: int, later: int) -> bool:
    a, b = ops[earlier], ops[later]
    assert isinstance(a, Load | Store)
    assert isinstance(b, Load | Store)
    kind_a, kind_b = ("S" if isinstance(op, Store) else "L" for op in (a, b))
    if a.field == b.field:
        return True
    if (isinstance(a, Load) and a.acquire) or (isinstance(b, Store) and b.release):
        return True
    fences = (op.kind for op in ops[earlier:later] if isinstance(op, Fence))
    return any(kind_a in _KINDS[kind][0] and kind_b in _KINDS[kind][1] for kind in fences)


def interleavings(threads: Sequence[Program]) -> Iterator[Program]:
    if not any(threads):
        yield ()
    for at, ops in enumerate(threads):
        if ops:
            rest = [*threads[:at], ops[1:], *threads[at + 1 :]]
            for tail in interleavings(rest):
                yield (ops[0], *tail)


def at_once(threads: Sequence[Program]) -> set[Outcome]:
    """The second thread as a whole, between any two instructions of the first."""
    reader, update = threads
    found: set[Outcome] = set()
    for at in range(len(reader) + 1):
        state = dict.fromkeys(FIELDS, 0)
        for op in (*reader[:at], *update, *reader[at:]):
            if isinstance(op, Store):
                state[op.field] = VALUES[op.register]
            elif isinstance(op, Load):
                state[op.into] = state[op.field]
        found.add(frozenset(state.items()))
    return found


@st.composite
def tiny_threads(draw: st.DrawFn, forwarding: bool) -> list[Program]:
    """Two threads of up to four instructions; each load has a register of its own."""
    names = itertools.count(1)
    threads = []
    for _ in range(2):
        mine = draw(st.permutations(FIELDS[:2]))
        ops: list[Op] = []
        for _ in range(draw(st.integers(1, 4))):
            what = draw(st.sampled_from(["load", "load", "store", "store", "fence"]))
            if what == "fence":
                ops.append(draw(st.sampled_from([RMB, WMB, MB, ACQUIRE, RELEASE])))
            elif what == "load":
                field = draw(st.sampled_from(FIELDS[:2])) if forwarding else mine[0]
                ops.append(load(f"r{next(names)}", field, acquire=draw(st.booleans())))
            else:
                field = draw(st.sampled_from([*FIELDS[:2], "z"])) if forwarding else mine[1]
                field = draw(st.sampled_from([field, "z"]))
                value = draw(st.sampled_from(sorted(VALUES)))
                ops.append(store(field, value, release=draw(st.booleans())))
        threads.append(tuple(ops))
    return threads


@settings(max_examples=150)
@given(tiny_threads(forwarding=True))
def test_x86_has_the_outcomes_of_its_abstract_machine(threads: list[Program]) -> None:
    assert outcomes(Order.X86, threads) == tso(threads)


@settings(max_examples=150)
@given(tiny_threads(forwarding=False))
def test_weak_has_the_outcomes_of_all_allowed_orders(threads: list[Program]) -> None:
    assert outcomes(Order.WEAK, threads) == weak(threads)


@settings(max_examples=80)
@given(tiny_threads(forwarding=True))
def test_a_weaker_order_has_more_outcomes_and_exits_have_fewer(threads: list[Program]) -> None:
    wholes = [*threads[:1], (*threads[1], store("z"))]  # an update ends with a store
    exits = outcomes(Order.EXIT, wholes, provider=1)
    assert exits == at_once(wholes)
    assert exits <= outcomes(Order.X86, wholes)
    assert outcomes(Order.X86, threads) <= outcomes(Order.WEAK, threads)


@settings(max_examples=80)
@given(tiny_threads(forwarding=True))
def test_what_is_performed_alone_takes_no_outcome_away(threads: list[Program]) -> None:
    for order in (Order.X86, Order.WEAK):
        assert outcomes(order, threads) == outcomes(order, threads, reduce=False)
