"""The axes of charts: ticks that people can read, and places that are right."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.reports.axes import (
    CUT,
    MOST_CUT,
    RATE,
    TIME,
    Break,
    axis_for,
    decimal,
    time_axis,
)

S, H = 10**9, 3600 * 10**9
BIG = st.integers(-(2**63), 2**63)


@pytest.mark.parametrize(
    ("values", "ticks", "unit"),
    [
        ([0, 9], ["0", "2", "4", "6", "8", "10"], "ns"),
        ([-41_000_000, 0], ["-50", "-40", "-30", "-20", "-10", "0"], "ms"),
        ([-1500, 1500], ["-1.5", "-1", "-0.5", "0", "0.5", "1", "1.5"], "us"),
        ([0, 95 * S], ["0", "30", "60", "90", "120"], "s"),
        ([0, 75 * H], ["0", "24", "48", "72", "96"], "h"),
        ([0, 0], ["0", "1"], "ns"),
    ],
)
def test_ticks_stand_at_round_numbers_of_a_unit_that_suits(
    values: list[int], ticks: list[str], unit: str
) -> None:
    axis = axis_for(values, TIME)
    assert ([axis.tick_words(tick) for tick in axis.ticks], axis.unit_name) == (ticks, unit)


def test_rates_are_in_ppm_and_large_ones_in_percent() -> None:
    assert axis_for([-12_000], RATE).unit_name == "ppm"
    assert axis_for([-3 * 10**8], RATE).unit_name == "%"
    assert RATE.words(-123_456) == "-123.5 ppm"


def test_a_few_values_that_are_far_larger_bend_the_axis() -> None:
    axis = axis_for([*range(-50, 50), -75 * H], TIME)
    assert axis.linear == 10
    assert axis.unit_name == "logarithmic to both sides of 0"
    assert axis.tick_words(axis.ticks[-1]) == "10 ns"
    assert axis.share(-75 * H) == 0
    assert axis.share(40) - axis.share(-40) > Fraction(1, 10)


@given(st.lists(BIG, min_size=1, max_size=40), st.sampled_from([TIME, RATE]))
def test_every_value_has_its_place_in_order_and_ticks_are_few(values: list[int], unit) -> None:  # type: ignore[no-untyped-def]
    axis = axis_for(values, unit)
    places = [axis.share(value) for value in sorted({0, *values})]
    assert places[0] >= 0 and places == sorted(places) and places[-1] <= 1
    assert 2 <= len(axis.ticks) <= 16
    assert all(0 <= axis.share(tick) <= 1 for tick in axis.ticks)
    assert 0 in axis.ticks


@given(st.integers(0, 2**62))
def test_time_has_few_ticks_from_zero_on(end_ns: int) -> None:
    ticks = time_axis(end_ns).ticks
    assert ticks[0].at_ns == 0 and ticks[-1].at_ns <= max(1, end_ns)
    assert 1 <= len(ticks) <= 8


def test_a_long_break_is_cut_and_the_rest_keeps_its_room() -> None:
    axis = time_axis(75 * H + 10 * S, [Break(5 * S, 75 * H + 5 * S)])
    assert axis.share(5 * S) == (1 - CUT) / 2
    assert axis.share(75 * H + 5 * S) == (1 + CUT) / 2
    assert axis.share(75 * H + 10 * S) == 1
    assert [tick.words for tick in axis.ticks] == ["0", "2", "4", "+0", "+2", "+4"]
    assert axis.unit_name == "s"


def test_a_short_break_is_drawn_as_long_as_it_was() -> None:
    axis = time_axis(10 * S, [Break(2 * S, 5 * S)])
    assert axis.cut == ()
    assert axis.share(5 * S) == Fraction(1, 2)


def test_not_every_break_is_cut_where_there_are_many() -> None:
    breaks = [Break(i * 100 * S + S, (i + 1) * 100 * S) for i in range(30)]
    axis = time_axis(3000 * S, breaks)
    assert len(axis.cut) == MOST_CUT
    assert axis.share(3000 * S) == 1


@given(st.lists(st.integers(1, 10**15), min_size=2, max_size=20))
def test_time_runs_forward_through_breaks(lengths: list[int]) -> None:
    edges = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    breaks = [Break(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    axis = time_axis(edges[-1], breaks)
    places = [axis.share(edge) for edge in (0, *edges)]
    assert places == sorted(places) and (places[0], places[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("value", "scale", "places", "words"),
    [
        (-12_345_678, 10**6, 2, "-12.35"),
        (-4, 10**6, 2, "0"),
        (1500, 1000, 0, "2"),
        (10**12, 1, 0, "1,000,000,000,000"),
    ],
)
def test_decimals_are_rounded_and_have_no_zeros_at_their_end(
    value: int, scale: int, places: int, words: str
) -> None:
    assert decimal(value, scale, places) == words
