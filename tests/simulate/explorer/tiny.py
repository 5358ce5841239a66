"""Tiny programs for memory orders: built by hand, run by the explorer, outcomes as plain values."""

from __future__ import annotations

from collections.abc import Sequence

from timehands.clocks.pvclock.programs.ops import Fence, FenceKind, Load, Op, Store, program
from timehands.simulate.explorer.assemble import Part, assemble
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.search import search
from timehands.simulate.explorer.world import Rules

FIELDS = ("x", "y", "z")
VALUES = {"one": 1, "two": 2}
#: Registers r... and fields at the end.
Outcome = frozenset[tuple[str, int]]

RMB, WMB, MB = Fence(FenceKind.LOAD_LOAD), Fence(FenceKind.STORE_STORE), Fence(FenceKind.FULL)
ACQUIRE, RELEASE = Fence(FenceKind.ACQUIRE), Fence(FenceKind.RELEASE)


def load(register: str, field: str, *, acquire: bool = False) -> Load:
    return Load(register, field, acquire=acquire)


def store(field: str, value: str = "one", *, release: bool = False) -> Store:
    return Store(field, value, release=release)


def outcomes(
    order: Order,
    threads: Sequence[Sequence[Op]],
    reduce: bool = True,
    provider: int | None = None,
) -> set[Outcome]:
    """Every final state that the explorer reaches: registers whose names begin with r, fields."""
    made = [
        assemble(f"P{at}", [Part(program(f"P{at}", *ops), VALUES)], FIELDS, order, keep=True)
        for at, ops in enumerate(threads)
    ]
    rules = Rules(made, FIELDS, order, lambda *_: (), reduce=reduce, provider=provider)
    found = set()
    for world in search(rules, [0] * len(FIELDS), finals=True).finals:
        final = dict(zip(FIELDS, rules.memory(world), strict=True))
        for at, thread in enumerate(made):
            values = zip(thread.registers, rules.state(world, at).registers, strict=True)
            final |= {
                name.split("#")[0]: value
                for name, value in values
                if name.startswith("r") and value is not None
            }
        found.add(frozenset(final.items()))
    return found


def allowed(order: Order, threads: Sequence[Sequence[Op]], **wanted: int) -> bool:
    """Whether some outcome has all these values."""
    return any(wanted.items() <= outcome for outcome in outcomes(order, threads))
