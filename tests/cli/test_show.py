from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from recordings import healthy_boot
from timehands.boot import Booted, open_recording
from timehands.cli.show import ProgressLine, add_report_options, show
from timehands.errors import UsageError


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_report_options(parser)
    return parser.parse_args(words)


@pytest.fixture
def booted(tmp_path: Path) -> Booted:
    healthy_boot().write(tmp_path)
    return open_recording(tmp_path)


def test_the_report_goes_to_standard_output(
    booted: Booted, capsys: pytest.CaptureFixture[str]
) -> None:
    show(booted, _args())
    shown = capsys.readouterr()
    assert "tsc" in shown.out
    assert shown.err == ""
    assert "\x1b" not in shown.out


def test_a_page_that_cannot_be_written_is_an_error_that_names_it(
    booted: Booted, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"no/such/report\.html"):
        show(booted, _args("--html", str(tmp_path / "no/such/report.html")))


def test_progress_is_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressLine(quiet=False) as progress:
        progress("booting")
        progress("proving")
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split("] ")[1] for line in said.err.splitlines()] == ["booting", "proving"]


def test_progress_is_one_line_that_goes_away_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressLine(quiet=False) as progress:
        progress("booting " * 40)
    said = terminal.getvalue()
    assert "\n" not in said
    assert said.endswith("\r\x1b[K")
    assert len(said.split("\x1b[K")[1]) <= 100


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressLine(quiet=True) as progress:
        progress("booting")
    assert terminal.getvalue() == ""
