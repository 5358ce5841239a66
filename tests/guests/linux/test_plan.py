from __future__ import annotations

from pathlib import Path

import pytest

from kernels import build
from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.linux.plan import LONGEST_FUNCTION, WANTED, plan_for
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import MAX_READS, Function, Plan


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _plan(folder: Path, *names: str) -> Plan:
    triples = build.symbols()
    last = triples[-1][0]
    triples += [(last + 64 * n, "T", name) for n, name in enumerate((*names, "_end"), 1)]
    path = folder / "kernel"
    path.write_bytes(build.linux_elf(build.LAYOUTS["6.4-relative"], triples))
    return plan_for(Kernel.open(path, cache=False))


def _named(plan: Plan, name: str) -> Function:
    (found,) = [function for function in plan.functions if function.name == name]
    return found


def test_only_what_the_kernel_has_is_watched(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "tsc_init", "clock_nobody_knows")
    assert {function.name for function in plan.functions} == {PVH_ENTRY, ENTRY64, "tsc_init"}


def test_a_function_ends_where_the_next_symbol_begins(tmp_path: Path) -> None:
    tsc_init = _named(_plan(tmp_path, "tsc_init", "time_init"), "tsc_init")
    assert tsc_init.end - tsc_init.start == 64
    assert tsc_init.enter and tsc_init.leave


def test_the_longest_function_is_bounded(tmp_path: Path) -> None:
    plan = _plan(tmp_path, *(wanted.name for wanted in WANTED))
    assert all(0 < f.end - f.start <= LONGEST_FUNCTION for f in plan.functions)
    assert len({f.name for f in plan.functions}) == len(plan.functions) == len(WANTED) + 2


def test_parts_that_the_compiler_split_off_belong_to_their_function(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "tsc_init", "tsc_init.cold", "tsc_init_late")
    (part,) = _named(plan, "tsc_init").parts
    assert part[1] - part[0] == 64


def test_without_types_nothing_is_read_through_pointers(tmp_path: Path) -> None:
    plan = _plan(
        tmp_path, "__clocksource_register_scale", "mark_tsc_unstable", "tsc_khz", "tsc_init"
    )
    assert _named(plan, "__clocksource_register_scale").reads == ()
    assert [read.name for read in _named(plan, "mark_tsc_unstable").reads] == ["string"]
    (khz,) = _named(plan, "tsc_init").reads
    assert (khz.name, khz.length, khz.at_return) == ("tsc_khz", 4, True)


def test_return_thunk_is_found_where_there_is_one(tmp_path: Path) -> None:
    assert _plan(tmp_path, "tsc_init").return_thunk is None
    assert _plan(tmp_path, "__x86_return_thunk").return_thunk is not None


def test_no_function_is_wanted_twice_or_reads_more_than_can_be_read() -> None:
    assert len({wanted.name for wanted in WANTED}) == len(WANTED)
    for wanted in WANTED:
        reads = len(wanted.members) + len(wanted.globals) + bool(wanted.bytes)
        assert reads + (wanted.string is not None) <= MAX_READS
