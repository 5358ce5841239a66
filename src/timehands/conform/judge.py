"""The judge: what a log says of each case of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from timehands.conform.cases import AREAS, CASES, Case
from timehands.conform.facts import Died, Facts, Missing
from timehands.conform.log import Log
from timehands.conform.rules import discovery, host, i8254, lapic, pvclock, rtc, sleeping, tsc
from timehands.conform.verdicts import Judged, Outcome, Verdict, failed, skipped

Rule = Callable[[Facts], Outcome]
RULES: Mapping[str, Rule] = {
    **discovery.RULES,
    **tsc.RULES,
    **pvclock.RULES,
    **lapic.RULES,
    **i8254.RULES,
    **rtc.RULES,
    **sleeping.RULES,
    **host.RULES,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """All cases, in the order of the catalogue. ``trouble`` says how a run went wrong, if so."""

    vmm: str
    cases: tuple[Judged, ...]
    trouble: str = ""

    def count(self, verdict: Verdict) -> int:
        """How many cases have it."""
        return Counter(each.verdict for each in self.cases)[verdict]

    @property
    def conforms(self) -> bool:
        """Whether the guest came to its end and nothing failed."""
        return not self.trouble and not self.count(Verdict.FAIL)

    def of(self, case: str) -> Judged:
        """A case by its name. Raises KeyError."""
        return next((each for each in self.cases if each.case.id == case), None) or _no(case)


def _no(case: str) -> Judged:
    raise KeyError(case)


def judge(log: Log, vmm: str) -> Judgement:
    """What the log says. Never fails: a log of nothing skips everything, and is trouble."""
    facts = Facts(log)
    cases = tuple(_judged(case, facts) for area in AREAS for case in CASES if case.area == area)
    return Judgement(vmm, cases, _trouble(log))


def _judged(case: Case, facts: Facts) -> Judged:
    try:
        outcome = RULES[case.id](facts)
    except Missing as missing:
        outcome = skipped(str(missing))
    except Died as died:
        outcome = failed(str(died))
    except (ArithmeticError, LookupError, ValueError):
        outcome = failed("its numbers make no sense")
    return Judged(case, outcome.verdict, outcome.saw)


def _trouble(log: Log) -> str:
    if not log.ours:
        return "no word of the conformance guest was heard"
    if log.ended:
        return ""
    where = f" in {log.begun[-1]}" if log.begun else ""
    if log.fault:
        return f"the guest ended{where} with an exception it did not expect ({log.fault})"
    why = log.notes.get("over", {}).get("why", "")
    how = "did not end in time" if why == "timeout" else "ended"
    return f"the guest {how}{where}"
