"""Times and rates in words: exact both ways, and nothing that is not whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.simulate.units import NS, Span, duration, in_words, ppm_in_words, rate, span


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("75 h", 270_000 * 10**9),
        ("10 s", 10**10),
        ("250 us", 250_000),
        ("1.5 ms", 1_500_000),
        ("270_000 s", 270_000 * 10**9),
        ("-2 s", -2 * 10**9),
        ("+2s", 2 * 10**9),
        ("0 ns", 0),
        ("2 min", 120 * 10**9),
        ("1 d", 86_400 * 10**9),
    ],
)
def test_a_time_is_a_number_and_a_unit(text: str, ns: int) -> None:
    assert duration(text) == ns


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 sec", "0.5 ns", "1e3 s", "ten s", "10 s 5", "1,5 s", "∞ s", "1 S"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|digits"):
        duration(text)


def test_numbers_of_any_length_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="too many digits"):
        duration("9" * 10_000_000 + " s")


def test_rates_are_ppb() -> None:
    assert [rate(t) for t in ("20 ppm", "-1.5 ppb".replace(".5", ""), "2 %", "0.5 ppm")] == [
        20_000, -1, 20_000_000, 500,
    ]  # fmt: skip


def test_a_span_has_two_ends() -> None:
    assert span("50 us .. 200 us", NS) == Span(50_000, 200_000)
    assert span("3 ms", NS) == Span(3_000_000, 3_000_000)
    with pytest.raises(ValueError, match="begins above its end"):
        span("2 ms .. 1 ms", NS)


@given(st.integers(-(10**18), 10**18))
def test_words_are_read_back_to_a_thousandth_of_their_unit(ns: int) -> None:
    text = in_words(ns).replace(",", "")
    unit = NS[text.split()[-1]]
    assert abs(duration(text) - ns) * 2000 <= unit


def test_words_for_people() -> None:
    assert in_words(999) == "999 ns"
    assert in_words(-18_525_000) == "-18.525 ms"
    assert in_words(270_000 * 10**9) == "75 h"
    assert in_words(0) == "0 ns"
    assert ppm_in_words(-1) == "-0.001 ppm"
    assert ppm_in_words(199_999_999) == "20 %"
