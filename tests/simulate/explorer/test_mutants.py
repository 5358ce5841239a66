"""Each classic mistake is caught where it matters, and nowhere else."""

from __future__ import annotations

import pytest

from timehands.simulate.explorer.judge import Property
from timehands.simulate.explorer.mutants import MUTANTS, Mutant, hunt
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.schedule import as_json, schedule

#: Searches of some seconds, which `timehands pvclock explore --mutant all` makes.
_LONG = {("clamp-freezes", Order.WEAK), ("version-wraps", Order.WEAK)}
CASES = [
    (mutant, order)
    for mutant in MUTANTS.values()
    for order in mutant.trials
    if (mutant.name, order) not in _LONG
]


@pytest.mark.parametrize(("mutant", "order"), CASES, ids=lambda v: getattr(v, "name", v))
def test_a_mistake_is_caught_where_it_shows(mutant: Mutant, order: Order) -> None:
    found = hunt(mutant, order)
    assert found.caught == (order in mutant.shows)
    assert found.as_expected
    if found.caught:
        lines = list(schedule(found.result, mutant.breaks))
        assert max(map(len, lines)) <= 100
        data = as_json(found.result, mutant.breaks)
        assert len(data["steps"]) == len(found.result.searched.traces[mutant.breaks.value].steps)
        assert mutant.breaks.value in " ".join(data["reason"])


def test_every_mistake_of_the_list_is_there() -> None:
    assert set(MUTANTS) >= {
        "no-odd-version", "compared-early", "no-barrier-after-version", "no-barrier-before-check",
        "no-barrier-after-odd", "no-barrier-before-even", "flags-outside", "wall-without-version",
        "product-64", "negative-shift", "clamp-freezes", "no-recheck", "odd-accepted",
        "version-wraps", "two-rounds", "unordered-rdtsc", "plain-last",
    }  # fmt: skip
    assert all(mutant.shows for mutant in MUTANTS.values())


def test_barriers_matter_under_the_weak_order_only() -> None:
    barriers = [m for m in MUTANTS.values() if "barrier" in m.name or "acquire" in m.name]
    assert len(barriers) == 6
    assert all(mutant.shows == {Order.WEAK} for mutant in barriers)


def test_the_shortest_schedule_of_a_torn_wall_clock() -> None:
    found = hunt(MUTANTS["wall-without-version"], Order.EXIT)
    lines = list(schedule(found.result, Property.TORN))
    steps = [line for line in lines if line[:3].strip().isdigit()]
    assert [line.split()[0] for line in steps] == ["1", "2", "3"]
    assert "load wc_sec = 100" in steps[0]
    assert "(exit) the whole update to page 1" in steps[1]
    assert "load wc_nsec = 899" in steps[2]
    assert "no version accepts 100 s 899 ns, which is torn" in lines


def test_a_schedule_says_of_which_page_each_part_is() -> None:
    found = hunt(MUTANTS["compared-early"], Order.X86)
    text = "\n".join(schedule(found.result, Property.TORN))
    parts = [line.split() for line in text.splitlines() if line.startswith("  system_time")]
    stamp = [line.split() for line in text.splitlines() if line.startswith("  tsc_timestamp")]
    assert (stamp[0][-1], parts[0][-1]) == ("0", "1")
