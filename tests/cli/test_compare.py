"""``timehands compare``, on recordings made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recordings import healthy_boot, jiffies_boot
from timehands.cli.main import main


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    for name, tape in (("a", jiffies_boot()), ("b", healthy_boot())):
        tape.write(tmp_path / name)
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_two_recordings_are_shown_side_by_side(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *folders, "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A: Linux 6.1.0-test beside B: Linux 6.1.0-test")
    read = next(line for line in lines if line.startswith("time is read from"))
    assert read.split()[4:] == ["refined-jiffies", "*", "tsc"]
    assert any(line.startswith("TH101 ") for line in lines)
    assert max(map(len, lines)) <= 100


def test_json_and_html_are_written_at_once(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "compare.html"
    assert main(["compare", *folders, "--quiet", "--json", "--html", str(page)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "timehands-compare/1"
    assert [side["recording"] for side in data["sides"]] == list(folders)
    assert page.read_text().lower().startswith("<!doctype html>")


@pytest.mark.parametrize("option", ["--append-a=x=1", "--patch-b=x=1"])
def test_a_recording_cannot_be_booted_with_other_options(
    folders: tuple[str, str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *folders, option, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert option.split("=", maxsplit=1)[0] in said and "is a recording" in said


@pytest.mark.parametrize("other", ["nowhere", "empty"])
def test_what_is_neither_recording_nor_kernel_is_said_to_be_neither(
    folders: tuple[str, str], other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["compare", folders[0], str(tmp_path / other), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("timehands: ") and other in said


def test_a_page_that_cannot_be_written_is_an_error_of_ours(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *folders, "--quiet", "--html", "/nowhere/page.html"]) == 2
    assert "/nowhere/page.html" in capsys.readouterr().err


def test_no_time_to_boot_is_refused(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *folders, "--timeout", "0"]) == 2
    assert "timeout" in capsys.readouterr().err
