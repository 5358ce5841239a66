"""Expectations: bounds in words, held against figures."""

from __future__ import annotations

import pytest

from timehands.simulate.expectations import FIGURES, Expectation, parse


@pytest.mark.parametrize(
    ("figure", "text", "low", "high", "shown"),
    [
        ("warps", 0, 0, 0, "warps = 0"),
        ("warps", "0", 0, 0, "warps = 0"),
        ("warps", ">= 1_000", 1000, None, "warps >= 1,000"),
        ("warps", "> 5", 6, None, "warps >= 6"),
        ("worst_jump", "<= 1 us", None, 1000, "worst_jump <= 1 us"),
        ("worst_jump", "< 1 us", None, 999, "worst_jump <= 999 ns"),
        ("worst_warp", "15 us .. 68 us", 15_000, 68_000, "worst_warp 15 us .. 68 us"),
        ("rate_error", "-1 ppm .. 1 ppm", -1000, 1000, "rate_error -1 ppm .. 1 ppm"),
        ("worst_offset", 0, 0, 0, "worst_offset = 0 ns"),
    ],
)
def test_bounds(figure: str, text: str | int, low: int, high: int, shown: str) -> None:
    expectation = parse(figure, text)
    assert expectation == Expectation(figure, low, high)
    assert str(expectation) == shown


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ("nothing", 0),
        ("worst_jump", 5),
        ("worst_jump", "<= 5"),
        ("worst_jump", "<= "),
        ("worst_jump", "about 5 us"),
        ("worst_jump", "!= 5 us"),
        ("warps", "1 us"),
        ("warps", "5 .. 1"),
        ("rate_error", "<= 5 us"),
    ],
)
def test_what_is_no_bound_is_refused(figure: str, text: str | int) -> None:
    with pytest.raises(ValueError, match=r"unit|number|begins above|is called"):
        parse(figure, text)


def test_ends_are_within() -> None:
    bound = parse("worst_warp", "15 us .. 68 us")
    assert [bound.met(ns) for ns in (14_999, 15_000, 68_000, 68_001)] == [False, True, True, False]


def test_exact_bounds_are_shown_exactly() -> None:
    for figure in ("wall_offset", "worst_jump"):
        assert FIGURES[figure]
        assert str(parse(figure, "<= 269_999 s")) == f"{figure} <= 269,999 s"
        assert str(parse(figure, "<= 7200000000001 ns")) == f"{figure} <= 7,200,000,000.001 us"
