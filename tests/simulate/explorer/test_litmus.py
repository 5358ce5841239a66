"""The memory orders against litmus tests whose answers are known.

Names and answers: Alglave, Maranget, Tautschnig, Herding Cats (2014); Owens, Sarkar, Sewell,
x86-TSO (2009), of which n6 and the forwarding test; ARMv8's model is multi-copy atomic, so that
IRIW with ordered loads is forbidden (Pulte et al., 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from timehands.clocks.pvclock.programs.ops import CompareSwap, Op, ReadTsc, Swap, Update
from timehands.simulate.explorer.orders import Order

from .tiny import ACQUIRE, MB, RELEASE, RMB, WMB, allowed, load, outcomes, store

Threads = Sequence[Sequence[Op]]
_SEEN_Y_NOT_X = {"r1": 1, "r2": 0}
_MP_READER = [load("r1", "y"), load("r2", "x")]
_FORWARD = {"r1": 1, "r2": 0, "r3": 1, "r4": 0}
_WRITE_X, _WRITE_Y = [store("x")], [store("y")]

#: name, threads, the outcome asked about, allowed by x86's order, allowed by the weak one.
LITMUS: list[tuple[str, Threads, dict[str, int], bool, bool]] = [
    ("SB", [[store("x"), load("r1", "y")], [store("y"), load("r2", "x")]],
     {"r1": 0, "r2": 0}, True, True),
    ("SB+mfences", [[store("x"), MB, load("r1", "y")], [store("y"), MB, load("r2", "x")]],
     {"r1": 0, "r2": 0}, False, False),
    ("SB+xchgs", [[Swap("x", "one"), load("r1", "y")], [Swap("y", "one"), load("r2", "x")]],
     {"r1": 0, "r2": 0}, False, False),
    ("SB+rfi", [[store("x"), load("r1", "x"), load("r2", "y")],
                [store("y"), load("r3", "y"), load("r4", "x")]], _FORWARD, True, True),
    ("SB+rfi+rmb", [[store("x"), load("r1", "x"), RMB, load("r2", "y")],
                    [store("y"), load("r3", "y"), RMB, load("r4", "x")]], _FORWARD, True, True),
    ("n6", [[store("x"), load("r1", "x"), load("r2", "y")], [store("y"), store("x", "two")]],
     {"r1": 1, "r2": 0, "x": 1}, True, True),
    ("MP", [[store("x"), store("y")], _MP_READER], _SEEN_Y_NOT_X, False, True),
    ("MP+wmb+po", [[store("x"), WMB, store("y")], _MP_READER], _SEEN_Y_NOT_X, False, True),
    ("MP+po+rmb", [[store("x"), store("y")], [_MP_READER[0], RMB, _MP_READER[1]]],
     _SEEN_Y_NOT_X, False, True),
    ("MP+wmb+rmb", [[store("x"), WMB, store("y")], [_MP_READER[0], RMB, _MP_READER[1]]],
     _SEEN_Y_NOT_X, False, False),
    ("MP+rel+acq", [[store("x"), store("y", release=True)],
                    [load("r1", "y", acquire=True), load("r2", "x")]],
     _SEEN_Y_NOT_X, False, False),
    ("MP+release+acquire fences", [[store("x"), RELEASE, store("y")],
                                   [_MP_READER[0], ACQUIRE, _MP_READER[1]]],
     _SEEN_Y_NOT_X, False, False),
    ("MP+rmb is no wmb", [[store("x"), RMB, store("y")], [_MP_READER[0], RMB, _MP_READER[1]]],
     _SEEN_Y_NOT_X, False, True),
    ("LB", [[load("r1", "x"), store("y")], [load("r2", "y"), store("x")]],
     {"r1": 1, "r2": 1}, False, True),
    ("LB+datas", [[load("r1", "x"), store("y", "r1")], [load("r2", "y"), store("x", "r2")]],
     {"r1": 1, "r2": 1}, False, False),
    ("LB+acquire", [[load("r1", "x"), ACQUIRE, store("y")], [load("r2", "y"), ACQUIRE, store("x")]],
     {"r1": 1, "r2": 1}, False, False),
    ("CoRR", [_WRITE_X, [load("r1", "x"), load("r2", "x")]], _SEEN_Y_NOT_X, False, False),
    ("CoWW", [[store("x"), store("x", "two")]], {"x": 1}, False, False),
    ("2+2W", [[store("x"), store("y", "two")], [store("y"), store("x", "two")]],
     {"x": 1, "y": 1}, False, True),
    ("S", [[store("x", "two"), store("y")], [load("r1", "y"), store("x")]],
     {"r1": 1, "x": 2}, False, True),
    ("R", [[store("x"), store("y")], [store("y", "two"), load("r1", "x")]],
     {"y": 2, "r1": 0}, True, True),
    ("IRIW", [_WRITE_X, _WRITE_Y, [load("r1", "x"), load("r2", "y")],
              [load("r3", "y"), load("r4", "x")]], _FORWARD, False, True),
    ("IRIW+rmbs", [_WRITE_X, _WRITE_Y, [load("r1", "x"), RMB, load("r2", "y")],
                   [load("r3", "y"), RMB, load("r4", "x")]], _FORWARD, False, False),
    ("WRC+mb+rmb", [_WRITE_X, [load("r1", "x"), MB, store("y")],
                    [load("r2", "y"), RMB, load("r3", "x")]],
     {"r1": 1, "r2": 1, "r3": 0}, False, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "threads", "asked", "x86", "weak"), LITMUS, ids=lambda v: str(v)[:24]
)
def test_what_is_known_of_the_memory_orders(
    name: str, threads: Threads, asked: dict[str, int], x86: bool, weak: bool
) -> None:
    assert allowed(Order.X86, threads, **asked) == x86
    assert allowed(Order.WEAK, threads, **asked) == weak


def test_one_of_two_compare_and_swaps_fails() -> None:
    both = [[CompareSwap("r1", "x", "zero", "one")], [CompareSwap("r2", "x", "zero", "two")]]
    zero = [[load("zero", "z"), *ops] for ops in both]
    for order in (Order.X86, Order.WEAK):
        found = {tuple(dict(o)[n] for n in ("r1", "r2", "x")) for o in outcomes(order, zero)}
        assert found == {(0, 1, 1), (2, 0, 2)}


def test_an_update_that_is_not_locked_loses_another_cpu_s_store_but_no_exit_splits_it() -> None:
    """As Linux clears GUEST_STOPPED: 0 + 10 is stored over the 2 that came in between."""
    threads = [[Update("x", add_ten)], [store("x", "two")]]
    for order, finals in ((Order.X86, {2, 10, 12}), (Order.EXIT, {2, 12})):
        found = outcomes(order, threads, provider=1)
        assert {dict(outcome)["x"] for outcome in found} == finals


def add_ten(value: int) -> int:
    return value + 10


@pytest.mark.parametrize("order", [Order.X86, Order.WEAK])
def test_an_ordered_tsc_is_read_after_earlier_loads_and_before_nothing(order: Order) -> None:
    def reads(ordered: bool) -> set[tuple[int, int]]:
        ops = [load("r1", "x"), ReadTsc("tsc", ordered=ordered), load("r2", "x")]
        first = [step for step in first_steps(order, ops) if step in ("r1", "tsc", "r2")]
        return {(first.count("r1"), first.count("tsc"))}

    assert reads(ordered=True) == {(1, 0)}
    assert reads(ordered=False) == {(1, 1)}


def first_steps(order: Order, ops: Sequence[Op]) -> list[str]:
    """The registers that the first step of a thread may set."""
    from timehands.clocks.pvclock.programs.ops import program, writes
    from timehands.simulate.explorer.assemble import Part, assemble
    from timehands.simulate.explorer.machine import Machine

    machine = Machine(assemble("P", [Part(program("P", *ops), {})], ("x",), order), order, 12)
    ((state, _accepted),) = machine.start()
    return [writes(one.op).split("#")[0] for _position, _at, one in machine.menus[state].steps]
