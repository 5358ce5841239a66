"""A hunt's fates, with judgements made by hand instead of guests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conform_logs import Machine, one
from timehands.conform.judge import Judgement, judge
from timehands.conform.log import Line
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants import hunt as hunting
from timehands.conform.mutants import report
from timehands.conform.mutants.hunt import TRIES, Fate, Hunted, hunt, hunt_all
from timehands.conform.mutants.mutant import KVMS, OURS, Mutant
from timehands.monitor.settings import Clocks


def good() -> Machine:
    return Machine()


def bad() -> Machine:
    """Two cases fail."""
    machine = Machine()
    machine.cases["pvclock.wall"].update(one(version=0))
    machine.cases["tsc.across"].update(one(warps=1))
    return machine


def bend(_guest: object) -> None:
    """Plants nothing."""


MUTANT = Mutant("made-up", "what it is", "pvclock.wall", bend)


class Guests:
    """Gives machines in turn, and counts."""

    def __init__(self, *machines: Machine) -> None:
        self.machines: Iterator[Machine] = iter(machines)
        self.asked: list[tuple[Clocks, Bend, tuple[str, ...]]] = []

    def __call__(
        self, clocks: Clocks, bend: Bend, words: tuple[str, ...]
    ) -> tuple[Judgement, tuple[Line, ...]]:
        self.asked.append((clocks, bend, words))
        machine = next(self.machines)
        return judge(machine.log(), "x"), tuple(machine.lines())


def given(monkeypatch: pytest.MonkeyPatch, *machines: Machine) -> Guests:
    guests = Guests(*machines)
    monkeypatch.setattr(hunting, "_judged", guests)
    return guests


def test_one_that_is_seen_is_caught_and_what_else_failed_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, bad())
    found = hunt(MUTANT)
    assert (found.fate, found.tries) == (Fate.CAUGHT, 1)
    assert found.saw == "no wall clock record came"
    assert found.also == ("tsc.across", "tsc.invariant")


def test_one_that_a_busy_host_hid_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, good(), bad())
    found = hunt(MUTANT)
    assert (found.fate, found.tries) == (Fate.CAUGHT, 2)


def test_one_that_is_never_seen_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    guests = given(monkeypatch, *[good()] * TRIES)
    found = hunt(MUTANT, quick=True)
    assert (found.fate, found.tries) == (Fate.MISSED, TRIES)
    assert found.saw.startswith("pass: ")
    assert all("tsc=off" in words for _, _, words in guests.asked)


def test_a_case_that_fails_without_the_defect_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, bad())
    (found,) = hunt_all([MUTANT])
    assert found.fate is Fate.CANNOT
    assert found.saw == "pvclock.wall fails here without the defect, too"


def test_what_fails_anyway_is_not_told_of_the_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    unbent = Machine()
    unbent.cases["tsc.across"].update(one(warps=1))
    given(monkeypatch, unbent, bad())
    (found,) = hunt_all([MUTANT])
    assert (found.fate, found.also) == (Fate.CAUGHT, ())


def test_each_kind_of_clocks_is_looked_at_once_without_a_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guests = given(monkeypatch, good(), bad(), bad(), good(), bad())
    kvms = Mutant("another", "what it is", "pvclock.wall", bend, clocks=KVMS)
    fates = [found.fate for found in hunt_all([MUTANT, MUTANT, kvms])]
    assert fates == [Fate.CAUGHT] * 3
    assert [clocks for clocks, _, _ in guests.asked] == [OURS, OURS, OURS, KVMS, KVMS]


def test_what_a_host_lacks_is_named_and_no_guest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch)
    lacking = Mutant("lacking", "what", "tsc.rate", bend, lacking=lambda: "a better host")
    (found,) = hunt_all([lacking])
    assert (found.fate, found.saw) == (Fate.CANNOT, "this host lacks a better host")


def test_the_table_tells_each_fate() -> None:
    caught = Hunted(MUTANT, Fate.CAUGHT, "saw it", ("tsc.across",), 2)
    rows = "\n".join(report.rows(caught))
    assert rows.startswith("✓ made-up ")
    assert "pvclock.wall failed at try 2" in rows
    assert "and so did tsc.across" in rows
    missed = Hunted(MUTANT, Fate.MISSED, "pass: fine", (), TRIES)
    assert "pvclock.wall did not fail" in "\n".join(report.rows(missed))
    cannot = Hunted(MUTANT, Fate.CANNOT, "this host lacks it")
    assert "cannot be shown here" in "\n".join(report.rows(cannot))
    assert (
        report.foot([caught, missed, cannot])
        == "1 of 2 mutants caught; 1 others cannot be shown here"
    )
    plain = report.to_json([caught, cannot])
    assert plain["counts"] == {"caught": 1, "missed": 0, "cannot": 1}
    assert plain["mutants"][0]["also"] == ["tsc.across"]
