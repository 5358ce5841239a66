"""The log in a recording: what is kept of it, and what it tells without the guest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recordings import Tape
from reports.build import survey
from timehands.guests.tslog import Record, Tslog, What, log_of, log_spans, look_at_log
from timehands.guests.tslog import kept as kept_module
from timehands.kernels.kernel import Kernel
from timehands.watch.recording import Recording

#: 2,500 cycles of a TSC of 2.5 GHz: 1 us.
LOG = Tslog(
    (
        Record(1, What.ENTER, 10_000, "DELAY", "1"),
        Record(1, What.EXIT, 12_500, "DELAY"),
    ),
    2,
)


def recorded(folder: Path, looked: Any, *, surveyed: bool = False) -> Recording:
    tape = Tape(survey=survey() if surveyed else None)
    tape.begins()
    tape.ends("boundary", ms=50)
    recording = tape.write(folder)
    (folder / "looked.json").write_text(json.dumps(looked))
    return Recording.open(recording.folder)


def test_a_log_gets_its_times_from_the_machines_true_rate(tmp_path: Path) -> None:
    recording = recorded(tmp_path, {"tslog": LOG.to_json()}, surveyed=True)
    (span,) = log_spans(recording, 1_000_000)
    true = survey().tsc
    assert true is not None
    assert (span.name, span.detail, span.start_ns) == ("DELAY", "1", 0)
    assert span.end_ns == 2_500 * 10**9 // true.hz


def test_without_a_survey_the_kernels_own_rate_is_taken(tmp_path: Path) -> None:
    recording = recorded(tmp_path, {"tslog": LOG.to_json()})
    assert [span.end_ns for span in log_spans(recording, 2_500_000_000)] == [1_000]


@pytest.mark.parametrize("believed", [None, 0, -5])
def test_without_any_rate_nothing_is_told(tmp_path: Path, believed: int | None) -> None:
    recording = recorded(tmp_path, {"tslog": LOG.to_json()})
    assert log_spans(recording, believed) == ()


@pytest.mark.parametrize("kept", [None, 7, [], {}, {"records": [[1, 9, 0, 0, 0]]}, {"records": 5}])
def test_a_log_that_makes_no_sense_is_none(tmp_path: Path, kept: Any) -> None:
    recording = recorded(tmp_path, {"tslog": kept}, surveyed=True)
    assert log_of(recording) is None
    assert log_spans(recording, 10**9) == ()


def test_what_is_kept_is_bounded_and_says_how_much_there_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = Tslog(LOG.records * 60_000, 120_000)
    monkeypatch.setattr(kept_module, "read_tslog", lambda _kernel, _memory: many)
    found = look_at_log(object.__new__(Kernel), object())  # type: ignore[arg-type]
    assert found is not None
    assert len(found["records"]) == kept_module.MOST_KEPT
    assert found["written"] == 120_000
    pointer = (1 << 64) - 1
    longest = json.dumps([pointer, 0, pointer, len(found["strings"]), -1])
    assert len(longest) * kept_module.MOST_KEPT < 8 << 20


def test_a_kernel_without_a_log_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, Tslog((), 0)):
        monkeypatch.setattr(kept_module, "read_tslog", lambda _k, _m, found=found: found)
        assert look_at_log(object.__new__(Kernel), object()) is None  # type: ignore[arg-type]


def test_a_log_of_long_strings_is_cut_to_what_a_recording_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f'\N{SNOWMAN}"{n}' for n in range(500)]
    records = tuple(Record(1 << 63, What.ENTER, 10**12, name) for name in names)
    monkeypatch.setattr(kept_module, "read_tslog", lambda *_: Tslog(records, 500))
    monkeypatch.setattr(kept_module, "MOST_BYTES", 10_000)
    kept = look_at_log(object.__new__(Kernel), object())  # type: ignore[arg-type]
    assert kept is not None
    assert 8_000 < len(json.dumps(kept)) < 10_100
    assert kept["written"] == 500
