from __future__ import annotations

from pathlib import Path

import pytest

from recordings import MS, UNKNOWN, Tape
from timehands.boot import tell
from timehands.guests.base import ENTRY64, PVH_ENTRY, Need
from timehands.guests.unknown import Unknown
from timehands.machines.machine import Machine
from timehands.story.model import ClockState, Mark, OutcomeKind, SpanKind
from timehands.watch.plan import Function, Plan
from timehands.watch.records import Kind

PLAN = Plan((Function(PVH_ENTRY, 0x1000, 0x1001, leave=False),))


def _boot() -> Tape:
    tape = Tape(kernel=UNKNOWN)
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.event(Kind.RDTSC, ms=30)
    tape.event(Kind.MMIO_WRITE, 0xFEE00380, 1000, 4, ms=40)
    tape.event(Kind.WRMSR, 0x6E0, 5, ms=50)
    tape.ends("idle", ms=3050)
    return tape


def test_an_unknown_kernel_is_told_by_its_instructions(tmp_path: Path) -> None:
    story, _ = tell(_boot().write(tmp_path))
    assert story.os == "unknown"
    assert [(c.name, c.state) for c in story.clocks] == [
        ("tsc", ClockState.PROBED),
        ("lapic", ClockState.PROBED),
        ("tsc-deadline", ClockState.PROBED),
    ]
    assert (story.selected, story.selected_timer) == (None, None)
    assert story.outcome.kind is OutcomeKind.HUNG
    assert "only its instructions" in story.unknown[0]


def test_its_boundaries_are_those_that_the_processor_shows(tmp_path: Path) -> None:
    story, _ = tell(_boot().write(tmp_path))
    assert {b.name: b.at_ns for b in story.boundaries} == {
        Mark.PROCESS_STARTED: 0,
        Mark.VM_READY: 3 * MS,
        Mark.FIRST_INSTRUCTION: 5 * MS,
        Mark.KERNEL_ENTRY: 20 * MS,
        Mark.CLOCK_KNOWN: None,
        Mark.TIMER_ARMED: 40 * MS,
        Mark.INIT: None,
        Mark.ENDED: 3050 * MS,
    }
    assert [s.kind for s in story.spans] == [
        SpanKind.MACHINE,
        SpanKind.FIRMWARE,
        SpanKind.KERNEL,
    ]


@pytest.mark.parametrize(
    ("mark", "kind", "function", "reached"),
    [
        (Mark.FIRST_INSTRUCTION, Kind.FIRST, 0, True),
        (Mark.FIRST_INSTRUCTION, Kind.CPUID, 0, False),
        (Mark.KERNEL_ENTRY, Kind.ENTER, 0, True),
        (Mark.KERNEL_ENTRY, Kind.LEAVE, 0, False),
        (Mark.KERNEL_ENTRY, Kind.ENTER, 9, False),
        (Mark.INIT, Kind.ENTER, 0, False),
    ],
)
def test_only_what_every_processor_shows_is_reached(
    mark: Mark, kind: Kind, function: int, reached: bool
) -> None:
    record = (int(kind), 0, 0, 0, 0, 0, function, 0, 0, 0, 0)
    assert Unknown().reaches(mark, PLAN, record) is reached


def test_nothing_is_guessed_of_it() -> None:
    unknown = Unknown()
    assert unknown.arguments(Machine()) == ()
    assert unknown.ramdisk() is None
    assert all(unknown.remedies(need, 10**9) == () for need in Need)
    assert not any(unknown.told(mark, "Linux version 6.1") for mark in Mark)


def test_both_entry_points_are_kernel_entry(tmp_path: Path) -> None:
    tape = Tape(kernel=UNKNOWN)
    tape.enter(ENTRY64, ms=12)
    story, _ = tell(tape.write(tmp_path))
    (entry,) = [b for b in story.boundaries if b.name is Mark.KERNEL_ENTRY]
    assert (entry.at_ns, entry.how) == (12 * MS, ENTRY64)
