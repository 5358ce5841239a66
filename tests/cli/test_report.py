from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from freebsd_recordings import microvm
from recordings import Tape, healthy_boot, jiffies_boot
from reports.build_bsd import freebsd_log
from timehands.boot import open_recording
from timehands.cli.main import main
from timehands.guests.tslog import Record, Tslog, What


def _written(tape: Tape, folder: Path) -> str:
    tape.write(folder)
    return str(folder)


def test_a_recording_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", _written(jiffies_boot(), tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "refined-jiffies" in shown.splitlines()[0]
    assert "TH101" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_a_boot_without_init_has_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = Tape()
    tape.begins()
    tape.ends("hung", ms=3000)
    assert main(["report", _written(tape, tmp_path)]) == 1
    assert "hung" in capsys.readouterr().out


def test_a_panic_is_no_success_though_the_debugger_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = microvm()
    tape.line("panic: TSC not initialized", ms=40)
    tape.ends("boundary", ms=41)
    assert main(["report", _written(tape, tmp_path)]) == 1
    assert "panicked" in capsys.readouterr().out.splitlines()[0]


def test_json_and_html_are_written_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    folder = _written(healthy_boot(), tmp_path / "recording")
    assert main(["report", folder, "--json", "--html", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["selected"] == "tsc"
    assert page.read_text().lower().startswith("<!doctype html>")


def test_a_recording_tells_the_same_story_wherever_it_lies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _written(jiffies_boot(), tmp_path / "here")
    shutil.copytree(folder, tmp_path / "there")
    stories = []
    for place in ("here", "there"):
        main(["report", str(tmp_path / place), "--json"])
        report = json.loads(capsys.readouterr().out)
        stories.append([report[key] for key in ("outcome", "boundaries", "clocks", "findings")])
    assert stories[0] == stories[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recording.json", "{}"),
        ("recording.json", "[]"),
        ("recording.json", '{"format": "timehands-recording/99"}'),
        ("proof.json", '{"x": 1}'),
    ],
)
def test_a_damaged_recording_is_an_error_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    folder = _written(healthy_boot(), tmp_path)
    (tmp_path / name).write_text(content)
    assert main(["report", folder]) == 2
    said = capsys.readouterr().err
    assert said.startswith("timehands: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["events.bin", "console.jsonl", "machine.jsonl"])
def test_damaged_streams_still_tell_what_is_left(tmp_path: Path, name: str) -> None:
    folder = _written(healthy_boot(), tmp_path)
    (tmp_path / name).write_bytes(b'\xff\x00{"ns": \n' * 999)
    assert main(["report", folder]) in (0, 1)


def test_what_is_no_recording_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path, tmp_path / "nowhere", Path("/dev/null")):
        assert main(["report", str(place)]) == 2
        assert str(place) in capsys.readouterr().err


def test_clocks_alone_and_everything_are_asked_for_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _written(jiffies_boot(), tmp_path)
    shown = []
    for option in ("--clocks", "--all"):
        main(["report", folder, option])
        shown.append(capsys.readouterr().out)
    assert "Boundary" not in shown[0] and "Boundary" in shown[1]
    assert "Calibrated" in shown[0] and "Calibrated" in shown[1]


def test_a_flame_chart_is_written_of_the_kernels_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    booted = open_recording(jiffies_boot().write(tmp_path / "recording").folder)
    story = replace(booted.report.story, tslog=freebsd_log())
    logged = replace(booted, report=replace(booted.report, story=story))
    monkeypatch.setattr("timehands.boot.open_recording", lambda _folder: logged)
    chart = tmp_path / "flame.svg"
    assert main(["report", str(tmp_path / "recording"), "--flame", str(chart)]) == 0
    assert "clockcalib TSC" in "".join(ElementTree.parse(chart).getroot().itertext())


@pytest.mark.parametrize("option", ["--flame", "--tslog"])
def test_a_kernel_without_a_log_has_none_to_write(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _written(jiffies_boot(), tmp_path)
    assert main(["report", folder, option, str(tmp_path / "log")]) == 2
    assert "options TSLOG" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()


LOG = Tslog((Record(1, What.ENTER, 5, "DELAY", "100"), Record(1, What.EXIT, 9, "DELAY")), 2)


def test_the_kernels_log_is_written_as_the_kernel_would_print_it(tmp_path: Path) -> None:
    folder = _written(jiffies_boot(), tmp_path)
    (tmp_path / "looked.json").write_text(json.dumps({"tslog": LOG.to_json()}))
    assert main(["report", folder, "--tslog", str(tmp_path / "log")]) == 0
    assert (tmp_path / "log").read_text() == "0x1 5 ENTER DELAY 100\n0x1 9 EXIT DELAY\n"


@pytest.mark.parametrize(
    "kept", [{}, {**LOG.to_json(), "records": [[1, 99, 0, 0, 0]]}, {**LOG.to_json(), "strings": 7}]
)
def test_a_damaged_log_is_an_error_of_ours(
    tmp_path: Path, kept: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _written(jiffies_boot(), tmp_path)
    (tmp_path / "looked.json").write_text(json.dumps({"tslog": kept}))
    assert main(["report", folder, "--tslog", str(tmp_path / "log")]) == 2
    assert "TSLOG" in capsys.readouterr().err


def test_a_log_of_ticks_of_no_known_length_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _written(jiffies_boot(), tmp_path)
    (tmp_path / "looked.json").write_text(json.dumps({"tslog": LOG.to_json()}))
    assert main(["report", folder, "--flame", str(tmp_path / "flame.svg")]) == 2
    said = capsys.readouterr().err
    assert "TSC ticks" in said and "--no-survey" in said
