"""A deterministic machine boots the same way each time, as far as anybody can tell from its story.

TIMEHANDS_DETERMINISTIC_BOOTS says how often it is booted, twice unless told otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu, sample_kernel
from timehands.boot import Booted, Request, boot_request
from timehands.machines.machine import Machine
from timehands.reports.json_report import to_json, without_host_times
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

pytestmark = pytest.mark.boot


def boot(folder: Path) -> Booted:
    machine = Machine(deterministic=True)
    return asyncio.run(boot_request(Request(sample_kernel(), machine, folder=folder)))


def without_times(recording: Recording) -> list[Event]:
    """The events without host times and without what watching cost."""
    timed = (Kind.HELLO, Kind.COST)
    return [replace(e, host_ns=0) for e in recording.events if e.kind not in timed]


def test_story_events_and_console_are_the_same_each_time(tmp_path: Path) -> None:
    plugin_qemu()
    times = int(os.environ.get("TIMEHANDS_DETERMINISTIC_BOOTS", "2"))
    first = boot(tmp_path / "0")
    assert first.recording.header.ended_reason == "guest-reset"
    assert len(first.recording.events) > 1000
    for number in range(1, times):
        again = boot(tmp_path / str(number))
        assert without_times(again.recording) == without_times(first.recording)
        assert [c.text for c in again.recording.console] == [
            c.text for c in first.recording.console
        ]
        assert story(again) == story(first)


def story(booted: Booted) -> str:
    return json.dumps(without_host_times(to_json(booted.report)), sort_keys=True)
