"""A kernel that nobody here knows: an instruction-level story, and nothing guessed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timehands.guests.base import (
    ENTRY64,
    PVH_ENTRY,
    ClockNames,
    Need,
    Remedy,
    entered_at_once,
    enters,
    entry_points,
    first_boundaries,
    last_boundary,
)
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.machine import Machine
from timehands.story.instructions import clocks_from_instructions, touched_clocks
from timehands.story.model import Boundary, Mark, Story
from timehands.story.outcome import Signs, outcome_of
from timehands.story.spans import stretches
from timehands.watch.plan import Plan
from timehands.watch.recording import Recording
from timehands.watch.records import Kind, RawRecord


class Unknown:
    """The `Knowledge` of nothing but the processor."""

    name = "unknown"
    title = "This kernel"
    names = ClockNames()
    loader = "What has to start it, and whether it can have one, is not known."

    def recognises(self, kernel: Kernel) -> bool:
        """Any kernel: it comes last."""
        return True

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """None: nobody knows what it understands."""
        return ()

    def ramdisk(self) -> Path | None:
        """None."""
        return None

    def plan(self, kernel: Kernel) -> Plan:
        """Its entry points."""
        return Plan(entry_points(kernel))

    def reaches(self, mark: Mark, plan: Plan, record: RawRecord) -> bool:
        """First instruction and kernel entry can be told for any kernel."""
        if mark is Mark.FIRST_INSTRUCTION:
            return record[0] == Kind.FIRST
        return mark is Mark.KERNEL_ENTRY and enters(plan, record, PVH_ENTRY, ENTRY64)

    def tell(self, recording: Recording) -> Story:
        """Which clocks were touched and armed, and how it ended."""
        boundaries = (
            *first_boundaries(recording),
            entered_at_once(recording) or _kernel_entry(recording),
            Boundary(Mark.CLOCK_KNOWN, None),
            _timer_armed(recording),
            Boundary(Mark.INIT, None),
            last_boundary(recording),
        )
        return Story(
            self.name,
            outcome_of(recording, Signs()),
            boundaries,
            clocks_from_instructions(recording),
            None,
            None,
            spans=stretches(boundaries, recording.header.machine.vmm),
            unknown=("this kernel's system is unknown: only its instructions tell the story",),
        )

    def told(self, mark: Mark, text: str) -> bool:
        """Nobody knows what it prints."""
        return False

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """None: nobody knows its arguments."""
        return ()

    def addresses(self, recording: Recording) -> Iterable[int]:
        """None besides those of the instructions."""
        return ()

    def look(self, kernel: Kernel, memory: Memory) -> dict[str, Any]:
        """Nothing: nobody knows its variables."""
        return {}

    def on_ramdisk(self, kernel: Kernel, head: bytes) -> str | None:
        """Nobody knows what it does with one."""
        return None


def _kernel_entry(recording: Recording) -> Boundary:
    event = next((e for e in recording.events if e.kind is Kind.ENTER), None)
    if event is None:
        return Boundary(Mark.KERNEL_ENTRY, None)
    name = recording.function(event) or ""
    at = recording.since_start(event.host_ns)
    return Boundary(Mark.KERNEL_ENTRY, at, name, (event.reference,))


def _timer_armed(recording: Recording) -> Boundary:
    armed = [t.armed for t in touched_clocks(recording.events).values() if t.armed]
    if not armed:
        return Boundary(Mark.TIMER_ARMED, None)
    event = min(armed, key=lambda e: e.host_ns)
    at = recording.since_start(event.host_ns)
    return Boundary(Mark.TIMER_ARMED, at, "a timer was given a count", (event.reference,))
