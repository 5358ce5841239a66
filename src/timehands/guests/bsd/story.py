"""The story of a BSD: what is told of every one in the same way, from what each one alone knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from timehands.guests.base import entered_at_once, first_boundaries, last_boundary
from timehands.guests.bsd.clocks import Clocks, delay_func, delays
from timehands.guests.bsd.ending import (
    Fault,
    Words,
    clock_known,
    init_boundary,
    kernel_entry,
    outcome,
    timer_armed,
)
from timehands.guests.telling import callers
from timehands.story.model import (
    Boundary,
    Calibration,
    Fact,
    LogSpan,
    Message,
    SpanKind,
    Step,
    Story,
)
from timehands.story.spans import Call, call_spans, calls_of, stretches
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

Calls = tuple[Call, ...]
Calibrations = tuple[Calibration, ...]


def _none(_recording: Recording) -> tuple[LogSpan, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Teller:
    """What one system adds to the story that all BSDs have.

    ``kinds`` are the functions whose time is not simply the kernel's; ``hidden`` those that are no
    span of their own (they are called everywhere). ``found_frequency`` says how an event shows a
    clock whose rate the kernel knows, ``fault`` where a trap was that led to a panic.
    """

    os: str
    words: Words
    kinds: Mapping[SpanKind, frozenset[str]]
    calibrations: Callable[[Recording, Calls], Calibrations]
    clocks: Callable[[Recording, Calibrations], Clocks]
    found_frequency: Callable[[Recording, Event], str | None]
    facts: Callable[[Recording], tuple[Fact, ...]]
    messages: Callable[[Recording], tuple[Message, ...]]
    unknown: Callable[[Recording], Iterable[str]]
    init: Callable[[Recording, Words], Boundary] = init_boundary
    fault: Callable[[Recording], Fault | None] = lambda _recording: None
    delay: Callable[[Recording], tuple[Step, ...]] = delays
    tslog: Callable[[Recording], tuple[LogSpan, ...]] = _none
    hidden: frozenset[str] = field(default_factory=frozenset)

    def tell(self, recording: Recording) -> Story:
        """What a recording of this system means."""
        calls = calls_of(recording)
        calibrations = self.calibrations(recording, calls)
        clocks = self.clocks(recording, calibrations)
        init = self.init(recording, self.words)
        boundaries = (
            *first_boundaries(recording),
            entered_at_once(recording) or kernel_entry(recording, self.words),
            clock_known(recording, self.words, self.found_frequency),
            timer_armed(recording, self.words, clocks.timer_armed),
            init,
            last_boundary(recording),
        )
        shown = (call for call in calls if call.name not in self.hidden)
        spans = call_spans(shown, recording, self._kind_of, lambda call: call.name)
        return Story(
            self.os,
            outcome(recording, self.words, calls, init, self.fault),
            boundaries,
            clocks.clocks,
            clocks.selected,
            clocks.selected_timer,
            calibrations,
            (*stretches(boundaries, recording.header.machine.vmm), *spans),
            unknown=tuple(self.unknown(recording)),
            delay=self.delay(recording),
            facts=self.facts(recording),
            messages=self.messages(recording),
            tslog=self.tslog(recording),
        )

    def _kind_of(self, call: Call) -> SpanKind:
        kinds = (kind for kind, names in self.kinds.items() if call.name in names)
        return next(kinds, SpanKind.KERNEL)


def addresses(recording: Recording) -> Iterable[int]:
    """Callers, and who serves DELAY by ``delay_func``: to be named."""
    for event in recording.events:
        if event.kind is Kind.ENTER:
            yield from callers(recording, event)
        if target := delay_func(recording, event):
            yield target
