"""The boot log in a recording: kept when the boot was over, and told again without the guest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from timehands.errors import SurveyFailed
from timehands.guests.tslog.log import Record, Tslog
from timehands.guests.tslog.memory import read_tslog
from timehands.guests.tslog.spans import spans
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.survey_values import Survey
from timehands.story.model import LogSpan
from timehands.watch.recording import Recording

#: The key in what a system's ``look`` gives.
KEY: Final = "tslog"
#: A row of JSON without its thread and its time: what, name, detail, commas, blanks, brackets.
_ROW_BYTES: Final = 27
#: So many records, and so many bytes of them as JSON, fit into what a recording keeps of a last
#: look (`timehands.watch.recording.MAX_JSON_BYTES`, with room for the rest).
MOST_KEPT: Final = 100_000
MOST_BYTES: Final = 6 << 20


def look_at_log(kernel: Kernel, memory: Memory) -> dict[str, Any] | None:
    """The log as JSON types, for a system's ``look``; None when the kernel keeps none.

    Of more than 100,000 records, or 6 MiB of them, the first ones; ``written`` says how many there
    were.
    """
    log = read_tslog(kernel, memory)
    if log is None or not log.records:
        return None
    return replace(log, records=tuple(_fitting(log.records[:MOST_KEPT]))).to_json()


def _fitting(records: Iterable[Record]) -> Iterator[Record]:
    """The first records, as many as make `MOST_BYTES` of JSON."""
    room, told = MOST_BYTES, set[str | None]([None])
    for record in records:
        room -= len(str(record.thread)) + len(str(record.tsc)) + _ROW_BYTES
        for text in (record.name, record.detail):
            if text not in told:
                told.add(text)
                room -= len(json.dumps(text)) + 2
        if room < 0:
            return
        yield record


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
