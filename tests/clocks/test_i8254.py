"""The i8254's ticks in ns."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks import i8254
from timehands.clocks.i8254 import MODULUS, PIT_HZ, ticks_to_ns


def test_the_rate_is_the_colour_burst_crystals_divided_by_twelve() -> None:
    assert abs(Fraction(315_000_000, 22 * 12) - PIT_HZ) < 1


@pytest.mark.parametrize(
    ("ticks", "ns"), [(0, 0), (1, 838), (PIT_HZ, 10**9), (MODULUS, 54_925_401)]
)
def test_ticks_in_ns(ticks: int, ns: int) -> None:
    assert ticks_to_ns(ticks) == ns


@pytest.mark.parametrize(
    ("us", "ticks"), [(0, 0), (1, 2), (10, 12), (255, 305), (256, 306), (100_000, 119_319)]
)
def test_the_ticks_of_freebsds_delays(us: int, ticks: int) -> None:
    assert i8254.freebsd_delay_ticks(us) == ticks


@given(st.integers(0, 1 << 40))
def test_ticks_come_back_from_their_ns(ticks: int) -> None:
    ns = ticks_to_ns(ticks)
    assert i8254.ns_to_ticks(ns + 1) == ticks
    assert i8254.ns_to_ticks(ns) in (ticks - 1, ticks)


@pytest.mark.parametrize(
    ("period_ns", "count"),
    [(10_000_000, 11_932), (1_000_000, 1193), (54_925_401, 65_536), (54_927_000, None), (1, None)],
)
def test_the_count_of_a_period(period_ns: int, count: int | None) -> None:
    assert i8254.nearest_reload(period_ns) == count


@given(st.integers(0, 255))
def test_any_control_byte_is_one_command_and_built_again(value: int) -> None:
    word, command = i8254.ControlWord.parse(value), i8254.ReadBack.parse(value)
    assert (word is None) != (command is None)
    if word is not None:
        modes_again = 0b100 if value >> 1 & 7 > 5 else 0
        assert word.build() == value & ~(modes_again << 1)
    if command is not None:
        assert command.build() == value & ~1


@given(st.integers(0, 255))
def test_any_status_byte_is_built_again(value: int) -> None:
    again = i8254.Status.parse(value)
    assert i8254.Status.parse(again.build()) == again
