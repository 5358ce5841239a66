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


def examples() -> list[tuple[str, list[str]]]:
    """(command, what it prints) of every command that is shown with its output."""
    found = []
    for name in DOCUMENTS:
        path = ROOT / "docs" / name
        for command, output in _EXAMPLE.findall(path.read_text() if path.exists() else ""):
            lines = [line.removeprefix("    ") for line in output.splitlines()]
            found.append((command, lines))
    return found


def told(lines: list[str], printed: list[str]) -> bool:
    """Whether the lines are those that were printed; ``...`` stands for any number of them."""
    if not lines:
        return not printed
    if lines[0] == ELLIPSIS:
        return any(told(lines[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and lines[0] == printed[0] and told(lines[1:], printed[1:])


@pytest.mark.parametrize(("command", "output"), examples())
def test_an_example_prints_what_the_document_shows(
    command: str,
    output: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A chart that it writes is the one beside the document."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    charts = re.findall(r"--svg (\S+)", command)
    words = [str(tmp_path / Path(w).name) if w in charts else w for w in shlex.split(command)]
    assert main(words) in (0, 1)
    for name in charts:
        assert (tmp_path / Path(name).name).read_text() == Path(name).read_text()
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    printed = list(dropwhile(lambda line: not line, printed))
    assert told(output, printed), "\n".join(printed)


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
