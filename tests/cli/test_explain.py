"""The verb explain."""

from __future__ import annotations

import argparse
import io
import json
import re

import pytest

from timehands.cli import explain
from timehands.errors import UsageError
from timehands.findings.catalogue import CATALOGUE


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    explain.add_parser(parser.add_subparsers())
    args = parser.parse_args(["explain", *words])
    status: int = args.run(args)
    return status


class Terminal(io.StringIO):
    """A terminal that takes what is printed."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_page_is_printed_as_it_is_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("TH101") == 0
    assert capsys.readouterr().out == CATALOGUE["TH101"].page


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)


def test_json_has_code_title_and_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("TH302", "--json") == 0
    found = CATALOGUE["TH302"]
    assert json.loads(capsys.readouterr().out) == {
        "code": "TH302",
        "title": found.title,
        "page": found.page,
    }


def test_json_without_a_code_is_a_list_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    assert [row["code"] for row in json.loads(capsys.readouterr().out)] == list(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_terminal_gets_the_page_rendered_within_its_width(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(code) == 0
    text = terminal.getvalue()
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80
    assert "How to mend it" in plain and "## " not in plain


def test_a_terminal_that_wants_no_colours_gets_the_page_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("TH101") == 0
    assert terminal.getvalue() == CATALOGUE["TH101"].page


def test_an_unknown_code_is_a_usage_error_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean TH201"):
        run("TH210")
