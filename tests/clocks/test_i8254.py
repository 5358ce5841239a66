"""The i8254's ticks in ns."""

from __future__ import annotations

from fractions import Fraction

import pytest

from timehands.clocks.i8254 import MODULUS, PIT_HZ, ticks_to_ns


def test_the_rate_is_the_colour_burst_crystals_divided_by_twelve() -> None:
    assert abs(Fraction(315_000_000, 22 * 12) - PIT_HZ) < 1


@pytest.mark.parametrize(
    ("ticks", "ns"), [(0, 0), (1, 838), (PIT_HZ, 10**9), (MODULUS, 54_925_401)]
)
def test_ticks_in_ns(ticks: int, ns: int) -> None:
    assert ticks_to_ns(ticks) == ns
