"""What the guest said on each mutant, judged again: the case still sees it. No KVM is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from timehands.conform.judge import judge
from timehands.conform.log import parse_lines, read_log
from timehands.conform.mutants.catalogue import MUTANTS
from timehands.conform.mutants.mutant import can_be_shown
from timehands.conform.verdicts import Verdict

RECORDED = Path(__file__).parent / "recorded"
NAMES = sorted(path.stem for path in RECORDED.glob("*.log"))


@pytest.mark.parametrize("name", NAMES)
def test_the_case_sees_it(name: str) -> None:
    lines = parse_lines((RECORDED / f"{name}.log").read_text().splitlines())
    case = judge(read_log(lines), "a mutant").of(MUTANTS[name].case)
    assert case.verdict is Verdict.FAIL, case.saw


def test_all_are_recorded_that_any_host_can_show() -> None:
    shown = {name for name, mutant in MUTANTS.items() if mutant.lacking is can_be_shown}
    assert shown <= set(NAMES) <= set(MUTANTS)
