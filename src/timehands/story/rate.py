"""How fast the guest's clock ran, and what time of day it told: from the marks of our init.

Init reads its clocks between two marks. Each mark is an event with a host time, so a reading lies
in a sandwich: not before the first mark, not after the second. Two readings then bound the rate
from both sides, without any assumption about delays.
"""

from __future__ import annotations

from dataclasses import dataclass

from timehands.machines.initrd import MARK_AFTER, MARK_BEFORE
from timehands.story.model import Rate, WallClock
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

_MILLION = 1_000_000
#: Shorter baselines say too little: the sandwich would be wider than what is looked for.
SHORTEST_BASELINE_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the guest's clocks: between ``before`` and ``after``, events of host time."""

    before: Event
    after: Event

    @property
    def monotonic_ns(self) -> int:
        """The guest's CLOCK_MONOTONIC."""
        return self.after.values[1]

    @property
    def realtime_ns(self) -> int:
        """The guest's CLOCK_REALTIME."""
        return self.after.values[2]


def readings(recording: Recording) -> tuple[Reading, ...]:
    """The readings that init took, in order."""
    found: list[Reading] = []
    before: Event | None = None
    for event in recording.events:
        if event.kind is not Kind.CPUID:
            continue
        if event.leaf[0] == MARK_BEFORE:
            before = event
        elif event.leaf[0] == MARK_AFTER and before is not None:
            found.append(Reading(before, event))
            before = None
    return tuple(found)


def rate_of(recording: Recording, step_ns: int) -> Rate | None:
    """The rate of the guest's monotonic clock against the host's; None: not enough readings.

    ``step_ns`` is the step of the guest's clock: a reading may be that much behind its moment.
    """
    taken = readings(recording)
    if len(taken) < 2:
        return None
    first, last = taken[0], taken[-1]
    guest = last.monotonic_ns - first.monotonic_ns
    shortest = last.before.host_ns - first.after.host_ns
    longest = last.after.host_ns - first.before.host_ns
    if shortest < SHORTEST_BASELINE_NS:
        return None
    slowest, fastest = guest - step_ns, guest + step_ns
    over = longest if slowest >= 0 else shortest
    low = (slowest - over) * _MILLION // over
    over = shortest if fastest >= 0 else longest
    high = -((over - fastest) * _MILLION // over)
    return Rate(low, high, longest, (first.after.reference, last.after.reference))


def wall_clock_of(recording: Recording) -> WallClock | None:
    """The guest's time of day at its first reading against the host's; None: not known."""
    taken = readings(recording)
    hello = next((e for e in recording.events if e.kind is Kind.HELLO), None)
    if not taken or hello is None:
        return None
    host = hello.values[1] + taken[0].after.host_ns - hello.host_ns
    offset = taken[0].realtime_ns - host
    return WallClock(offset, "init's CLOCK_REALTIME", (taken[0].after.reference,))
