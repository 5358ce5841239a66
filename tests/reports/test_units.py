"""Numbers as people read them, against Python's own decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.reports import units

SCALES = {
    "GHz": 10**9, "MHz": 10**6, "kHz": 10**3, "Hz": 1,
    "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1,
    "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "bytes": 1,
}  # fmt: skip


def value_of(text: str) -> Fraction:
    """What a printed number says, exactly."""
    number, unit = text.split(" ")
    return Fraction(Decimal(number.replace(",", ""))) * SCALES[unit]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 Hz"), (1, "1 Hz"), (250, "250 Hz"), (32768, "32.768 kHz"),
        (1_193_182, "1.193182 MHz"), (2_596_132_000, "2.596132 GHz"),
        (2_500_000_000, "2.500 GHz"), (999_999_999, "999.999999 MHz"), (None, "unknown"),
    ],
)  # fmt: skip
def test_frequencies(value: int | None, text: str) -> None:
    assert units.hz(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ns"), (850, "850 ns"), (1_500, "1.5 us"), (171_400_000, "171 ms"),
        (999_600_000, "1 s"), (2_180_000_000, "2.18 s"), (-3_000_000, "-3 ms"),
        (10**12, "16 min 40 s"), (None, "unknown"),
    ],
)  # fmt: skip
def test_durations(value: int | None, text: str) -> None:
    assert units.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 ppm"), (120, "+120 ppm"), (-9_999, "-9,999 ppm"), (-25_000, "-2.5 %")],
)
def test_rates(value: int, text: str) -> None:
    assert units.ppm(value) == text


@pytest.mark.parametrize(
    ("value", "doubt", "text"),
    [
        (1_000_042_000, 100_000, "1.0000 GHz"),
        (1_000_042_000, 1, "1.000042 GHz"),
        (2_596_249_000, 400_000, "2.596 GHz"),
        (1_193_233, 80, "1.1932 MHz"),
        (1_193_182, 10**9, "1.193 MHz"),
        (999_999_700, 500_000, "1.000 GHz"),
    ],
)
def test_a_measured_frequency_shows_the_digits_that_are_sure(
    value: int, doubt: int, text: str
) -> None:
    assert units.measured_hz(value, value - doubt, value + doubt) == text


def test_kilohertz_are_shown_as_hertz_are() -> None:
    assert units.khz(2_596_132) == units.hz(2_596_132_000)


@given(st.integers(0, 10**20))
def test_a_frequency_is_right_to_its_last_digit(value: int) -> None:
    text = units.hz(value)
    scale = SCALES[text.split(" ")[1]]
    assert abs(value_of(text) - value) <= Fraction(scale, 2 * 10**6)


@given(st.integers(0, 599 * 10**9))
def test_a_duration_has_three_right_digits(value: int) -> None:
    assert abs(value_of(units.duration(value)) - value) <= max(Fraction(value, 198), 0)


@given(st.integers(0, 10**20))
def test_a_size_is_right_to_a_tenth_of_its_unit(value: int) -> None:
    text = units.byte_size(value)
    scale = SCALES[text.split(" ")[1]]
    assert abs(value_of(text) - value) * 20 <= scale


@given(st.integers(0, 10**18))
def test_columns_of_seconds_and_milliseconds_are_rounded_not_cut(value: int) -> None:
    assert abs(value_of(units.seconds(value)) - value) * 2 <= 10**6
    assert abs(value_of(units.ms(value)) - value) * 2 <= 10**6
