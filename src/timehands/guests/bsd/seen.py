"""A call of a watched function and what happened while it lasted: the matter of calibrations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from timehands.guests.bsd.planning import before_name
from timehands.story.model import Calibration
from timehands.story.spans import Call
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

_PIT_PORTS = frozenset({0x40, 0x42, 0x43, 0x61})
_MOST_EVIDENCE = 6
#: Events that are looked at in all: a recording may be hostile.
MOST_LOOKED_AT = 500_000
#: A measurement that takes this much of its time was held up.
_LATE_PERCENT = 110
Registers = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """A call and the events within it."""

    recording: Recording
    call: Call
    events: tuple[Event, ...]

    def make(
        self, of: str, against: str, result_hz: int | None, detail: str, method: str | None = None
    ) -> Calibration:
        """The calibration that this call was; ``method``: one inlined into it."""
        recording, call = self.recording, self.call
        inside = [e for e in self.events if e.kind in (Kind.CPUID, Kind.IN, Kind.OUT)]
        left = (call.left.reference,) if call.left else ()
        return Calibration(
            of,
            against,
            method or call.name,
            recording.since_start(call.start_ns),
            recording.since_start(call.end_ns),
            result_hz,
            detail if call.left else f"{detail}; it did not return",
            (call.entered.reference, *(e.reference for e in inside[:_MOST_EVIDENCE]), *left),
            recording.stops_within(call.start_ns, call.end_ns),
        )

    def before(self, name: str) -> int | None:
        """A variable at the entry."""
        return self.recording.number(self.call.entered, before_name(name))

    def after(self, name: str) -> int | None:
        """A variable at the return."""
        return self.recording.number(self.call.left, name) if self.call.left else None

    def leaf(self, number: int) -> Registers | None:
        """What a CPUID leaf gave while the call lasted."""
        return leaf_of(self.events, number)

    def held_up(self, nominal_ns: int) -> str:
        """That a measurement took much longer than it should have, by the host's clock.

        On a deterministic machine host time says nothing of it.
        """
        took_ns = self.call.duration_ns
        late = took_ns * 100 >= nominal_ns * _LATE_PERCENT
        if self.recording.header.machine.deterministic or not late:
            return ""
        return f"; these {nominal_ns // 1_000_000} ms took {took_ns / 1e6:.0f} ms of host time"

    @property
    def reads_pit(self) -> bool:
        """Whether the i8254's ports were read while it lasted."""
        return any(e.kind is Kind.IN and e.values[0] in _PIT_PORTS for e in self.events)

    @property
    def pit_is_silent(self) -> bool:
        """Whether every read of the i8254's count gave 0xff: nothing is there."""
        counts = [e for e in self.events if e.kind is Kind.IN and e.values[0] in (0x40, 0x42)]
        known = [e.values[1] for e in counts if not e.no_result]
        return bool(known) and all(value == 0xFF for value in known)

    def within(self, name: str) -> bool:
        """Whether another watched function was entered while it lasted."""
        return any(e.kind is Kind.ENTER and self.recording.function(e) == name for e in self.events)


def leaf_of(events: Iterable[Event], number: int) -> Registers | None:
    """What a CPUID leaf gave the first time: eax, ebx, ecx, edx."""
    for event in events:
        if event.kind is Kind.CPUID and event.leaf[0] == number and not event.no_result:
            return event.registers
    return None


def seen_calls(recording: Recording, calls: Iterable[Call], names: frozenset[str]) -> list[Seen]:
    """The calls of these functions with their events, in order of time."""
    found: list[Seen] = []
    left = MOST_LOOKED_AT
    for call in calls:
        if call.name not in names:
            continue
        first = call.entered.index + 1
        last = call.left.index if call.left else len(recording.events)
        events = recording.events[first : min(last, first + left)]
        left -= len(events) + 1
        if left <= 0:
            break
        found.append(Seen(recording, call, events))
    return found
