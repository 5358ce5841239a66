"""``timehands source TREE find``, ``path`` and ``clocks``, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from code_trees import tree
from timehands.cli.main import main


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(tree(tmp_path / "src").root)


def test_find(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "find", "tsc_freq"]) == 0
    told = capsys.readouterr()
    assert "tsc_freq += 5" in told.out
    assert "who gets the address may write" in " ".join(told.out.split())
    assert "timehands: indexed 5 of 5 C files in " in told.err
    assert main(["source", source, "find", "tsc_freq"]) == 0
    assert capsys.readouterr().err == "", "nothing changed, nothing is said"


def test_find_json(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "find", "tc_init", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == 1
    (definition,) = data["definitions"]
    assert definition == {
        "file": "sys/kern/kern_tc.c",
        "line": 5,
        "what": "function",
        "function": None,
        "doubt": None,
        "text": "tc_init(struct timecounter *tc)",
    }
    assert {caller["function"] for caller in data["callers"]} == {"cpu_initclocks"}
    assert data["index"]["files"] == 5


def test_find_what_is_not_there(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "find", "tsc_dellay"]) == 1
    assert "Perhaps tsc_delay." in capsys.readouterr().out


def test_what_was_not_read_makes_the_answer_partial(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (Path(source) / "sys/kern/big.c").open("wb") as big:
        big.truncate((16 << 20) + 1)
    assert main(["source", source, "find", "nowhere_else"]) == 1
    why = "sys/kern/big.c: larger than 16 MB; not read"
    assert f"Partial: {why}" in capsys.readouterr().out
    assert main(["source", source, "find", "tsc_freq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complaints"] == [why]


def test_path(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "path", "main", "tsc_get_timecount"]) == 0
    out = capsys.readouterr().out
    assert "sys/kern/kern_tc.c:8" in out
    assert "through tc_get_timecount" in " ".join(out.split())


def test_path_json(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "path", "main", "late", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    last = data["paths"][0][-1]
    assert (last["function"], last["how"], last["doubt"]) == ("late", "by SYSINIT", None)


def test_no_path(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "path", "tc_init", "main"]) == 1
    assert "No way is seen" in capsys.readouterr().out


def test_a_function_that_is_not_there(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "path", "nowhere", "main"]) == 2
    assert "no function nowhere in this tree" in capsys.readouterr().err


def test_clocks(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "clocks"]) == 0
    out = capsys.readouterr().out
    assert "Timecounters" in out
    assert "tsc_freq" in out


def test_clocks_json(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", source, "clocks", "--json"]) == 0
    clocks = json.loads(capsys.readouterr().out)["clocks"]
    assert [clock["name"] for clock in clocks] == ["TSC", "i8254"]
    assert {clock["compiled"] for clock in clocks} == {None}
