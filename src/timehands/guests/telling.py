"""What every teller of a story uses: clocks as they are put together, entries, backtraces."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from timehands.story.model import Boundary, Clock, ClockRole, ClockState, Mark, Step
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Event, Kind

#: The name of the read that follows frame pointers (`timehands.watch.plan.Read`, ``walk``).
CALLERS = "callers"
#: What is unknown where the functions of the plan were not watched, by whether others were.
NOT_PLANNED = {
    False: "no function was watched: clocks and calibrations are known from the console only",
    True: "only chosen functions were watched: clocks and calibrations are known from the console "
    "only",
}
#: Between the name of a function that a compiler put into another and that of the other.
INLINED_IN = " < "
#: Between a function and its caller.
BELOW = " < "
#: Words in a calibration's detail that the rules of `timehands.findings` know.
SWITCHED_OFF = "calibration is switched off"
STATISTICS_FAILED = "statistical calibration failed"
TAKEN_AS_EXACT = "taken as exact"
#: How a step says that the kernel does not take its TSC for invariant.
NOT_INVARIANT = "not invariant"
#: How the steps of `Story.delay` begin when a busy wait reads the clock of a Xen that may not be.
XEN_CLOCK = "Xen's clock"


@dataclass(slots=True)
class Draft:
    """A clock while it is put together."""

    name: str
    role: ClockRole
    state: ClockState = ClockState.PROBED
    frequency_hz: int | None = None
    how: str = ""
    rating: int | None = None
    steps: list[Step] = field(default_factory=list)
    latest_ns: int | None = None

    def step(
        self,
        recording: Recording,
        seen: Event | ConsoleLine,
        what: str,
        state: ClockState,
        backtrace: tuple[str, ...] = (),
    ) -> None:
        """Add a step; its state holds unless a later step is known already."""
        at = recording.since_start(seen.host_ns)
        if self.latest_ns is None or at >= self.latest_ns:
            self.state, self.latest_ns = state, at
        self.steps.append(Step(at, what, (seen.reference,), backtrace))

    def clock(self) -> Clock:
        """The finished value."""
        steps = sorted(self.steps, key=lambda step: step.at_ns or 0)
        evidence = dict.fromkeys(ref for step in steps for ref in step.evidence)
        return Clock(
            self.name,
            self.role,
            self.state,
            self.frequency_hz,
            self.how,
            self.rating,
            tuple(steps),
            tuple(evidence),
        )


def entries(recording: Recording, *names: str) -> Iterator[Event]:
    """The entries of these functions, in order of time."""
    return (
        event
        for event in recording.events
        if event.kind is Kind.ENTER and recording.function(event) in names
    )


def watched(recording: Recording, function: str = "tc_init") -> bool:
    """Whether a function was watched: else only the console tells of it."""
    return recording.header.planned and function in recording.header.functions


def boundary_at(recording: Recording, name: Mark, event: Event | None, how: str) -> Boundary:
    """The boundary that an event shows; without one it was not seen."""
    if event is None:
        return Boundary(name, None)
    return Boundary(name, recording.since_start(event.host_ns), how, (event.reference,))


def words(raw: bytes | None) -> tuple[int, ...]:
    """Eight bytes each, little endian; what is left over is left out."""
    raw = raw or b""
    return struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])


def callers(recording: Recording, event: Event) -> tuple[int, ...]:
    """The return addresses of an entry, innermost first: from the stack, then by frame pointers."""
    further = words(recording.value(event, CALLERS))
    return (event.values[4], *(address for address in further if address))


def backtrace(recording: Recording, event: Event) -> tuple[str, ...]:
    """The functions that called, innermost first, as far as they have names."""
    return named(recording, callers(recording, event))


def named(recording: Recording, addresses: Iterable[int]) -> tuple[str, ...]:
    """Names of code addresses, without their offsets; an address that has none ends them.

    Of a call that was inlined the names of all functions are there (`INLINED_IN`).
    """
    found: list[str] = []
    for address in addresses:
        name = recording.symbols.get(address)
        if name is None:
            break
        found += [part.split("+")[0] for part in name.split(INLINED_IN)]
    return tuple(found)
