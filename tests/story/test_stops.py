"""A calibration names the stops that fell into it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recordings import MS, STARTED_NS, Tape
from timehands.boot import tell
from timehands.story.model import Calibration
from timehands.story.stops import with_stops
from timehands.watch.interventions import Stopped
from timehands.watch.recording import Recording


def recording(folder: Path, *spans: tuple[int, int | None]) -> Recording:
    """Stopped during these spans, in ms since the start."""
    tape = Tape()
    tape.enter("start_kernel", ms=20)
    tape.ends("guest-reset", ms=100)
    made = tape.write(folder)
    rows = [
        Stopped(
            index,
            STARTED_NS + start * MS,
            None if end is None else STARTED_NS + end * MS,
            0,
            0,
            "tc_init",
        ).to_json()
        for index, (start, end) in enumerate(spans)
    ]
    (made.folder / "stops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Recording.open(made.folder)


def test_stops_inside_a_calibration_are_named_and_others_not(tmp_path: Path) -> None:
    one = recording(tmp_path, (10, 20), (25, 35), (45, 46), (58, 70), (80, 81))
    story, _ = tell(one)
    calibrations = tuple(
        Calibration("tsc", "i8254", "f", start * MS, end * MS, None)
        for start, end in ((30, 60), (71, 79))
    )
    marked = with_stops(replace(story, calibrations=calibrations), one)
    assert [calibration.stops for calibration in marked.calibrations] == [("s1", "s2", "s3"), ()]


def test_a_story_without_stops_is_left_as_it_is(tmp_path: Path) -> None:
    one = recording(tmp_path)
    story, _ = tell(one)
    assert with_stops(story, one) is story


@pytest.mark.parametrize(
    ("against", "stops"),
    [
        ("i8254", ("s0",)),
        ("DELAY", ("s0",)),
        ("CPUID leaf 0x40000010", ()),
        ("the hypervisor (VM_GUEST_KVM)", ()),
        ("the brand string", ()),
        ("brand string", ()),
        ("VMWare hypercall", ()),
        ("pvclock", ()),
    ],
)
def test_a_frequency_that_was_told_is_not_spoilt_by_a_stop(
    tmp_path: Path, against: str, stops: tuple[str, ...]
) -> None:
    one = recording(tmp_path, (30, 31))
    story, _ = tell(one)
    calibration = Calibration("tsc", against, "f", 20 * MS, 40 * MS, 2_600_000_000)
    marked = with_stops(replace(story, calibrations=(calibration,)), one)
    assert marked.calibrations[0].stops == stops
