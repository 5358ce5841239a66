from __future__ import annotations

from pathlib import Path

import pytest

from recordings import MS, Tape
from timehands.story.instructions import clocks_from_instructions, touched_clocks
from timehands.story.model import ClockRole, ClockState
from timehands.watch.records import Kind


def _touched(tape: Tape, folder: Path) -> set[str]:
    return set(touched_clocks(tape.write(folder).events))


@pytest.mark.parametrize(
    ("kind", "value", "clock"),
    [
        (Kind.RDTSC, 0, "tsc"),
        (Kind.WRMSR, 0x4B564D01, "pvclock"),
        (Kind.WRMSR, 0x12, "pvclock"),
        (Kind.RDMSR, 0x4B564D00, "pvclock"),
        (Kind.IN, 0x40, "i8254"),
        (Kind.OUT, 0x43, "i8254"),
        (Kind.IN, 0x71, "rtc"),
        (Kind.IN, 0x608, "acpi_pm"),
        (Kind.IN, 0xB008, "acpi_pm"),
        (Kind.MMIO_READ, 0xFED000F0, "hpet"),
        (Kind.MMIO_WRITE, 0xFEE00320, "lapic"),
        (Kind.WRMSR, 0x832, "lapic"),
        (Kind.WRMSR, 0x6E0, "tsc-deadline"),
    ],
)
def test_each_clock_is_known_by_where_it_is_touched(
    tmp_path: Path, kind: Kind, value: int, clock: str
) -> None:
    tape = Tape()
    tape.event(kind, value, 0, ms=10)
    assert _touched(tape, tmp_path) == {clock}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.IN, 0x3F8),
        (Kind.OUT, 0x80),
        (Kind.WRMSR, 0xC0000080),
        (Kind.MMIO_WRITE, 0xFEE000B0),
        (Kind.MMIO_READ, 0xFED00400),
        (Kind.CPUID, 0x15),
        (Kind.ENTER, 0x40),
    ],
)
def test_what_touches_no_clock_makes_none(tmp_path: Path, kind: Kind, value: int) -> None:
    tape = Tape()
    tape.event(kind, value, 1, ms=10)
    assert _touched(tape, tmp_path) == set()


def test_accesses_that_were_counted_and_not_streamed_count(tmp_path: Path) -> None:
    tape = Tape()
    tape.port_in(0x42, 1, ms=1)
    tape.port_in(0x42, 1, ms=2, passed=997)
    tape.port_in(0x42, 1, ms=3, passed=1)
    (touched,) = touched_clocks(tape.write(tmp_path).events).values()
    assert touched.count == 3 + 997 + 1


@pytest.mark.parametrize(
    ("kind", "register", "value", "armed"),
    [
        (Kind.MMIO_WRITE, 0xFEE00380, 1000, True),
        (Kind.MMIO_WRITE, 0xFEE00380, 0, False),
        (Kind.MMIO_WRITE, 0xFEE00320, 1000, False),
        (Kind.MMIO_READ, 0xFEE00380, 1000, False),
        (Kind.WRMSR, 0x838, 7, True),
        (Kind.WRMSR, 0x838, 0, False),
        (Kind.WRMSR, 0x6E0, 123, True),
        (Kind.WRMSR, 0x6E0, 0, False),
        (Kind.RDMSR, 0x6E0, 123, False),
    ],
)
def test_a_timer_is_armed_by_a_count_that_is_not_zero(
    tmp_path: Path, kind: Kind, register: int, value: int, armed: bool
) -> None:
    tape = Tape()
    tape.event(kind, register, value, ms=10)
    (touched,) = touched_clocks(tape.write(tmp_path).events).values()
    assert (touched.armed is not None) is armed


def test_a_touched_clock_is_probed_and_points_to_its_first_accesses(tmp_path: Path) -> None:
    tape = Tape()
    for at in range(9):
        tape.event(Kind.RDTSC, ms=10 + at)
    tape.event(Kind.MMIO_WRITE, 0xFEE00380, 5, ms=30)
    tsc, lapic = clocks_from_instructions(tape.write(tmp_path))
    assert (tsc.name, tsc.role, tsc.state) == ("tsc", ClockRole.SOURCE, ClockState.PROBED)
    assert tsc.evidence == ("e0", "e1", "e2", "e3")
    assert tsc.how == "9 accesses seen"
    assert tsc.steps[0].at_ns == 10 * MS
    assert [(s.what, s.at_ns) for s in lapic.steps] == [
        ("first touched", 30 * MS),
        ("armed", 30 * MS),
    ]
    assert lapic.how == "one access seen"
    assert tsc.frequency_hz is None and lapic.rating is None
