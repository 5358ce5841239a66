"""docs/protocol.md shows what its commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from timehands.cli.main import main

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
_EXAMPLE = re.compile(r"^ {4}\$ timehands (.+)\n((?: {4}.*\n|\n)+)", re.MULTILINE)
#: What a run took differs from run to run.
_SECONDS = re.compile(r"\d+\.\d s\b")


def examples() -> list[tuple[str, str]]:
    return _EXAMPLE.findall(DOCUMENT.read_text())


def plain(text: str) -> list[str]:
    """The words line by line; where lines are wrapped hangs on how long a run took."""
    lines = [_SECONDS.sub("0.0 s", line).strip() for line in text.splitlines()]
    return " ".join(lines).split()


def test_there_are_examples() -> None:
    assert len(examples()) >= 3


@pytest.mark.parametrize(("command", "shown"), examples())
def test_a_command_prints_what_is_shown(
    command: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 0
    assert plain(capsys.readouterr().out) == plain(shown)
