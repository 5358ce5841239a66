"""The examples of docs/source.md print what it says they print.

Those of ``small`` on a tree of our own. Those of ``/usr/src`` on a real one, when
``TIMEHANDS_FREEBSD_SOURCE`` names a FreeBSD 14.2 tree with FIRECRACKER.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from git_repositories import needs_git
from sourced_kernels import build, record, write_tree
from test_docs_pvclock import told
from timehands.cli.main import main
from timehands.errors import CompilerMissing

PAGE = Path(__file__).parent.parent / "docs" / "source.md"
_EXAMPLE = re.compile(r"^ {4}\$ timehands (.+)\n((?: {4}.*\n|\n(?= {4}(?!\$)))+)", re.MULTILINE)
REAL = "/usr/src"


def examples() -> list[tuple[str, list[str]]]:
    return [
        (command, [line.removeprefix("    ") for line in output.splitlines()])
        for command, output in _EXAMPLE.findall(PAGE.read_text())
        if "--recording" not in command or REAL not in command
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``small`` and ``boot``."""
    needs_git()
    found = tmp_path_factory.mktemp("docs")
    write_tree(found / "small")
    try:
        record(build(found / "small", found / "kernel"), found / "boot")
    except CompilerMissing:
        pytest.skip("needs a C compiler")
    return found


def test_there_are_examples() -> None:
    assert len(examples()) >= 6


@pytest.mark.parametrize(("command", "output"), examples())
def test_an_example_prints_what_the_page_shows(
    command: str,
    output: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    real = os.environ.get("TIMEHANDS_FREEBSD_SOURCE")
    if REAL in command and real is None:
        pytest.skip("needs a FreeBSD source tree (TIMEHANDS_FREEBSD_SOURCE)")
    words = [real if word == REAL and real else word for word in shlex.split(command)]
    assert main(words) in (0, 1)
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert told(output, printed), "\n".join(printed)
