"""The date by pvclock."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.layout import WallClock
from timehands.clocks.pvclock.wallclock import (
    LAST_SECOND,
    Parts,
    compose,
    epoch_ns,
    now_ns,
    record_ns,
    same_epoch,
    split,
    truncated,
)

U64 = st.integers(0, (1 << 64) - 1)
S = 10**9


@given(U64, U64)
def test_the_date_comes_back(realtime_ns: int, system_ns: int) -> None:
    wall = compose(realtime_ns, system_ns)
    sec_hi = split(epoch_ns(realtime_ns, system_ns)).sec_hi
    assert now_ns(wall, system_ns, sec_hi) % (1 << 64) == realtime_ns
    assert wall.nsec < S


@given(U64, st.integers(0, (1 << 32) - 1))
def test_the_record_is_complete_and_new(realtime_ns: int, version: int) -> None:
    wall = compose(realtime_ns, 0, version)
    assert not wall.version & 1
    assert wall.version != version


def test_a_real_record() -> None:
    wall = WallClock(2, 1795232565, 721313481)
    assert record_ns(wall) == 1795232565721313481
    assert compose(1795232570721313481, 5 * S) == wall
    assert same_epoch(wall, WallClock(4, 1795232565, 721313480))
    assert not same_epoch(wall, WallClock(4, 1795232565, 721313479))
    assert same_epoch(WallClock(2, 5, 0), WallClock(4, 4, 999_999_999))


def test_seconds_beyond_32_bits_are_cut_in_2106() -> None:
    last, first = LAST_SECOND * S + S - 1, (LAST_SECOND + 1) * S
    assert not truncated(last)
    assert truncated(first)
    assert split(first) == Parts(0, 0, 1)
    assert record_ns(compose(first, 0)) == 0
    assert record_ns(compose(first, 0), 1) == first


def test_a_clock_ahead_of_the_date_wraps_as_in_kvm() -> None:
    assert epoch_ns(0, 1) == (1 << 64) - 1
    assert compose(0, 1).nsec == 709551615


def test_nanoseconds_beyond_a_second_carry_over() -> None:
    assert record_ns(WallClock(2, 1, 2 * S + 5)) == 3 * S + 5


@given(
    st.fractions(0, 10, max_denominator=1000),
    st.fractions(0, 10**18, max_denominator=1000),
    st.lists(st.integers(0, 10**15), min_size=2, max_size=8),
)
def test_repeated_writes_differ_by_1_ns_at_most(
    ns_per_cycle: Fraction, apart_ns: Fraction, tscs: list[int]
) -> None:
    epochs = {epoch_ns(int(apart_ns + tsc * ns_per_cycle), int(tsc * ns_per_cycle)) for tsc in tscs}
    assert max(epochs) - min(epochs) <= 1
