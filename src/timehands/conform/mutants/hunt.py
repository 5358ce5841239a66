"""What becomes of a mutant: the conformance guest on it, and whether the case that must sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from timehands.conform.cases import AREAS
from timehands.conform.judge import Judgement, judge
from timehands.conform.log import Line, read_log
from timehands.conform.monitor_vmm import Bend, run_monitor
from timehands.conform.mutants.mutant import Mutant
from timehands.conform.talk import talk
from timehands.conform.verdicts import Verdict
from timehands.conform.wish import Wish
from timehands.monitor.settings import Clocks

JSON_SCHEMA = 1
VCPUS = 2
SECONDS = 120.0
#: A busy host hides things: one that was not seen is looked for again.
TRIES = 5
#: The areas whose cases are always asked about: no words of the guest's leave them out.
_ALWAYS = ("discovery",)
_WORDS = {area: f"{area}=off" for area in AREAS if area not in _ALWAYS} | {"host": "events=off"}


class Fate(StrEnum):
    """``cannot``: this host cannot show the defect, which is not that it was not seen."""

    CAUGHT = "caught"
    MISSED = "missed"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Hunted:
    """A mutant and its fate.

    ``saw``: what the case said, or what is lacking. ``also``: other cases that failed, and did not
    without the defect. ``tries``: how often the guest ran. ``lines``: the last log.
    """

    mutant: Mutant
    fate: Fate
    saw: str
    also: tuple[str, ...] = ()
    tries: int = 0
    lines: tuple[Line, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """``mutant``, ``what``, ``seen_in``, ``case``, ``fate``, ``saw``, ``also``, ``tries``."""
        mutant = self.mutant
        return {
            "mutant": mutant.name,
            "what": mutant.what,
            "seen_in": mutant.seen_in,
            "case": mutant.case,
            "fate": self.fate.value,
            "saw": self.saw,
            "also": list(self.also),
            "tries": self.tries,
        }


def hunt_all(mutants: Sequence[Mutant], *, quick: bool = False) -> Iterator[Hunted]:
    """Each one's fate, in turn. ``quick``: only the area of its case is looked at.

    Raises `KvmUnavailable`, `KvmLacks`, `MachineError`, `CompilerMissing`.
    """
    unbent: dict[Clocks, frozenset[str]] = {}
    for mutant in mutants:
        if lacking := mutant.lacking():
            yield Hunted(mutant, Fate.CANNOT, f"this host lacks {lacking}")
            continue
        if mutant.clocks not in unbent:
            unbent[mutant.clocks] = _failed(_judged(mutant.clocks, _nothing, ())[0])
        yield hunt(mutant, unbent[mutant.clocks], quick=quick)


def hunt(mutant: Mutant, unbent: frozenset[str] = frozenset(), *, quick: bool = False) -> Hunted:
    """Run the guest until the case fails that must, `TRIES` times at most.

    ``unbent``: what fails on this host without the defect.
    """
    if mutant.case in unbent:
        return Hunted(mutant, Fate.CANNOT, f"{mutant.case} fails here without the defect, too")
    words = left_out(mutant.case) if quick else ()
    for tries in range(1, TRIES + 1):
        judgement, lines = _judged(mutant.clocks, mutant.bend, words)
        found = judgement.of(mutant.case)
        also = tuple(sorted(_failed(judgement) - unbent - {mutant.case}))
        if found.verdict is Verdict.FAIL:
            return Hunted(mutant, Fate.CAUGHT, found.saw, also, tries, lines)
    return Hunted(mutant, Fate.MISSED, f"{found.verdict}: {found.saw}", also, TRIES, lines)


def left_out(case: str) -> tuple[str, ...]:
    """The guest's words that leave out all areas but the one of the case."""
    area = case.split(".", maxsplit=1)[0]
    return tuple(word for name, word in _WORDS.items() if name != area)


def _nothing(_guest: object) -> None:
    pass


def _judged(
    clocks: Clocks, bend: Bend, words: tuple[str, ...]
) -> tuple[Judgement, tuple[Line, ...]]:
    async def run() -> list[Line]:
        async with run_monitor(clocks, Wish(VCPUS, words), bend) as vmm:
            return (await talk(vmm, SECONDS)).lines

    lines = asyncio.run(run())
    return judge(read_log(lines), "mutant"), tuple(lines)


def _failed(judgement: Judgement) -> frozenset[str]:
    return frozenset(e.case.id for e in judgement.cases if e.verdict is Verdict.FAIL)


def count(hunted: Sequence[Hunted]) -> Mapping[Fate, int]:
    """How many there are of each fate."""
    return {fate: sum(each.fate is fate for each in hunted) for fate in Fate}
