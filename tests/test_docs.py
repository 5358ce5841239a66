"""What the documents say to type can be typed, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from timehands.cli.main import VERBS, _parser

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_COMMAND = re.compile(r"^ {4}(?:\$ )?timehands (.+)$", re.MULTILINE)
_REMARK = re.compile(r" {2,}\S.*$| [|>] .*$")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def commands() -> list[tuple[str, str]]:
    """Every command line in the documents that is not a synopsis, with the document's name."""
    return [
        (path.name, _REMARK.sub("", text))
        for path in DOCUMENTS
        for text in _COMMAND.findall(path.read_text())
        if "[" not in text
    ]


def test_there_are_commands_to_test() -> None:
    verbs = {text.split()[0] for _name, text in commands()}
    assert set(VERBS) <= verbs


@pytest.mark.parametrize(("document", "text"), commands())
def test_a_command_in_the_documents_is_understood(document: str, text: str) -> None:
    words = shlex.split(text)
    args = _parser(words).parse_args(words)
    assert args.verb == words[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
