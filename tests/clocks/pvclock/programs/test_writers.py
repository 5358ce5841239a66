"""Providers alone: what they leave in memory is the page, and readers read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs.readers import READERS
from timehands.clocks.pvclock.programs.run import memory_of, run
from timehands.clocks.pvclock.programs.wall import WALL_READERS
from timehands.clocks.pvclock.programs.writers import DATA, WALL_WRITERS, WRITERS, Writer

PAGE = TimeInfo(0, 7656153286830, 1148131, 3435976585, -1, 1)
writers = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
walls = pytest.mark.parametrize("writer", WALL_WRITERS.values(), ids=WALL_WRITERS)


def update(writer: Writer, memory: dict[str, int], page: TimeInfo = PAGE) -> None:
    run(writer.program, memory, lambda: 0, {f"new_{name}": getattr(page, name) for name in DATA})


@writers
def test_the_first_published_version_is_two(writer: Writer) -> None:
    memory = memory_of(TimeInfo(0, 0, 0, 0, 0, 0))
    update(writer, memory)
    assert memory["version"] == 2
    assert {name: memory[name] for name in DATA} == {name: getattr(PAGE, name) for name in DATA}
    update(writer, memory)
    assert memory["version"] == 4


@writers
def test_a_version_that_was_left_odd_becomes_even(writer: Writer) -> None:
    memory = memory_of(replace(PAGE, version=5))
    update(writer, memory)
    assert memory["version"] == 8


@writers
def test_the_version_wraps_as_a_u32(writer: Writer) -> None:
    memory = memory_of(replace(PAGE, version=2**32 - 2))
    update(writer, memory)
    assert memory["version"] == 0


def test_kvm_keeps_that_the_guest_was_stopped_and_xen_does_not() -> None:
    for name, flags in (("kvm", 3), ("xen", 1)):
        memory = memory_of(replace(PAGE, flags=2))
        update(WRITERS[name], memory)
        assert memory["flags"] == flags


@writers
@pytest.mark.parametrize("reader", READERS)
def test_what_was_written_is_read(writer: Writer, reader: str) -> None:
    memory = memory_of(TimeInfo(0, 0, 0, 0, 0, 0))
    update(writer, memory)
    got = run(READERS[reader].program, memory, lambda: PAGE.tsc_timestamp).time
    assert got == PAGE.system_time


@walls
@pytest.mark.parametrize(("before", "after"), [(0, 2), (3, 6), (6, 8)])
@pytest.mark.parametrize("reader", WALL_READERS)
def test_the_wall_clock(writer: Writer, before: int, after: int, reader: str) -> None:
    memory = {"wc_version": before, "wc_sec": 0, "wc_nsec": 0}
    run(writer.program, memory, lambda: 0, {"new_wc_sec": 1795232565, "new_wc_nsec": 721313481})
    assert memory["wc_version"] == after
    ran = run(WALL_READERS[reader], memory, lambda: 0)
    assert (ran.time, ran.nsec) == (1795232565, 721313481)
