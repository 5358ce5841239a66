"""What every BSD's knowledge does alike, tried on all three."""

from __future__ import annotations

from typing import cast

import pytest

from timehands.guests.base import Knowledge
from timehands.guests.bsd.knowledge import BSD
from timehands.guests.registry import knowledge_named
from timehands.story.model import Mark
from timehands.watch.plan import Function, Plan
from timehands.watch.records import Kind, RawRecord

SYSTEMS = ("freebsd", "netbsd", "openbsd")
#: For each system a function that is entered, or returns, when a boundary is passed.
PASSED = [
    ("freebsd", Mark.CLOCK_KNOWN, Kind.ENTER, "set_cputicker"),
    ("freebsd", Mark.INIT, Kind.LEAVE, "vfs_mountroot"),
    ("freebsd", Mark.ENDED, Kind.ENTER, "kdb_enter"),
    ("netbsd", Mark.CLOCK_KNOWN, Kind.LEAVE, "cpu_get_tsc_freq"),
    ("netbsd", Mark.TIMER_ARMED, Kind.ENTER, "lapic_initclock"),
    ("netbsd", Mark.ENDED, Kind.ENTER, "db_trap"),
    ("openbsd", Mark.CLOCK_KNOWN, Kind.LEAVE, "tc_init"),
    ("openbsd", Mark.ENDED, Kind.ENTER, "db_enter"),
]


def _known(system: str) -> Knowledge:
    known = knowledge_named(system)
    assert isinstance(known, BSD)
    return cast(Knowledge, known)


def _record(kind: Kind, function: int = 0) -> RawRecord:
    return cast(RawRecord, (kind, 0, 0, 0, 0, 0, function, 0))


@pytest.mark.parametrize(("system", "mark", "kind", "name"), PASSED)
def test_a_boundary_is_passed_by_its_function_and_in_that_direction(
    system: str, mark: Mark, kind: Kind, name: str
) -> None:
    plan = Plan((Function(name, 16, 32), Function("another", 64, 80)))
    other = Kind.LEAVE if kind is Kind.ENTER else Kind.ENTER
    known = _known(system)
    assert known.reaches(mark, plan, _record(kind))
    assert not known.reaches(mark, plan, _record(other))
    assert not known.reaches(mark, plan, _record(kind, 1))


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_first_instruction_and_the_kernels_entry_are_boundaries_of_all(system: str) -> None:
    known = _known(system)
    entry = cast(BSD, known).teller.words.entries[-1]
    plan = Plan((Function(entry, 16, 32),))
    assert known.reaches(Mark.FIRST_INSTRUCTION, plan, _record(Kind.FIRST))
    assert known.reaches(Mark.KERNEL_ENTRY, plan, _record(Kind.ENTER))
    assert not known.reaches(Mark.PROCESS_STARTED, plan, _record(Kind.ENTER))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_line_is_known_with_and_without_the_time_before_it(system: str) -> None:
    known = _known(system)
    lines = {"freebsd": "Timecounters tick every 10.000 msec",
             "netbsd": 'timecounter: Timecounter "lapic" frequency 1 Hz quality -100',
             "openbsd": "cpu0: apic clock running at 1000MHz"}  # fmt: skip
    assert known.told(Mark.TIMER_ARMED, lines[system])
    assert known.told(Mark.TIMER_ARMED, f"[   1.0695163] {lines[system]}")
    assert not known.told(Mark.TIMER_ARMED, f"echo {lines[system]}")
    assert not known.told(Mark.VM_READY, lines[system])


@pytest.mark.parametrize("system", SYSTEMS)
def test_none_has_a_ramdisk_of_ours(system: str) -> None:
    assert _known(system).ramdisk() is None
