"""Putting the clocks of a BSD kernel together: how found, who waits by which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from timehands.guests.bsd.planning import before_name
from timehands.guests.telling import Draft, entries
from timehands.story.instructions import touched_clocks
from timehands.story.model import Calibration, Clock, ClockRole, ClockState, Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

#: What serves DELAY, a pointer to a function; and which clock the functions read.
DELAY_FUNC = "delay_func"
DELAYS = {
    "i8254_delay": "i8254",
    "lapic_delay": "lapic",
    "tsc_delay": "tsc",
    "acpitimer_delay": "acpi_pm",
    "hpet_delay": "hpet",
    "xen_delay": "Xen's clock",
}
_MOST_DELAYS = 20
INVARIANT_LEAF, _INVARIANT_BIT = 0x80000007, 1 << 8


@dataclass(frozen=True, slots=True)
class Clocks:
    """All clocks of a recording, and which ones are in use at its end."""

    clocks: tuple[Clock, ...]
    selected: str | None
    selected_timer: str | None
    timer_armed: Event | None


def tell_how(
    drafts: Iterable[Draft], calibrations: tuple[Calibration, ...], fixed: Mapping[str, str]
) -> None:
    """How each frequency was found, with a step for each attempt; ``fixed``: without any."""
    for draft in drafts:
        of = draft.name.lower().removesuffix("-low")  # FreeBSD's name of a TSC that it shifts
        tries = [c for c in calibrations if c.of == of]
        draft.steps += [_step_of(c) for c in tries]
        draft.how = _how(tries) or draft.how or fixed.get(draft.name, "")


def _step_of(calibration: Calibration) -> Step:
    result = f"{calibration.result_hz:,} Hz" if calibration.result_hz else "nothing"
    what = f"{calibration.method} against {calibration.against}: {result} ({calibration.detail})"
    return Step(calibration.end_ns, what, calibration.evidence)


def _how(tries: list[Calibration]) -> str:
    good = [c for c in tries if c.result_hz]
    if not good:
        return "; ".join(dict.fromkeys(c.detail for c in tries))
    return f"{good[-1].method} against {good[-1].against}"


def invariant_bit(recording: Recording) -> str:
    """What CPUID said of an invariant TSC, in words."""
    for event in recording.events:
        if event.kind is Kind.CPUID and event.leaf[0] == INVARIANT_LEAF:
            state = "set" if event.registers[3] & _INVARIANT_BIT else "clear"
            return f"CPUID 0x80000007 edx bit 8 is {state}"
    return "CPUID 0x80000007 was not read"


def wall_clock(recording: Recording, *readers: str) -> Iterator[Draft]:
    """The RTC: touched, or read as the time of day by one of these functions."""
    touched = touched_clocks(recording.events).get("rtc")
    if touched is None:
        return
    draft = Draft("rtc", ClockRole.WALL, frequency_hz=1)
    draft.step(recording, touched.first[0], "first touched", ClockState.PROBED)
    read = next(entries(recording, *readers), None)
    if read:
        draft.step(recording, read, "read as the time of day", ClockState.SELECTED)
        draft.how = "the time of day was read from it"
    yield draft


def clock_of(recording: Recording, function: int | None) -> tuple[str, str]:
    """Which clock a function serves DELAY by, and the function's name; by its address."""
    name = recording.symbols.get(function, f"0x{function:x}") if function else "unknown"
    return DELAYS.get(name, name), name


def delay_func(recording: Recording, event: Event) -> int | None:
    """Where ``delay_func`` pointed when a watched function was entered or left."""
    if not recording.function(event):
        return None
    name = before_name(DELAY_FUNC) if event.kind is Kind.ENTER else DELAY_FUNC
    return recording.number(event, name)


def delays(recording: Recording) -> tuple[Step, ...]:
    """Who served DELAY from when on: each change of the pointer ``delay_func``."""
    steps: list[Step] = []
    last = None
    for event in recording.events:
        target = delay_func(recording, event)
        if not target or target == last or len(steps) == _MOST_DELAYS:
            continue
        clock, name = clock_of(recording, target)
        by = f", set by {recording.function(event)}" if event.kind is Kind.LEAVE else ""
        at = recording.since_start(event.host_ns)
        steps.append(Step(at, f"{clock} ({name}{by})", (event.reference,)))
        last = target
    return tuple(steps)
