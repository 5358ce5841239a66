"""The errors of whole numbers: bounds that hold, and are reached."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clocks.pvclock.golden import SCALES, Row
from timehands.clocks.pvclock.rounding import (
    NS_PER_DAY,
    drift_ns_per_day,
    error_within,
    implied_hz,
    kvm_tsc_khz,
    ns_per_cycle,
    product_horizon_64,
    rate_error,
    shift_horizon,
    truncation_ns,
)
from timehands.clocks.pvclock.scale import (
    Scale,
    scale_delta,
    scale_delta_64,
    time_scale,
    xen_time_scale,
)

SCALE = st.builds(Scale, st.integers(1, (1 << 32) - 1), st.integers(-34, 30))
ANY_SCALE = st.builds(Scale, st.integers(0, (1 << 32) - 1), st.integers(-128, 127))
HZ = st.fractions(min_value=1, max_value=10**13)
M64 = (1 << 64) - 1


@pytest.mark.parametrize("row", SCALES, ids=lambda row: str(row.tsc_khz))
def test_a_day_of_golden_factors_is_off_as_bounded(row: Row) -> None:
    scale, hz = time_scale(row.tsc_khz), row.tsc_khz * 1000
    drift = drift_ns_per_day(scale, hz)
    assert drift - truncation_ns(scale) <= row.day_error_ns <= drift
    low, high = error_within(scale, hz, NS_PER_DAY)
    assert low <= row.day_error_ns <= high


@given(SCALE, HZ, st.data())
def test_no_read_is_off_by_more(scale: Scale, hz: Fraction, data: st.DataObject) -> None:
    limit = M64 >> max(0, scale.shift)
    cycles = data.draw(st.integers(0, limit))
    error = scale_delta(cycles, *scale) - cycles * 10**9 / hz
    low, high = error_within(scale, hz, cycles * 10**9 / hz)
    assert low <= error <= high


@given(st.integers(1, (1 << 32) - 1), st.integers(-12, 12))
def test_the_truncation_of_a_read_is_reached(mul: int, shift: int) -> None:
    scale = Scale(mul, shift)
    bound = truncation_ns(scale)
    step = (mul << max(0, shift)) & -(mul << max(0, shift))
    assume(step < 1 << 32)
    # The multiple whose product has all the bits below 1 ns that it can have.
    odd = (mul << max(0, shift)) // step
    times = (-pow(odd, -1, (1 << 32) // step)) % ((1 << 32) // step)
    cycles = (times << -shift) + (1 << -shift) - 1 if shift < 0 else times
    assume(cycles << max(0, shift) <= M64)
    assert cycles * ns_per_cycle(scale) - scale_delta(cycles, *scale) == bound


@given(st.integers(1, 16_000_000))
def test_kvm_is_never_fast_and_slow_by_less_than_half_a_ppb(tsc_khz: int) -> None:
    error = rate_error(time_scale(tsc_khz), tsc_khz * 1000)
    assert -Fraction(1, 1 << 31) < error <= 0


@given(st.integers(1, (1 << 64) - 1))
def test_xen_may_be_fast_but_by_less_than_a_ppb(hz: int) -> None:
    error = rate_error(xen_time_scale(hz), hz)
    assert -Fraction(1, 1 << 31) < error < Fraction(1, 10**9)


@given(st.integers(1, 10**9))
def test_the_khz_that_kvm_was_given_comes_back(tsc_khz: int) -> None:
    assert kvm_tsc_khz(time_scale(tsc_khz)) == tsc_khz


@given(ANY_SCALE)
def test_factors_of_no_khz_are_told_from_those_of_one(scale: Scale) -> None:
    khz = kvm_tsc_khz(scale)
    assert khz is None or time_scale(khz) == scale


def test_what_a_pair_stands_for() -> None:
    assert implied_hz(Scale(1 << 31, 1)) == 10**9
    assert implied_hz(Scale(0, 1)) is None
    assert kvm_tsc_khz(Scale(0, 1)) is None
    assert drift_ns_per_day(Scale(1 << 31, 1), 2 * 10**9) == NS_PER_DAY


@given(SCALE)
def test_before_the_horizon_a_64_bit_product_is_right_and_then_wrong(scale: Scale) -> None:
    horizon = product_horizon_64(scale)
    if horizon is None:
        assert scale_delta_64(M64, *scale) == scale_delta(M64, *scale)
        return
    shifted = shift_horizon(scale)
    assume(shifted is None or horizon.cycles < shifted.cycles)
    before = horizon.cycles - 1
    assert scale_delta_64(before, *scale) == scale_delta(before, *scale)
    assert scale_delta_64(horizon.cycles, *scale) != scale_delta(horizon.cycles, *scale)


@given(st.builds(Scale, st.integers(1 << 31, (1 << 32) - 1), st.integers(1, 30)))
def test_before_the_horizon_a_shift_loses_nothing_and_then_time_falls_back(scale: Scale) -> None:
    horizon = shift_horizon(scale)
    assert horizon is not None
    before = scale_delta(horizon.cycles - 1, *scale)
    assert before == int((horizon.cycles - 1) * ns_per_cycle(scale))
    assert scale_delta(horizon.cycles, *scale) < before


def test_horizons_of_usual_frequencies() -> None:
    scale = time_scale(2_499_998)
    assert shift_horizon(scale) is None
    horizon = product_horizon_64(scale)
    assert horizon is not None
    assert 0 <= horizon.ns - (1 << 32) < 1
    assert shift_horizon(Scale(1 << 31, 100)) == (1, Fraction(1 << 99, 1))
    assert product_horizon_64(Scale(0, 0)) is None
