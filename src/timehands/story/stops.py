"""Which measurements of the kernel a stop of ours fell into: in one place, for all systems."""

from __future__ import annotations

from dataclasses import replace

from timehands.story.model import Story
from timehands.watch.recording import Recording


def with_stops(story: Story, recording: Recording) -> Story:
    """The story with each calibration naming the stops that fell inside it.

    What a stop does to a measurement depends on the machine (`Calibration.stops`). A frequency that
    was told, not measured, it does not touch.
    """
    if not recording.stops:
        return story
    zero = -recording.since_start(0)
    calibrations = tuple(
        one
        if one.told
        else replace(one, stops=recording.stops_within(one.start_ns + zero, one.end_ns + zero))
        for one in story.calibrations
    )
    return replace(story, calibrations=calibrations)
