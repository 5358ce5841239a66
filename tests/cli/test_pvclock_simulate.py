"""``timehands pvclock simulate`` and ``compare``: what is printed, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from timehands.cli.main import main
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.scenario_file import shipped_names, shipped_text

QUICK = "restore-jumps"


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["pvclock", *words]) == status
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["pvclock", *words]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    return streams.err


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A scenario that expects what does not come."""
    path = tmp_path / "mine.toml"
    text = shipped_text(QUICK).partition("[expect]")[0]
    path.write_text(f"{text}\n[expect]\nlockups = 3\nwarps = 0\n")
    return path


def test_the_verdict_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "simulate", QUICK)
    assert "as expected" in text.splitlines()[0]
    assert "restored on a after 2 h" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_status_says_whether_it_is_as_expected(
    capsys: pytest.CaptureFixture[str], broken: Path
) -> None:
    text = said(capsys, "simulate", str(broken), status=1)
    assert "not as expected: lockups = 3, but it was 0" in text.splitlines()[0]


def test_json_is_the_outcome(capsys: pytest.CaptureFixture[str], broken: Path) -> None:
    data: dict[str, Any] = json.loads(said(capsys, "simulate", str(broken), "--json", status=1))
    assert (data["schema"], data["scenario"], data["seed"]) == (1, "mine", 0)
    assert data["passed"] is False
    assert [one["met"] for one in data["expectations"]] == [False, True]
    assert data["all"]["reads"] == sum(vcpu["reads"] for vcpu in data["vcpus"])
    assert data["events"][0]["jump_ns"] == 7_200_000_000_000


def test_seed_and_engine_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        said(capsys, "simulate", "nvmm-loaded-host:idle", "--json", *more)
        for more in (["--seed", "3"], ["--seed", "3", "--engine", "scalar"], ["--seed", "4"])
    ]
    assert runs[0] == runs[1] != runs[2]


def test_another_provider_is_not_judged_by_what_its_own_is_expected_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = json.loads(said(capsys, "simulate", QUICK, "--provider", "xen", "--json"))
    assert (data["provider"], data["expectations"]) == ("xen", [])


def test_a_page_of_plots_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    said(capsys, "simulate", QUICK, "--html", str(page))
    assert "<svg" in page.read_text()
    said(capsys, "compare", QUICK, "--provider", "kvm", "--html", str(page))
    assert "<svg" in page.read_text()


def test_the_list_names_all_with_their_variants(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "simulate", "--list")
    data = json.loads(said(capsys, "simulate", "--list", "--json"))
    assert [entry["name"] for entry in data["scenarios"]] == shipped_names()
    for entry in data["scenarios"]:
        assert entry["title"] in text
        assert all(f":{variant} " in text for variant in entry["variants"])


def test_a_scenario_s_file_is_shown(capsys: pytest.CaptureFixture[str], broken: Path) -> None:
    assert said(capsys, "simulate", f"{QUICK}:cured", "--show") == shipped_text(QUICK)
    assert said(capsys, "simulate", str(broken), "--show") == broken.read_text()


def test_providers_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "compare", QUICK)
    assert all(f"\n{name} " in text for name in PROVIDERS)
    data = json.loads(
        said(capsys, "compare", QUICK, "--provider", "xen", "--provider", "kvm", "--json")
    )
    assert [outcome["provider"] for outcome in data["outcomes"]] == ["xen", "kvm"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate"], "no scenario was given"),
        (["simulate", "nope"], "no scenario is called 'nope'"),
        (["simulate", f"{QUICK}:nope"], "it has no variant 'nope'"),
        (["simulate", "./nope.toml"], "cannot be read"),
        (["simulate", QUICK, "--provider", "nope"], "no provider is called 'nope'"),
        (["simulate", QUICK, "--reader", "nope"], "no reader is called 'nope'"),
        (["compare", QUICK, "--provider", "nope"], "no provider is called 'nope'"),
        (["simulate", QUICK, "--seeds", "2", "--html", "x"], "a campaign has no p"),
        (["simulate", "./nope.toml", "--show"], "cannot be read"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in complaint(capsys, *words)
