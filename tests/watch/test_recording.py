"""Opening recordings: what was written comes back, and damage is told or left out."""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timehands.errors import RecordingDamaged, RecordingError
from timehands.watch.recording import MAX_JSON_BYTES, Header, Recording, Spot
from timehands.watch.records import Kind
from watch.stream import header, raw

QUICK = settings(max_examples=60, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def written(folder: Path, text: str | bytes | None = None, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    content = json.dumps(header().to_json()) if text is None else text
    raw_text = content.encode() if isinstance(content, str) else content
    (folder / "recording.json").write_bytes(raw_text)
    for name, value in files.items():
        (folder / name.replace("_", ".")).write_bytes(value)
    return folder


def everything(recording: Recording) -> None:
    """Touch all that can be read from a recording."""
    for event in recording.events:
        recording.function(event)
        recording.text(event, "x")
        recording.number(event, "x")
    str((recording.console, recording.machine_events, recording.symbols, recording.reset_log))
    str((recording.watching, recording.watching.overhead_percent))


def test_a_header_survives_json() -> None:
    full = header()
    full.spots = (Spot(0, 1 << 63, False, True),)
    full.functions, full.function_starts, full.points = ("f",), (1 << 63,), (0,)
    full.read_names = (("a", "b"),)
    full.survey = {"a": [1, None]}
    full.command = ("qemu", "-S")
    assert Header.from_json(json.loads(json.dumps(full.to_json()))) == full


@pytest.mark.parametrize("name", [f.name for f in fields(Header)])
def test_a_member_of_a_wrong_type_is_damage(tmp_path: Path, name: str) -> None:
    for wrong in ({"a": 1}, [[1]], 1.5, "text", True, 1 << 70):
        plain = header().to_json()
        if name in ("survey", "facts") and isinstance(wrong, dict):
            continue
        if isinstance(wrong, str) and isinstance(plain[name], str | None):
            continue
        plain[name] = wrong
        folder = written(tmp_path / "r", json.dumps(plain))
        try:
            opened = Recording.open(folder)
        except RecordingDamaged as error:
            assert "makes no sense" in str(error)
        else:  # a text is a sequence of texts; a machine has defaults
            likely = ("machine", "command", "functions", "read_names")
            assert name in likely or (name, wrong) == ("chosen", True), (name, wrong)
            everything(opened)


@QUICK
@given(st.dictionaries(st.sampled_from([f.name for f in fields(Header)]), JSON, min_size=1))
def test_any_json_in_the_header_opens_or_is_damage(tmp_path: Path, wrong: dict[str, Any]) -> None:
    plain = header().to_json() | wrong
    try:
        opened = Recording.open(written(tmp_path / "r", json.dumps(plain)))
    except RecordingError:
        return
    everything(opened)
    assert Header.from_json(opened.header.to_json()) == opened.header


@QUICK
@given(st.data())
def test_a_header_with_flipped_bytes_opens_or_is_damage(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = bytearray(json.dumps(header().to_json()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        everything(Recording.open(written(tmp_path / "r", bytes(text))))
    except RecordingError:
        return


@QUICK
@given(
    events_bin=st.binary(max_size=1000),
    console_jsonl=st.binary(max_size=300),
    machine_jsonl=st.binary(max_size=300),
    reset_log=st.binary(max_size=100),
)
def test_any_bytes_in_the_files_open(tmp_path: Path, **files: bytes) -> None:
    everything(Recording.open(written(tmp_path / "r", **files)))


@QUICK
@given(st.lists(st.fixed_dictionaries({}, optional={"ns": JSON, "text": JSON, "name": JSON,
                                                    "data": JSON})))  # fmt: skip
def test_rows_of_any_shape_are_lines_or_left_out(tmp_path: Path, rows: list[Any]) -> None:
    content = "\n".join(json.dumps(row) for row in rows).encode()
    folder = written(tmp_path / "r", console_jsonl=content, machine_jsonl=content)
    opened = Recording.open(folder)
    for line in opened.console:
        assert isinstance(line.host_ns, int)
        line.text.encode()
    for event in opened.machine_events:
        assert isinstance(event.data, dict)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", "7", '"text"', '{"format": 1}', "[" * 100_000, '{"a":' * 50_000,
        '{"format": "timehands-recording/2"}', '{"format": "timehands-recording/1"}',
        "1" * 10_000, "NaN", "\x00", '{"format": "\\ud800"}',
        '{"format": "timehands-recording/1"' + " " * MAX_JSON_BYTES + "}",
    ],
)  # fmt: skip
def test_what_is_no_header_is_damage(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingDamaged, match="makes no sense"):
        Recording.open(written(tmp_path / "r", text))


def test_strings_that_cannot_be_printed_are_damage(tmp_path: Path) -> None:
    plain = header().to_json() | {"stderr": "\ud800"}
    with pytest.raises(RecordingDamaged):
        Recording.open(written(tmp_path / "r", json.dumps(plain)))


@pytest.mark.parametrize("text", [b"[]", b'{"zz": "f"}', b"{", b'{"1": {"a": ' + b"[" * 99_999])
def test_symbols_that_make_no_sense_are_damage(tmp_path: Path, text: bytes) -> None:
    folder = written(tmp_path / "r", symbols_json=text)
    with pytest.raises(RecordingDamaged, match=r"symbols\.json makes no sense"):
        assert Recording.open(folder).symbols


def test_no_folder_is_told_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording can be opened here") as caught:
        Recording.open(tmp_path / "none")
    assert "timehands boot" in caught.value.advice


@pytest.mark.parametrize("name", ["recording.json", "events.bin", "console.jsonl"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "r")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    begun = time.monotonic()
    with pytest.raises(RecordingError, match="no regular file"):
        everything(Recording.open(folder))
    assert time.monotonic() - begun < 5


def test_watching_counts_what_was_passed_over_and_what_it_cost(tmp_path: Path) -> None:
    stream = b"".join(
        (
            raw(Kind.HELLO, 1),
            raw(Kind.RDTSC),
            raw(Kind.COUNT, Kind.RDTSC, 300, 250),
            raw(Kind.COST, 30, 20, 10, 5, 1),
        )
    )
    plain = header().to_json() | {"qemu_cpu_ns": 1000}
    watching = Recording.open(
        written(tmp_path / "r", json.dumps(plain), events_bin=stream)
    ).watching
    assert (watching.events, watching.passed_over, watching.callbacks) == (1, 250, 20)
    assert watching.overhead_percent == 4.0
