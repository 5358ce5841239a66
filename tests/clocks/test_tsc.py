"""The TSC that a guest reads: scaled and offset."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.tsc import (
    SCALINGS,
    SVM,
    VMX,
    Scaling,
    drift_ns_per_day,
    guest_tsc,
    nested_offset,
    nested_ratio,
    rate_error,
    scale_tsc,
    signed_offset,
    true_khz,
    tsc_offset,
    tsc_ratio,
)
from timehands.errors import FrequencyOutOfRange

U64 = (1 << 64) - 1
U64S = st.integers(0, U64)
KHZ = st.integers(100_000, 10_000_000)
KINDS = st.sampled_from(SCALINGS)


def test_the_ratio_1_is_that_of_the_manuals() -> None:
    assert VMX.unscaled == 0x0001_0000_0000_0000
    assert SVM.unscaled == 0x1_0000_0000


def test_kvms_limits_are_those_of_its_headers() -> None:
    assert VMX.limit == 0xFFFF_FFFF_FFFF_FFFF
    assert SVM.limit == 0xFF_FFFF_FFFF
    assert not SVM.allows(0)
    assert SVM.allows(1)
    assert SVM.allows(SVM.limit - 1)
    assert not SVM.allows(SVM.limit)


@pytest.mark.parametrize(
    ("guest", "host", "kind", "ratio"),
    [
        (2_500_000, 2_500_000, VMX, 1 << 48),
        (2_500_000, 2_500_000, SVM, 1 << 32),
        (1_250_000, 2_500_000, SVM, 0x8000_0000),
        (3_750_000, 2_500_000, SVM, 0x1_8000_0000),
        (2_000_000, 3_000_000, SVM, 0xAAAA_AAAA),
        (2_000_000, 3_000_000, VMX, 0xAAAA_AAAA_AAAA),
    ],
)
def test_ratios(guest: int, host: int, kind: Scaling, ratio: int) -> None:
    assert tsc_ratio(guest, host, kind) == ratio


@pytest.mark.parametrize(("guest", "host"), [(0, 1), (1, 0), (1 << 32, 1), (1, 1 << 32), (-1, 1)])
def test_there_is_no_ratio_for_rates_that_do_not_fit(guest: int, host: int) -> None:
    with pytest.raises(FrequencyOutOfRange):
        tsc_ratio(guest, host, VMX)


@given(KHZ, KHZ, KINDS)
def test_a_scaled_guest_is_slow_by_less_than_a_unit_of_the_ratio(
    guest: int, host: int, kind: Scaling
) -> None:
    really = true_khz(host, tsc_ratio(guest, host, kind), kind)
    assert -Fraction(host, guest << kind.frac_bits) < rate_error(guest, really) <= 0


def test_the_drift_of_thirds_in_ns_a_day() -> None:
    svm = drift_ns_per_day(2_000_000, true_khz(3_000_000, 0xAAAA_AAAA, SVM))
    vmx = drift_ns_per_day(2_000_000, true_khz(3_000_000, 0xAAAA_AAAA_AAAA, VMX))
    assert svm == -Fraction(86_400 * 10**9, 1 << 32)
    assert vmx == -Fraction(86_400 * 10**9, 1 << 48)
    assert drift_ns_per_day(1_000_000, Fraction(1_000_250)) == 21_600_000_000


@given(U64S, U64S, st.integers(0, (1 << 64) - 1), KINDS)
def test_an_offset_gives_the_value_that_it_was_made_for(
    wanted: int, host: int, ratio: int, kind: Scaling
) -> None:
    offset = tsc_offset(wanted, host, ratio, kind)
    assert 0 <= offset <= U64
    assert guest_tsc(host, ratio, offset, kind) == wanted
    assert guest_tsc(host, ratio, signed_offset(offset), kind) == wanted


@given(U64S)
def test_an_offset_is_negative_when_its_top_bit_is_set(offset: int) -> None:
    signed = signed_offset(offset)
    assert signed & U64 == offset
    assert -(1 << 63) <= signed < 1 << 63


@given(U64S, KINDS)
def test_the_ratio_1_leaves_the_tsc_as_it_is(tsc: int, kind: Scaling) -> None:
    assert scale_tsc(tsc, kind.unscaled, kind) == tsc


@given(U64S, U64S, st.integers(1, 1 << 40), KINDS)
def test_a_guest_never_reads_less_later(first: int, second: int, ratio: int, kind: Scaling) -> None:
    early, late = sorted((first, second))
    if late * ratio >> kind.frac_bits <= U64:
        assert scale_tsc(early, ratio, kind) <= scale_tsc(late, ratio, kind)


@given(st.integers(0, 1 << 50), st.tuples(KHZ, KHZ), U64S, U64S, KINDS)
def test_a_nested_guest_reads_what_two_steps_would_give(
    host: int, khz: tuple[int, int], l1_offset: int, l2_offset: int, kind: Scaling
) -> None:
    l1, l2 = (tsc_ratio(rate, 1_000_000, kind) for rate in khz)
    one_step = guest_tsc(
        host, nested_ratio(l1, l2, kind), nested_offset(l1_offset, l2_offset, l2, kind), kind
    )
    middle = scale_tsc(host, l1, kind) + signed_offset(l1_offset)
    two_steps = (middle * l2 >> kind.frac_bits) + l2_offset
    # Less than one unit is lost to each rounding, that of the ratio times the host's TSC.
    lost = 2 + (l2 >> kind.frac_bits) + (host >> kind.frac_bits)
    assert abs(signed_offset((two_steps - one_step) & U64)) <= lost


def test_a_negative_outer_offset_is_rounded_towards_zero() -> None:
    half = SVM.unscaled // 2
    assert nested_offset(-3 & U64, 0, half, SVM) == -1 & U64
    assert nested_offset(3, 0, half, SVM) == 1
    assert nested_offset(1 << 63, 0, 3 * half, SVM) == -(3 << 62) & U64


@given(U64S, U64S, U64S, KINDS)
def test_without_inner_scaling_ratios_stay_and_offsets_add(
    ratio: int, first: int, second: int, kind: Scaling
) -> None:
    assert nested_ratio(ratio, kind.unscaled, kind) == ratio
    assert nested_offset(first, second, kind.unscaled, kind) == (first + second) & U64
