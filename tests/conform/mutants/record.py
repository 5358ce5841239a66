"""Records what the conformance guest says on each mutant: ``python record.py [NAME...]``.

It needs KVM. Of each log only those lines are kept without which the case would say something
else; `test_recorded` has them judged again where there is no KVM.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from timehands.conform.judge import judge
from timehands.conform.log import Line, read_log
from timehands.conform.mutants.catalogue import MUTANTS
from timehands.conform.mutants.hunt import Fate, hunt
from timehands.conform.verdicts import Judged, Verdict

RECORDED = Path(__file__).parent / "recorded"


def judged(lines: Sequence[Line], case: str) -> Judged:
    """What the case says of these lines."""
    return judge(read_log(lines), "x").of(case)


def least(lines: Sequence[Line], case: str) -> list[Line]:
    """The lines that are needed for the case to say what it says: chunk by chunk, ever smaller."""
    kept, wanted = list(lines), judged(lines, case)
    size = len(kept) // 2
    while size:
        at = 0
        while at < len(kept):
            fewer = kept[:at] + kept[at + size :]
            if judged(fewer, case) == wanted:
                kept = fewer
            else:
                at += size
        size //= 2
    return kept


def record(name: str) -> str:
    """Hunt it, and keep its log if it was caught. Returns words for a terminal."""
    mutant = MUTANTS[name]
    if lacking := mutant.lacking():
        return f"not recorded: {lacking}"
    found = hunt(mutant, quick=True)
    if found.fate is not Fate.CAUGHT:
        return f"not recorded: {found.fate}, {found.saw}"
    lines = least(found.lines, mutant.case)
    assert judged(lines, mutant.case).verdict is Verdict.FAIL
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.log").write_text("".join(f"{line}\n" for line in lines))
    return f"{len(lines)} lines"


if __name__ == "__main__":
    for each in sys.argv[1:] or MUTANTS:
        print(f"{each}: {record(each)}", flush=True)
