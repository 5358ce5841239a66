"""What we did to a guest, on disk and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recordings import STARTED_NS, Tape
from timehands.watch.interventions import Did, Intervention, Stopped

STOP = Stopped(3, STARTED_NS + 10, STARTED_NS + 20, 0, 0xFFFFFFFF80001234, "tc_init", "tc_init",
               {"tc->tc_name": '"i8254"'}, ("startrtclock", "main"))  # fmt: skip
DONE = Intervention(0, STARTED_NS + 15, Did.VARIABLE, "tsc_freq = 1 (was 0)", 3)


def test_both_go_to_json_and_back() -> None:
    assert Stopped.from_json(json.loads(json.dumps(STOP.to_json()))) == STOP
    assert Intervention.from_json(json.loads(json.dumps(DONE.to_json()))) == DONE
    assert (STOP.reference, DONE.reference) == ("s3", "i0")


@pytest.mark.parametrize(
    "damage", [{"pc": "main"}, {"index": None}, {"backtrace": [1]}, {"values": {"a": 1}}]
)
def test_a_row_that_makes_no_sense_is_no_stop(damage: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Stopped.from_json({**STOP.to_json(), **damage})


def test_a_recording_opens_with_its_rows_and_leaves_damaged_ones_out(tmp_path: Path) -> None:
    recording = Tape().write(tmp_path)
    rows = [json.dumps(STOP.to_json()), '{"index": 4}', "[]", "damaged"]
    (tmp_path / "stops.jsonl").write_text("\n".join(rows))
    (tmp_path / "interventions.jsonl").write_text(json.dumps(DONE.to_json()) + "\n{}")
    (tmp_path / "looked.json").write_text('{"tsc_freq": 0}')
    assert recording.stops == (STOP,)
    assert recording.interventions == (DONE,)
    assert recording.looked == {"tsc_freq": 0}


@pytest.mark.parametrize(
    ("start", "end", "inside"), [(0, 10, ()), (0, 11, ("s3",)), (19, 30, ("s3",)), (20, 30, ())]
)
def test_a_stop_is_inside_what_it_overlaps(
    tmp_path: Path, start: int, end: int, inside: tuple[str, ...]
) -> None:
    recording = Tape().write(tmp_path)
    (tmp_path / "stops.jsonl").write_text(json.dumps(STOP.to_json()))
    assert recording.stops_within(STARTED_NS + start, STARTED_NS + end) == inside


def test_a_recording_without_them_has_none(tmp_path: Path) -> None:
    recording = Tape().write(tmp_path)
    (tmp_path / "looked.json").write_text("[1, 2")
    assert (recording.stops, recording.interventions, recording.looked) == ((), (), {})
