"""Many reads at once are the same as one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from clocks.pvclock.test_layout import TIME_INFOS
from timehands.clocks.pvclock import arrays, reading, scale
from timehands.clocks.pvclock.layout import TimeInfo

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
S8 = st.integers(-128, 127)
EDGES = [0, 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
U64S = st.lists(st.one_of(U64, st.sampled_from(EDGES)), min_size=1, max_size=20)


def u64(numbers: list[int]) -> arrays.U64:
    return np.array(numbers, np.uint64)


@given(U64S, U32, S8)
def test_deltas(deltas: list[int], mul: int, shift: int) -> None:
    expected = [scale.scale_delta(delta, mul, shift) for delta in deltas]
    assert arrays.scale_delta(u64(deltas), mul, shift).tolist() == expected


@given(TIME_INFOS, U64S)
def test_reads_of_a_page(info: TimeInfo, tscs: list[int]) -> None:
    expected = [reading.nanoseconds(info, tsc) for tsc in tscs]
    assert arrays.nanoseconds(info, u64(tscs)).tolist() == expected


@given(st.lists(st.tuples(TIME_INFOS, U64), min_size=1, max_size=20))
def test_reads_each_of_its_own_page(reads: list[tuple[TimeInfo, int]]) -> None:
    pages = arrays.TimeInfos(
        u64([info.tsc_timestamp for info, _ in reads]),
        u64([info.system_time for info, _ in reads]),
        u64([info.tsc_to_system_mul for info, _ in reads]),
        np.array([info.tsc_shift for info, _ in reads], np.int8),
    )
    expected = [reading.nanoseconds(info, tsc) for info, tsc in reads]
    assert arrays.nanoseconds(pages, u64([tsc for _, tsc in reads])).tolist() == expected


@given(TIME_INFOS, U64S)
def test_buffers_change_nothing_and_the_input_may_be_the_output(
    info: TimeInfo, tscs: list[int]
) -> None:
    tsc, expected = u64(tscs), arrays.nanoseconds(info, u64(tscs))
    out, work = np.empty_like(tsc), np.empty_like(tsc)
    assert arrays.nanoseconds(info, tsc, out=out, work=work) is out
    assert out.tolist() == expected.tolist()
    assert tsc.tolist() == tscs
    assert arrays.nanoseconds(info, tsc, out=tsc, work=work) is tsc
    assert tsc.tolist() == expected.tolist()


@pytest.mark.parametrize("shift", [-128, -1, 0, 1, 127])
def test_with_buffers_nothing_of_the_arrays_size_is_allocated(shift: int) -> None:
    info = TimeInfo(2, 5, 6, KVM_RECORDS[0].tsc_to_system_mul, shift, 1)
    tsc = np.arange(1 << 16, dtype=np.uint64)
    out, work = np.empty_like(tsc), np.empty_like(tsc)
    arrays.nanoseconds(info, tsc, out=out, work=work)
    tracemalloc.start()
    try:
        arrays.nanoseconds(info, tsc, out=out, work=work)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < tsc.nbytes // 8


def test_no_reads_are_no_times() -> None:
    assert arrays.nanoseconds(KVM_RECORDS[0], u64([])).tolist() == []
