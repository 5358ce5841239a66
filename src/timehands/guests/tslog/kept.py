"""The boot log in a recording: kept when the boot was over, and told again without the guest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from timehands.errors import SurveyFailed
from timehands.guests.tslog.log import Tslog
from timehands.guests.tslog.memory import read_tslog
from timehands.guests.tslog.spans import spans
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.survey_values import Survey
from timehands.story.model import LogSpan
from timehands.watch.recording import Recording

#: The key in what a system's ``look`` gives.
KEY: Final = "tslog"
#: So many records fit into what a recording keeps of a last look.
MOST_KEPT: Final = 100_000


def look_at_log(kernel: Kernel, memory: Memory) -> dict[str, Any] | None:
    """The log as JSON types, for a system's ``look``; None when the kernel keeps none.

    Of more than 100,000 records the first ones; ``written`` says how many there were.
    """
    log = read_tslog(kernel, memory)
    if log is None or not log.records:
        return None
    return replace(log, records=log.records[:MOST_KEPT]).to_json()


def log_of(recording: Recording) -> Tslog | None:
    """The log that a recording holds; None: none, or one that makes no sense."""
    kept = recording.looked.get(KEY)
    if not isinstance(kept, dict):
        return None
    try:
        return Tslog.from_json(kept)
    except (ValueError, KeyError, TypeError):
        return None


def log_spans(recording: Recording, believed_hz: int | None) -> tuple[LogSpan, ...]:
    """What ran in what, in ns by the TSC's true rate where a survey knows it.

    Else by what the kernel believes; without either a log has no times, and nothing is told.
    """
    log = log_of(recording)
    tsc_hz = _true_hz(recording) or believed_hz
    return spans(log, tsc_hz) if log and tsc_hz and tsc_hz > 0 else ()


def _true_hz(recording: Recording) -> int | None:
    data = recording.header.survey
    try:
        offer = Survey.from_json(data).offer("tsc") if data else None
    except SurveyFailed:
        return None
    return offer.hz if offer else None
