"""Who served FreeBSD's busy waits, from when on (sys/x86/x86/delay.c)."""

from __future__ import annotations

from dataclasses import dataclass

from timehands.guests.telling import XEN_CLOCK, backtrace, entries
from timehands.story.model import Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event

#: A function that serves DELAY before there is a clock of quality, and the clock that it reads.
EARLY = {"i8254_delay": "i8254", "xen_delay": XEN_CLOCK}
_MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Served:
    """A DELAY: the clock that it waited by, and in words why that one."""

    clock: str
    why: str


def served(recording: Recording, event: Event) -> Served | None:
    """Who serves the DELAY that is entered, as ``delay_tc`` decides; None: it was not read.

    The TSC when it is invariant and its frequency known; else the timecounter in use when its
    quality is above 0; else ``init_ops.early_delay``.
    """
    hz = recording.number(event, "tsc_freq")
    if hz and recording.number(event, "tsc_is_invariant"):
        return Served("TSC", f"the TSC is invariant and its frequency known ({hz:,} Hz)")
    name, quality = recording.text(event, "current"), _signed(recording, event, "current_quality")
    if name and quality is not None and quality > 0:
        return Served(name, f"timecounter {name}, quality {quality}")
    target = recording.number(event, "early_delay")
    if target is None:
        return None
    function = recording.symbols.get(target, f"0x{target:x}")
    instead = f"timecounter {name} has quality {quality:,}" if quality is not None else "no counter"
    return Served(EARLY.get(function, function), f"{function}, as {instead}")


def delays(recording: Recording) -> tuple[Step, ...]:
    """A step for each change of who serves DELAY."""
    steps: list[Step] = []
    last = None
    for event in entries(recording, "DELAY"):
        now = served(recording, event)
        if now is None or (last and now.clock == last.clock):
            continue
        if len(steps) == _MOST_STEPS:
            break
        at = recording.since_start(event.host_ns)
        callers = backtrace(recording, event)
        steps.append(Step(at, f"{now.clock} ({now.why})", (event.reference,), callers))
        last = now
    return tuple(steps)


def _signed(recording: Recording, event: Event, name: str) -> int | None:
    raw = recording.value(event, name)
    return int.from_bytes(raw, "little", signed=True) if raw else None
