"""``conform --mutants``: its table, its JSON, its exit statuses, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from timehands.cli.main import main
from timehands.conform.mutants import hunt as hunting
from timehands.conform.mutants.catalogue import MUTANTS
from timehands.conform.mutants.hunt import Fate, Hunted
from timehands.conform.mutants.mutant import Mutant


def fates(monkeypatch: pytest.MonkeyPatch, *wanted: Fate) -> list[str]:
    """Hunts end so, in turn; returns the names that were hunted."""
    names: list[str] = []

    def hunt_all(mutants: Sequence[Mutant], *, quick: bool) -> Iterator[Hunted]:
        assert quick
        for mutant, fate in zip(mutants, wanted, strict=True):
            names.append(mutant.name)
            yield Hunted(mutant, fate, "words", (), 1)

    monkeypatch.setattr(hunting, "hunt_all", hunt_all)
    return names


def test_it_is_0_when_all_that_can_be_shown_were_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = fates(monkeypatch, Fate.CAUGHT, Fate.CANNOT)
    assert main(["conform", "--mutants", "wall-in-ms", "tsc-apart", "--quick"]) == 0
    assert names == ["wall-in-ms", "tsc-apart"]
    assert "1 of 1 mutants caught; 1 others cannot be shown here" in capsys.readouterr().out


def test_it_is_1_when_one_was_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fates(monkeypatch, Fate.CAUGHT, Fate.MISSED)
    arguments = ["conform", "--mutants", "wall-in-ms", "rtc-century", "--quick", "--json"]
    assert main(arguments) == 1
    plain = json.loads(capsys.readouterr().out)
    assert plain["counts"] == {"caught": 1, "missed": 1, "cannot": 0}
    assert [each["mutant"] for each in plain["mutants"]] == ["wall-in-ms", "rtc-century"]


def test_without_names_it_is_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = fates(monkeypatch, *[Fate.CAUGHT] * len(MUTANTS))
    assert main(["conform", "--mutants", "--quick"]) == 0
    assert names == list(MUTANTS)
    assert f"{len(MUTANTS)} of {len(MUTANTS)} mutants caught" in capsys.readouterr().out


def test_the_list_tells_each_one_and_its_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--mutants", "--list"]) == 0
    shown = capsys.readouterr().out
    for mutant in MUTANTS.values():
        assert mutant.name in shown
        assert f"{mutant.case}; " in shown
    assert main(["conform", "--mutants", "rtc-century", "--list", "--json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)["mutants"]
    assert (plain["name"], plain["case"]) == ("rtc-century", "rtc.date")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mutants", "nobody"], "no mutant nobody"),
        (["monitor", "--mutants"], "stands alone"),
        (["--mutants", "--tap"], "stands alone"),
        (["monitor", "--quick"], "go with --mutants"),
        (["monitor", "--list"], "go with --mutants"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conform", *arguments]) == 2
    assert words in capsys.readouterr().err
