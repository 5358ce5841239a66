"""The factors of KVM and Xen, the arithmetic with them, and what guests read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import DELTAS, SCALES, Row
from timehands.clocks.pvclock.scale import (
    Scale,
    freebsd_tsc_hz,
    get_time_scale,
    least_delta,
    linux_khz_lost,
    linux_tsc_khz,
    scale_delta,
    scale_delta_64,
    time_scale,
    xen_time_scale,
)
from timehands.errors import FrequencyOutOfRange, UsageError

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
S8 = st.integers(-128, 127)
KHZ = st.integers(1, (1 << 32) - 1)
DAY_S = 86_400


@pytest.mark.parametrize("row", SCALES, ids=lambda row: str(row.tsc_khz))
def test_golden_factors(row: Row) -> None:
    scale = time_scale(row.tsc_khz)
    assert scale == (row.mul, row.shift)
    assert xen_time_scale(row.tsc_khz * 1000) == scale
    assert freebsd_tsc_hz(scale) == row.freebsd_hz
    assert linux_tsc_khz(scale) == row.linux_khz
    assert linux_khz_lost(row.tsc_khz) == row.tsc_khz - row.linux_khz
    assert scale_delta(row.tsc_khz * 1000, *scale) == row.second_ns
    day = scale_delta(row.tsc_khz * 1000 * DAY_S, *scale)
    assert day - DAY_S * 10**9 == row.day_error_ns
    assert scale_delta(1, *scale) == row.cycle_ns


@pytest.mark.parametrize(("delta", "mul", "shift", "ns"), DELTAS)
def test_golden_deltas(delta: int, mul: int, shift: int, ns: int) -> None:
    assert scale_delta(delta, mul, shift) == ns


def test_factors_from_ns_to_cycles() -> None:
    assert get_time_scale(2_499_998_000, 10**9) == (2684352412, 2)


@given(st.integers(1, (1 << 64) - 1))
def test_xen_and_kvm_have_the_same_factors_for_the_same_hz(hz: int) -> None:
    assert xen_time_scale(hz) == get_time_scale(10**9, hz)


@given(KHZ)
def test_kvm_uses_all_bits_of_the_multiplier(tsc_khz: int) -> None:
    mul, shift = time_scale(tsc_khz)
    assert 1 << 31 <= mul < 1 << 32
    assert -128 <= shift <= 127


@given(U64, U64)
def test_any_frequencies_have_factors_or_are_refused(target_hz: int, base_hz: int) -> None:
    try:
        mul, shift = get_time_scale(target_hz, base_hz)
    except FrequencyOutOfRange as error:
        assert error.value in (0, 1 << 63)
    else:
        assert 0 <= mul < 1 << 32
        assert -128 <= shift <= 127


@pytest.mark.parametrize("tsc_khz", [0, -1, 1 << 32, 10**30])
def test_frequencies_that_kvm_cannot_have(tsc_khz: int) -> None:
    with pytest.raises(FrequencyOutOfRange, match="tsc_khz is") as caught:
        time_scale(tsc_khz)
    assert caught.value.value == tsc_khz
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(("target", "base"), [(0, 1), (1, 0), (1 << 63, 5), (1 << 64, 5), (5, -1)])
def test_frequencies_for_which_kvm_would_never_return(target: int, base: int) -> None:
    with pytest.raises(FrequencyOutOfRange):
        get_time_scale(target, base)


@pytest.mark.parametrize("hz", [0, -5, 1 << 64])
def test_frequencies_that_xen_cannot_have(hz: int) -> None:
    with pytest.raises(FrequencyOutOfRange, match="tsc_hz"):
        xen_time_scale(hz)


@given(KHZ)
def test_linux_loses_less_than_the_shift_makes_of_a_khz(tsc_khz: int) -> None:
    scale = time_scale(tsc_khz)
    exact = (10**6 << 32) // scale.mul
    lost = ((exact + 1) << max(0, -scale.shift) >> max(0, scale.shift)) - linux_tsc_khz(scale)
    assert 0 <= lost <= 1 << max(0, -scale.shift)


@given(st.integers(1, 16_000_000))
def test_freebsd_is_right_to_a_few_hz(tsc_khz: int) -> None:
    scale = time_scale(tsc_khz)
    bound = (1 << max(0, -scale.shift)) + (tsc_khz * 1000 >> 31)
    assert abs(freebsd_tsc_hz(scale) - tsc_khz * 1000) <= bound


@given(S8)
def test_a_zero_multiplier_has_no_frequency(shift: int) -> None:
    assert linux_tsc_khz(Scale(0, shift)) == freebsd_tsc_hz(Scale(0, shift)) == 0


@given(U64, U32, S8)
def test_a_delta_is_always_a_u64(delta: int, mul: int, shift: int) -> None:
    assert 0 <= scale_delta(delta, mul, shift) < 1 << 64
    assert 0 <= scale_delta_64(delta, mul, shift) < 1 << 32


@given(U64, U64, U32, st.integers(-128, 0))
def test_more_cycles_are_never_less_time(first: int, second: int, mul: int, shift: int) -> None:
    few, many = sorted((first, second))
    assert scale_delta(few, mul, shift) <= scale_delta(many, mul, shift)


@given(st.data(), U32, st.integers(1, 63))
def test_nor_with_a_left_shift_that_loses_nothing(
    data: st.DataObject, mul: int, shift: int
) -> None:
    unlost = st.integers(0, ((1 << 64) - 1) >> shift)
    few, many = sorted((data.draw(unlost), data.draw(unlost)))
    assert scale_delta(few, mul, shift) <= scale_delta(many, mul, shift)


@given(U64, U32, S8)
def test_64_bits_of_the_product_are_the_low_32_of_the_result(
    delta: int, mul: int, shift: int
) -> None:
    assert scale_delta_64(delta, mul, shift) == scale_delta(delta, mul, shift) & 0xFFFFFFFF


@given(U64, U32, st.integers(-70, 70))
def test_the_inverse_is_the_first_that_reaches(ns: int, mul: int, shift: int) -> None:
    delta = least_delta(ns, mul, shift)
    limit = ((1 << 64) - 1) >> max(0, shift)
    if delta is None:
        assert scale_delta(limit, mul, shift) < ns
    else:
        assert scale_delta(delta, mul, shift) >= ns
        assert delta == 0 or scale_delta(delta - 1, mul, shift) < ns
