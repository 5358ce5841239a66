"""Hyper-V's reference TSC page."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.hyperv import (
    ReferenceTscMsr,
    ReferenceTscPage,
    kvm_page,
    next_sequence,
    page_at,
    scale_error,
    tsc_scale,
    units_down,
    units_up,
)
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.errors import FrequencyOutOfRange, RecordTooShort

U64 = (1 << 64) - 1
HZ = st.integers(10_000_001, 10**11)
U64S = st.integers(0, U64)


def test_the_fields_are_where_the_specification_has_them() -> None:
    page = ReferenceTscPage(sequence=1, reserved=2, scale=3, offset=U64)
    data = page.build()
    assert data == bytes.fromhex("01000000020000000300000000000000ffffffffffffffff")
    assert ReferenceTscPage.parse(data + bytes(4072)) == page


@given(st.binary(min_size=24, max_size=24))
def test_any_page_is_parsed_and_built_again(data: bytes) -> None:
    assert ReferenceTscPage.parse(data).build() == data


def test_a_page_that_is_too_short_is_refused() -> None:
    with pytest.raises(RecordTooShort):
        ReferenceTscPage.parse(bytes(23))


@given(U64S)
def test_the_msr_is_parsed_and_built_again(value: int) -> None:
    msr = ReferenceTscMsr.parse(value)
    assert msr.build() == value
    assert msr.address % 4096 == 0
    assert msr.enabled == bool(value & 1)


def test_sequence_0_sends_the_guest_to_the_msr() -> None:
    assert ReferenceTscPage(0, U64, 0).reference_time(U64) is None
    assert ReferenceTscPage(0xFFFF_FFFF, 1 << 63, 0).reference_time(10) == 5


def test_after_the_last_sequence_comes_1() -> None:
    sequences = [0, 1, 0xFFFF_FFFD, 0xFFFF_FFFE, 0xFFFF_FFFF]
    assert [next_sequence(s) for s in sequences] == [1, 2, 0xFFFF_FFFE, 1, 1]


@given(HZ)
def test_a_scale_is_slow_by_less_than_a_unit_of_2_to_the_64(hz: int) -> None:
    scale = tsc_scale(hz)
    assert -Fraction(hz, 10_000_000 << 64) < scale_error(scale, hz) <= 0
    page = ReferenceTscPage(1, scale, 0)
    assert page.tsc_hz is not None
    assert page.tsc_hz >= hz


@pytest.mark.parametrize("hz", [-1, 0, 10_000_000, 1 << 64])
def test_there_is_no_scale_for_rates_that_do_not_fit(hz: int) -> None:
    with pytest.raises(FrequencyOutOfRange):
        tsc_scale(hz)


@given(U64S, U64S, HZ)
def test_a_page_gives_the_time_that_it_was_made_for(tsc: int, units: int, hz: int) -> None:
    assert page_at(tsc, units, tsc_scale(hz), 1).reference_time(tsc) == units


@given(HZ, st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_time_never_goes_back_while_the_tsc_goes_on(hz: int, first: int, second: int) -> None:
    page = ReferenceTscPage(1, tsc_scale(hz), 0)
    early, late = (page.reference_time(tsc) for tsc in sorted((first, second)))
    assert early is not None and late is not None
    assert early <= late


KHZ = st.integers(100_000, 10_000_000)


@given(KHZ, st.integers(0, 1 << 60), st.integers(0, 1 << 55), st.integers(0, 1 << 50))
def test_kvms_page_and_its_pvclock_page_tell_the_same_time(
    khz: int, tsc: int, ns: int, later: int
) -> None:
    info = TimeInfo(2, tsc, ns, *time_scale(khz), flags=1)
    page = kvm_page(info, 1)
    assert page is not None
    units = page.reference_time(tsc + later)
    assert units is not None
    # Each of three products and of two divisions by 100 is rounded down.
    assert abs(units - nanoseconds(info, tsc + later) // 100) <= 2


def test_kvm_makes_no_page_without_a_stable_clock_or_of_a_scale_that_does_not_fit() -> None:
    info = TimeInfo(2, 0, 0, *time_scale(2_500_000), flags=1)
    assert kvm_page(info, 1) is not None
    assert kvm_page(replace(info, flags=0), 1) is None
    assert kvm_page(replace(info, tsc_to_system_mul=100 << 20, tsc_shift=12), 1) is None
    assert kvm_page(replace(info, tsc_to_system_mul=(100 << 20) - 1, tsc_shift=12), 1) is not None


@given(st.integers(-128, 127), st.integers(0, (1 << 32) - 1), U64S)
def test_any_factors_make_a_page_or_none(shift: int, mul: int, tsc: int) -> None:
    page = kvm_page(TimeInfo(2, tsc, tsc, mul, shift, flags=1), 1)
    assert page is None or len(page.build()) == 24


@given(st.integers(0, U64))
def test_a_snapshot_that_rounds_up_never_sets_the_clock_of_ns_back(ns: int) -> None:
    assert units_up(ns) * 100 >= ns
    assert units_down(ns) * 100 <= ns < units_down(ns) * 100 + 100
    assert units_up(units_up(ns) * 100) == units_up(ns)


def test_rounding_down_would_set_it_back() -> None:
    assert units_down(5_000_000_099) * 100 < 5_000_000_099 < units_up(5_000_000_099) * 100
