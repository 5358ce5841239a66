"""``timehands pvclock explore``: tables, schedules, JSON, exit status."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from timehands.cli.main import main
from timehands.simulate.explorer import claims as claims_of
from timehands.simulate.explorer import mutants
from timehands.simulate.explorer.claims import Claim, claims
from timehands.simulate.explorer.judge import Property
from timehands.simulate.explorer.orders import Order

Capture = pytest.CaptureFixture[str]
EXPLORE = ["pvclock", "explore"]


def test_the_table_says_what_was_proved_within_which_bounds(capsys: Capture) -> None:
    assert main([*EXPLORE, "--reader", "freebsd", "--writer", "kvm", "--order", "exit"]) == 0
    out = capsys.readouterr().out
    assert "freebsd      kvm      exit  moves" in out
    assert "✓ backward, frozen, stale, torn" in out
    assert "all claims hold: 3 searches" in out
    assert max(map(len, out.splitlines())) <= 100


def test_json_has_the_bounds_and_the_verdict(capsys: Capture) -> None:
    assert main([*EXPLORE, "--reader", "openbsd-1", "--order", "exit", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == 1
    first = data["proofs"][0]
    assert (first["reader"], first["writer"], first["order"]) == ("openbsd-1", "kvm", "exit")
    assert first["updates"] == 2
    assert first["states"] > 100
    assert first["complete"]
    assert {"torn", "stale"} <= set(first["broken"])
    assert first["limits"] == ["stale", "torn"]


def test_what_does_not_hold_ends_with_status_1(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = claims(["openbsd-1"], ["kvm"], [Order.EXIT])[0]
    wrong = replace(wrong, promises=frozenset({Property.TORN}), limits=frozenset())

    def only(*_args: object) -> list[Claim]:
        return [wrong]

    monkeypatch.setattr(claims_of, "claims", only)
    assert main([*EXPLORE, "--order", "exit"]) == 1
    out = capsys.readouterr().out
    assert "✗ SEEN: torn" in out
    assert "1 of 1 claims do not hold" in out


def test_one_mistake_is_shown_as_a_schedule(capsys: Capture) -> None:
    assert main([*EXPLORE, "--mutant", "rdtsc-outside", "--order", "exit"]) == 0
    out = capsys.readouterr().out
    assert "(exit) the whole update to page 1" in out
    assert "openbsd-1 accepts" in out
    assert main([*EXPLORE, "--mutant", "odd-accepted"]) == 0
    assert "x86's memory order" in capsys.readouterr().out


def test_a_barrier_that_does_not_matter_is_said_not_to(capsys: Capture) -> None:
    assert main([*EXPLORE, "--mutant", "no-barrier-after-odd", "--order", "x86"]) == 0
    assert "does not matter under the order x86" in capsys.readouterr().out


def test_all_mistakes_in_one_table(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: mutants.MUTANTS[name] for name in ("no-odd-version", "plain-last")}
    monkeypatch.setattr(mutants, "MUTANTS", few)
    assert main([*EXPLORE, "--mutant", "all"]) == 0
    out = capsys.readouterr().out
    assert "no-odd-version            caught, 11 steps" in out
    assert "2 of 2 mistakes caught" in out
    monkeypatch.setitem(few, "wrong", replace(few["no-odd-version"], shows=frozenset(Order)))
    assert main([*EXPLORE, "--mutant", "all", "--order", "exit"]) == 1
    assert "✗ not caught" in capsys.readouterr().out


def test_json_of_a_mistake_has_its_schedule(capsys: Capture) -> None:
    assert main([*EXPLORE, "--mutant", "wall-without-version", "--order", "exit", "--json"]) == 0
    (mutant,) = json.loads(capsys.readouterr().out)["mutants"]
    (found,) = mutant["orders"]
    assert (mutant["breaks"], found["caught"], found["steps"]) == ("torn", True, 3)
    assert found["schedule"]["steps"][0] == {
        "actor": "no version", "what": "load wc_sec = 100", "memory": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reader", "plan9"], "there is no reader named 'plan9'"),
        (["--writer", "plan9"], "there is no provider named 'plan9'"),
        (["--mutant", "plan9"], "there is no mistake named 'plan9'"),
        (["--mutant", "all", "--reader", "linux"], "a mistake is made in one reader or provider"),
        (["--reader", "openbsd-1", "--writer", "xen"], "nothing is claimed"),
    ],
)
def test_what_makes_no_sense_is_said(capsys: Capture, words: list[str], said: str) -> None:
    assert main([*EXPLORE, *words]) == 2
    assert said in capsys.readouterr().err
