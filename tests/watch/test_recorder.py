"""Writing a recording: whole lines, bounds, counts, and what happens when there is no room."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import RecordingError
from timehands.watch import recorder as module
from timehands.watch.interventions import Did, Intervention, Stopped
from timehands.watch.plan import Function, Plan, Read
from timehands.watch.recorder import Recorder, is_progress, new_folder, split_lines
from timehands.watch.recording import Recording
from timehands.watch.records import RECORD, Kind
from watch.stream import header, raw


def recorded(folder: Path, work: Callable[[Recorder], None], plan: Plan | None = None) -> Recording:
    async def record() -> None:
        recorder = Recorder(folder, header(), plan or Plan())
        work(recorder)
        recorder.close()

    asyncio.run(record())
    return Recording.open(folder)


@given(st.lists(st.binary(max_size=6000), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_came(parts: list[bytes]) -> None:
    at_once = split_lines(b"".join(parts))
    rest, lines = b"", []
    for part in parts:
        *complete, rest = split_lines(rest + part)
        lines += complete
    assert b"".join(at_once) == b"".join([*lines, rest])
    assert all(len(line) <= 4096 for line in [*at_once, *lines, rest])
    if all(len(line) < 4096 for line in b"".join(parts).split(b"\n")):
        assert [*lines, rest] == at_once == b"".join(parts).split(b"\n")


def test_console_lines_keep_their_times_and_any_bytes_become_text(tmp_path: Path) -> None:
    def say(recorder: Recorder) -> None:
        recorder.console(5, b"first\r\nsec")
        recorder.console(7, b"ond \xff\x1b[1m\nrest")

    lines = recorded(tmp_path / "r", say).console
    assert [(line.host_ns, line.text) for line in lines[:2]] == [
        (5, "first"),
        (7, "second \ufffd\x1b[1m"),
    ]
    assert (lines[2].text, lines[2].reference) == ("rest", "c2")


def test_a_line_that_is_not_complete_is_heard_and_kept_with_its_time(tmp_path: Path) -> None:
    heard: list[tuple[int, str]] = []

    def say(recorder: Recorder) -> None:
        recorder.on_prompt = lambda ns, text: heard.append((ns, text))
        recorder.console(5, b"boot device: <unknown>\nroot ")
        recorder.console(7, b"device: ")

    (_, prompt) = recorded(tmp_path / "r", say).console
    assert heard == [(5, "root "), (7, "root device: ")]
    assert (prompt.host_ns, prompt.text) == (7, "root device: ")


def test_listeners_hear_lines_and_records_also_past_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONSOLE_BYTES", 100)
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 128)
    heard: list[object] = []

    def say(recorder: Recorder) -> None:
        recorder.on_line = lambda _ns, text: heard.append(text)
        recorder.on_record = lambda record: heard.append(record[0])
        for number in range(10):
            recorder.console(number, b"line %d\n" % number)
        for _ in range(5):
            recorder.stream(0, raw(Kind.FIRST))

    made = recorded(tmp_path / "r", say)
    assert heard == [f"line {n}" for n in range(10)] + [Kind.FIRST] * 5
    assert 0 < len(made.console) < 10
    assert made.header.console_dropped == 6 * (10 - len(made.console))
    assert made.header.console_bytes == 70
    assert len(made.events) + made.header.events_dropped == 5


def test_what_is_kept_is_the_beginning_without_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONSOLE_BYTES", 100)

    def say(recorder: Recorder) -> None:
        recorder.console(0, b"a\n" + b"b" * 200 + b"\nc\n")

    assert [line.text for line in recorded(tmp_path / "r", say).console] == ["a"]


@given(cuts=st.lists(st.integers(1, 150), max_size=12))
def test_records_may_come_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    whole = b"".join(raw(Kind.IN, n) for n in range(10))
    heard: list[int] = []

    def say(recorder: Recorder) -> None:
        recorder.on_record = lambda record: heard.append(record[6])
        at = 0
        for cut in [*cuts, len(whole)]:
            recorder.stream(0, whole[at : at + cut])
            at += cut

    made = recorded(tmp_path_factory.mktemp("r"), say)
    assert heard == [event.values[0] for event in made.events] == list(range(10))


def test_a_stream_that_ends_within_a_record_loses_only_that(tmp_path: Path) -> None:
    made = recorded(tmp_path / "r", lambda r: r.stream(0, raw(Kind.FIRST) + raw(Kind.IN)[:30]))
    assert [event.kind for event in made.events] == [Kind.FIRST]


def test_the_plan_is_in_the_header(tmp_path: Path) -> None:
    plan = Plan((Function("f", 16, 32, reads=(Read("r", 4, argument=0),)),
                 Function("g", 48, 64, leave=False)))  # fmt: skip
    made = recorded(tmp_path / "r", lambda r: r.stream(0, raw(Kind.ENTER, 0)), plan)
    assert made.header.functions == ("f", "g")
    assert made.header.points == (1,)
    assert made.function(made.events[0]) == "f"
    assert made.value(made.events[0], "r") is None


def test_the_folder_is_private(tmp_path: Path) -> None:
    made = recorded(tmp_path / "a" / "r", lambda _recorder: None)
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written: Not a directory"):
        recorded(tmp_path / "file" / "r", lambda _recorder: None)


def test_trouble_is_told_once_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def say(recorder: Recorder) -> None:
        recorder.console(0, b"kept\n")
        monkeypatch.setattr(os, "write", full)
        recorder.console(1, b"lost\n")
        recorder.console(2, b"lost too\n")
        assert recorder.trouble.done()
        monkeypatch.undo()

    with pytest.raises(RecordingError, match="No space left") as caught:
        recorded(tmp_path / "r", say)
    assert "Free space" in caught.value.advice
    assert [line.text for line in Recording.open(tmp_path / "r").console] == ["kept"]


def test_the_header_opens_from_the_beginning_on(tmp_path: Path) -> None:
    async def begin() -> Recording:
        Recorder(tmp_path / "r", header(), Plan())
        return Recording.open(tmp_path / "r")

    assert asyncio.run(begin()).header.ended_ns is None


def test_only_the_last_recordings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "KEPT_RECORDINGS", 3)
    folders = []
    for number in range(5):
        monkeypatch.setattr(module.time, "strftime", lambda _f, n=number: f"2026-{n}-")
        folders.append(new_folder())
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("record", "progress"),
    [
        (raw(Kind.PROGRESS), True), (raw(Kind.ENTER), True), (raw(Kind.SLIDE), True),
        (raw(Kind.IN), False), (raw(Kind.RDTSC), False), (raw(Kind.CPUID, 1), False),
        (raw(Kind.CPUID, 0x54480002), True), (raw(Kind.CPUID, 0x54480003 | 7 << 32), True),
    ],
)  # fmt: skip
def test_progress_is_what_was_not_done_before(record: bytes, progress: bool) -> None:
    assert is_progress(RECORD.unpack(record)) is progress


def test_machine_events_are_kept_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_MACHINE_BYTES", 200)

    def say(recorder: Recorder) -> None:
        for number in range(50):
            recorder.machine_event(number, "RTC_CHANGE", {"offset": number})

    made = recorded(tmp_path / "r", say)
    assert 0 < len(made.machine_events) < 5
    assert made.machine_events[0].data == {"offset": 0}
    assert json.loads((made.folder / "recording.json").read_text())["format"]


DIES = """
import asyncio, os, pathlib, signal, sys
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from watch.stream import header
from watch.test_recorder import CHANGE, STOPS

async def record():
    recorder = Recorder(pathlib.Path(sys.argv[1]), header(), Plan())
    for stop in STOPS:
        recorder.stopped(stop)
    recorder.intervened(CHANGE)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(record())
"""
STOPS = [Stopped(n, 10 * n, 10 * n + 1, 0, 0x1000, "tc_init") for n in range(3)]
CHANGE = Intervention(0, 5, Did.VARIABLE, "tsc_freq = 1 (was 0)", 0)


def test_stops_and_changes_survive_a_sudden_death(tmp_path: Path) -> None:
    """Each is written when it is over: nobody has to close the recording."""
    died = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path / "r")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    recording = Recording.open(tmp_path / "r")
    assert list(recording.stops) == STOPS
    assert list(recording.interventions) == [CHANGE]
