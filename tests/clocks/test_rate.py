"""Rates with bounds: the true rate always lies within them, whatever the delays were."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.rate import NS_PER_S, Rate, Reading, fit, unwrap

HZ = st.integers(1_000_000, 5_000_000_000)
DELAYS = st.integers(0, 3_000_000)


@st.composite
def readings_of(draw: st.DrawFn) -> tuple[int, list[Reading]]:
    """A counter of a known rate, read with delays that nobody knows."""
    hz, start, now_ns = draw(HZ), draw(st.integers(0, 1 << 40)), draw(st.integers(0, 1 << 50))
    first_ns, readings = now_ns, []
    for _ in range(draw(st.integers(3, 30))):
        now_ns += draw(st.integers(1, 20_000_000))
        value = start + int(Fraction((now_ns - first_ns) * hz, NS_PER_S))
        readings.append(Reading(value, now_ns - draw(DELAYS), now_ns + draw(DELAYS)))
    return hz, readings


@given(readings_of())
def test_the_true_rate_lies_within_the_bounds(made: tuple[int, list[Reading]]) -> None:
    hz, readings = made
    rate = fit(readings)
    if rate is not None:
        assert rate.low_hz <= hz <= rate.high_hz
        assert rate.low_hz <= rate.hz <= rate.high_hz


@given(readings_of())
def test_more_readings_never_make_the_bounds_wider(made: tuple[int, list[Reading]]) -> None:
    _, readings = made
    whole, part = fit(readings), fit(readings[:-1])
    if whole and part:
        assert part.low_hz <= whole.low_hz
        assert whole.high_hz <= part.high_hz


def test_exact_readings_make_an_exact_rate() -> None:
    rate = fit([Reading(2_500_000 * ms, ms * 10**6, ms * 10**6) for ms in range(0, 201, 10)])
    assert rate is not None
    assert rate.hz == 2_500_000_000
    assert rate.uncertainty_ppb < 3
    assert rate.allows(2_500_000_000)
    assert not rate.allows(2_500_000_100)


def test_many_readings_are_thinned_to_the_surest_ones() -> None:
    sure = {0, 399}
    rate = fit(
        [
            Reading(ms * 10**6, ms * 10**6, ms * 10**6 + (1 if ms in sure else 500_000))
            for ms in range(400)
        ]
    )
    assert rate is not None
    assert rate.allows(10**9)
    assert rate.uncertainty_ppb < 10


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [Reading(0, 0, 1), Reading(10**6, 10**6, 10**6)],
        [Reading(5, 10**6 * ms, 10**6 * ms) for ms in range(5)],
        [Reading(10**6 * (5 - ms), 10**6 * ms, 10**6 * ms) for ms in range(5)],
        [Reading(10**6 * ms * ms, 10**6 * ms, 10**6 * ms) for ms in range(5)],
        [Reading(ms, 0, 10**12) for ms in range(5)],
    ],
    ids=["none", "two", "stands still", "goes back", "changes its rate", "no bound"],
)
def test_readings_that_allow_no_rate_make_none(readings: list[Reading]) -> None:
    assert fit(readings) is None


def test_how_far_a_rate_is_from_a_reference() -> None:
    rate = Rate(1_000_100, 1_000_000, 1_000_200, 10, 10**8)
    assert rate.off_ppb(1_000_000) == 100_000
    assert rate.off_ppb(1_000_200) == -99_980
    assert rate.uncertainty_ppb == 99_990


@given(st.builds(Rate, HZ, HZ, HZ, st.integers(0, 99), HZ))
def test_a_rate_goes_to_json_and_back(rate: Rate) -> None:
    assert Rate.from_json(rate.to_json()) == rate


@given(st.lists(st.integers(1, 40), min_size=6, max_size=30), st.data())
def test_wraps_that_nobody_saw_are_added(steps_ms: list[int], data: st.DataObject) -> None:
    asleep = data.draw(st.integers(1, len(steps_ms) - 1))
    lost = data.draw(st.integers(1, 3))
    truth, seen, ruler = [0], [0], [0]
    for at, step in enumerate(steps_ms):
        passed_ms = step + (lost * 60 if at == asleep else 0)
        ticks = passed_ms * 1193
        truth.append(truth[-1] + ticks)
        seen.append(seen[-1] + (ticks % 65536 if at == asleep else ticks))
        ruler.append(ruler[-1] + passed_ms * 2_500_000)
    assert unwrap(seen, ruler, 65536) == tuple(truth)


@given(st.lists(st.tuples(st.integers(0, 1 << 64), st.integers(0, 1 << 64)), min_size=1))
def test_any_counts_can_be_unwrapped(pairs: list[tuple[int, int]]) -> None:
    counts, ruler = zip(*pairs, strict=True)
    whole = unwrap(counts, ruler, 65536)
    assert all((b - a) % 65536 == 0 for a, b in zip(counts, whole, strict=True))
