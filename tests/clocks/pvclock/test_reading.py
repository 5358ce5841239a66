"""What a page says at a TSC."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from clocks.pvclock.test_layout import TIME_INFOS
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import cycles_since, first_tsc, nanoseconds

U64 = st.integers(0, (1 << 64) - 1)
RECORD = KVM_RECORDS[0]


def test_the_time_at_the_update_is_the_pages() -> None:
    for record in KVM_RECORDS:
        assert nanoseconds(record, record.tsc_timestamp) == record.system_time


def test_a_second_later_it_is_a_second_later_but_for_the_rounding() -> None:
    later = RECORD.tsc_timestamp + 2_499_998_000
    assert nanoseconds(RECORD, later) == RECORD.system_time + 999_999_999


def test_a_tsc_before_the_update_reads_centuries_ahead() -> None:
    back = nanoseconds(RECORD, RECORD.tsc_timestamp - 1)
    assert back == RECORD.system_time + 7378703531198382079


@given(TIME_INFOS, U64)
def test_a_reading_is_always_a_u64(info: TimeInfo, tsc: int) -> None:
    assert 0 <= nanoseconds(info, tsc) < 1 << 64
    assert (info.tsc_timestamp + cycles_since(info, tsc)) % (1 << 64) == tsc


@given(TIME_INFOS, U64, U64)
def test_moving_the_tsc_and_the_page_together_changes_nothing(
    info: TimeInfo, tsc: int, by: int
) -> None:
    moved = replace(info, tsc_timestamp=(info.tsc_timestamp + by) % (1 << 64))
    assert nanoseconds(moved, (tsc + by) % (1 << 64)) == nanoseconds(info, tsc)


@given(st.integers(0, 10**18))
def test_the_first_tsc_of_a_time_is_the_first(ns: int) -> None:
    tsc = first_tsc(RECORD, ns)
    assert tsc is not None
    assert nanoseconds(RECORD, tsc) >= ns
    if ns > RECORD.system_time:
        assert nanoseconds(RECORD, tsc - 1) < ns
    else:
        assert tsc == RECORD.tsc_timestamp


def test_a_clock_that_stands_still_never_gets_there() -> None:
    still = replace(RECORD, tsc_to_system_mul=0)
    assert first_tsc(still, RECORD.system_time) == RECORD.tsc_timestamp
    assert first_tsc(still, RECORD.system_time + 1) is None
