"""The mutants: enough of them, each with a case that must catch it, and each told in a line."""

from __future__ import annotations

import pytest

from timehands.conform.cases import AREAS
from timehands.conform.judge import RULES
from timehands.conform.mutants.catalogue import MUTANTS
from timehands.conform.mutants.hunt import left_out
from timehands.conform.mutants.mutant import Mutant


def test_there_are_enough_and_in_every_area() -> None:
    assert len(MUTANTS) >= 25
    assert {mutant.case.split(".")[0] for mutant in MUTANTS.values()} == set(AREAS)


def test_no_two_have_one_name() -> None:
    assert all(mutant.name == name for name, mutant in MUTANTS.items())
    assert len({mutant.what for mutant in MUTANTS.values()}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_each_has_a_case_and_words(mutant: Mutant) -> None:
    assert mutant.case in RULES
    assert mutant.seen_in
    assert len(mutant.what) < 100
    assert "\n" not in mutant.what + mutant.seen_in


def test_the_words_leave_out_all_areas_but_one() -> None:
    assert left_out("pvclock.wall") == (
        "tsc=off", "lapic=off", "i8254=off", "rtc=off", "sleeping=off", "events=off",
    )  # fmt: skip
    assert "events=off" not in left_out("host.pause_told")
    assert len(left_out("discovery.timing")) == len(AREAS) - 1
