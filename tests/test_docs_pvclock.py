"""The examples of the documents on pvclock print what the documents say they print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import dropwhile
from pathlib import Path

import pytest

from timehands.cli.main import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("pvclock.md", "simulate.md", "nvmm.md")
_EXAMPLE = re.compile(r"^ {4}\$ timehands (.+)\n((?: {4}.*\n|\n(?= {4}(?!\$)))+)", re.MULTILINE)
ELLIPSIS = "..."


def examples() -> list[tuple[str, str, list[str]]]:
    """(document, command, what it prints) of every command that is shown with its output."""
    found = []
    for name in DOCUMENTS:
        path = ROOT / "docs" / name
        for command, output in _EXAMPLE.findall(path.read_text() if path.exists() else ""):
            lines = [line.removeprefix("    ") for line in output.splitlines()]
            found.append((name, command, lines))
    return found


def told(lines: list[str], printed: list[str]) -> bool:
    """Whether the lines are those that were printed; ``...`` stands for any number of them."""
    if not lines:
        return not printed
    if lines[0] == ELLIPSIS:
        return any(told(lines[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and lines[0] == printed[0] and told(lines[1:], printed[1:])


@pytest.mark.parametrize(("document", "command", "output"), examples())
def test_an_example_prints_what_the_document_shows(
    document: str,
    command: str,
    output: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(shlex.split(command)) in (0, 1)
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    printed = list(dropwhile(lambda line: not line, printed))
    assert told(output, printed), "\n".join(printed)


_CHART = re.compile(r"^ {4}timehands (pvclock .*--svg (docs/\S+))$", re.MULTILINE)


def charts() -> list[tuple[str, str]]:
    """(command, file) of every chart in the documents."""
    texts = (ROOT / "docs" / name for name in DOCUMENTS)
    return [found for path in texts if path.exists() for found in _CHART.findall(path.read_text())]


@pytest.mark.parametrize(("command", "file"), charts())
def test_a_chart_is_what_its_command_draws(command: str, file: str, tmp_path: Path) -> None:
    drawn = tmp_path / "chart.svg"
    assert main([str(drawn) if word == file else word for word in shlex.split(command)]) in (0, 1)
    assert drawn.read_text() == (ROOT / file).read_text()


def test_the_tables_of_loads_are_those_that_the_example_prints() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "examples" / "nvmm_loads.py"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    ).stdout
    document = (ROOT / "docs" / "nvmm.md").read_text()
    assert [table in document for table in made.rstrip().split("\n\n")] == [True, True]
