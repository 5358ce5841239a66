from __future__ import annotations

from pathlib import Path

import pytest

from kernels import build
from recordings import MS, Tape
from timehands.guests.base import (
    ENTRY64,
    PVH_ENTRY,
    code_at,
    enters,
    entry_points,
    first_boundaries,
    last_boundary,
)
from timehands.kernels.kernel import Kernel
from timehands.story.model import Mark
from timehands.watch.plan import Function, Plan
from timehands.watch.records import Kind


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "kernel"
    path.write_bytes(build.linux_elf(build.LAYOUTS["6.4-relative"]))
    return Kernel.open(path, cache=False)


def test_both_entries_are_watched_where_the_kernel_has_them(kernel: Kernel) -> None:
    points = {point.name: point for point in entry_points(kernel)}
    assert set(points) == {PVH_ENTRY, ENTRY64}
    assert points[PVH_ENTRY].start == 0x1000850
    assert not any(point.leave for point in points.values())


def test_code_is_read_from_the_file_where_it_has_some(kernel: Kernel) -> None:
    assert code_at(kernel, build.TEXT, 8) == b"\x90" * 8
    assert code_at(kernel, build.TEXT + 60, 8) == b""
    assert code_at(kernel, 0x1234, 8) == b""
    assert code_at(kernel, build.TEXT - 4, 8) == b""


def test_an_entry_is_known_by_the_number_in_the_plan() -> None:
    plan = Plan((Function("a", 1, 2), Function("b", 3, 4)))

    def record(kind: Kind, number: int) -> tuple[int, ...]:
        return (int(kind), 0, 0, 0, 0, 0, number, 0, 0, 0, 0)

    assert enters(plan, record(Kind.ENTER, 1), "b", "c")
    assert not enters(plan, record(Kind.ENTER, 0), "b", "c")
    assert not enters(plan, record(Kind.LEAVE, 1), "b")
    assert not enters(plan, record(Kind.ENTER, 2), "b")


def test_the_first_boundaries_come_from_the_plugin_or_else_from_qemu(tmp_path: Path) -> None:
    watched, unwatched = Tape(), Tape()
    watched.begins(ms=6)
    _, ready, seen = first_boundaries(watched.write(tmp_path / "watched"))
    assert (ready.at_ns, seen.at_ns, seen.evidence) == (3 * MS, 6 * MS, ("e1",))
    _, _, let_go = first_boundaries(unwatched.write(tmp_path / "unwatched"))
    assert (let_go.at_ns, let_go.evidence) == (4 * MS, ())


def test_a_machine_that_never_was_ready_has_passed_nothing(tmp_path: Path) -> None:
    tape = Tape(header={"ready_ns": 0, "resumed_ns": 0})
    marks = {b.name: b.at_ns for b in first_boundaries(tape.write(tmp_path))}
    assert marks == {Mark.PROCESS_STARTED: 0, Mark.VM_READY: None, Mark.FIRST_INSTRUCTION: None}


def test_the_end_is_when_and_how_it_ended_or_not_known(tmp_path: Path) -> None:
    tape = Tape()
    assert last_boundary(tape.write(tmp_path / "cut")).at_ns is None
    tape.ends("hung", ms=70)
    ended = last_boundary(tape.write(tmp_path / "ended"))
    assert (ended.at_ns, ended.how) == (70 * MS, "hung")
