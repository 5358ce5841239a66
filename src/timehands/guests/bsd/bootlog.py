"""The kernel's own boot log (TSLOG), where it keeps one: read at the end, told in the story."""

from __future__ import annotations

import contextlib
from typing import Any

from timehands.guests.tslog import Tslog, read_tslog, spans
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.story.model import LogSpan
from timehands.watch.recording import Recording


def boot_log(kernel: Kernel, memory: Memory) -> dict[str, Any] | None:
    """The log as JSON types; None: the kernel keeps none."""
    log = read_tslog(kernel, memory)
    return log.to_json() if log else None


def boot_spans(recording: Recording, tsc_hz: int | None) -> tuple[LogSpan, ...]:
    """What ran in what, by the log; nothing without the TSC's frequency, which is its clock."""
    data = recording.looked.get("tslog")
    if not isinstance(data, dict) or not tsc_hz or tsc_hz < 0:
        return ()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return spans(Tslog.from_json(data), tsc_hz)
    return ()
