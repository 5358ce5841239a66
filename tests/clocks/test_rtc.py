"""The RTC's registers as a date."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks import rtc
from timehands.clocks.rtc import RegisterB, RtcTime

DATES = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)).map(
    lambda d: d.replace(microsecond=0, tzinfo=UTC)
)


def bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def registers(date: datetime, mode: int) -> RtcTime:
    """What the chip would hold: BCD or binary, 24 hours or 12 with a bit for the afternoon."""
    hour, afternoon = date.hour, 0
    if not mode & RegisterB.HOURS_24:
        afternoon = 0x80 if hour >= 12 else 0
        hour = hour % 12 or 12
    parts = [date.second, date.minute, hour, date.day, date.month, date.year % 100]
    parts.append(date.year // 100)
    if not mode & RegisterB.BINARY:
        parts = [bcd(part) for part in parts]
    parts[2] |= afternoon
    return RtcTime(*parts, register_b=mode)


@given(DATES, st.sampled_from([0, 2, 4, 6]))
def test_every_date_in_every_mode_is_read(date: datetime, mode: int) -> None:
    assert registers(date, mode).as_utc() == date


@pytest.mark.parametrize("century", [0, 0xFF, 0x18])
def test_without_a_century_the_years_from_70_on_are_of_the_twentieth(century: int) -> None:
    assert RtcTime(0, 0, 0, 1, 1, 0x70, century, 2).as_utc() == datetime(1970, 1, 1, tzinfo=UTC)
    assert RtcTime(0, 0, 0, 1, 1, 0x26, century, 2).as_utc() == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        RtcTime(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2),
        RtcTime(0x61, 0, 0, 1, 1, 0x26, 0x20, 2),
        RtcTime(0, 0, 0, 0, 1, 0x26, 0x20, 2),
        RtcTime(0, 0, 0, 0x30, 2, 0x26, 0x20, 2),
        RtcTime(0, 0, 0, 1, 1, 1 << 63, 0x20, 6),
    ],
)
def test_registers_without_a_date_make_none(time: RtcTime) -> None:
    assert time.as_utc() is None


@given(st.tuples(*[st.integers(0, 255)] * 8))
def test_any_registers_make_a_date_or_none(values: tuple[int, ...]) -> None:
    date = RtcTime(*values).as_utc()
    assert date is None or date.tzinfo is UTC


@given(DATES, st.sampled_from([0, 2, 4, 6]))
def test_a_date_becomes_what_the_chip_would_hold(date: datetime, mode: int) -> None:
    assert RtcTime.of(date, mode) == registers(date, mode)


@pytest.mark.parametrize(
    ("hour", "held"), [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)]
)
def test_hours_of_twelve_have_a_bit_for_the_afternoon(hour: int, held: int) -> None:
    assert RtcTime.of(datetime(2026, 1, 1, hour), 0).hour == held


def test_the_periodic_rates_are_those_of_the_data_sheet() -> None:
    rates = [None, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2]
    assert [rtc.periodic_hz(0x20 | n) for n in range(16)] == rates
    assert rtc.periodic_hz(0x26) == rtc.PERIODIC_HZ


@given(st.integers(3, 15))
def test_a_rate_has_one_selection(selection: int) -> None:
    hz = rtc.periodic_hz(selection)
    assert hz is not None
    assert rtc.rate_selection(hz) == selection


@pytest.mark.parametrize("hz", [0, 1, 3, 1000, 16384, 32768])
def test_other_rates_have_none(hz: int) -> None:
    assert rtc.rate_selection(hz) is None


def test_the_bit_is_set_244_us_before_an_update_and_while_it_lasts() -> None:
    begins = 10**9 - 1_984_000 - 244_000
    assert not rtc.update_in_progress(0)
    assert not rtc.update_in_progress(begins - 1)
    assert rtc.update_in_progress(begins)
    assert rtc.update_in_progress(10**9 - 1)
    assert not rtc.update_in_progress(10**9 - 244_001, update_ns=0)
    assert rtc.update_in_progress(10**9 - 244_000, update_ns=0)


@pytest.mark.parametrize(
    ("a", "b", "goes"), [(0x26, 2, True), (0x26, 0x82, False), (0x66, 2, False), (0x00, 2, True)]
)
def test_a_clock_in_reset_or_being_set_does_not_count(a: int, b: int, goes: bool) -> None:
    assert rtc.counts(a, b) is goes


def test_an_alarm_rings_at_its_time_and_at_any_where_it_does_not_care() -> None:
    time = RtcTime(0x30, 0x59, 0x23, 1, 1, 0x26, 0x20, 2)
    assert rtc.Alarm(0x30, 0x59, 0x23).rings(time)
    assert not rtc.Alarm(0x30, 0x59, 0x22).rings(time)
    assert rtc.Alarm(0x30, 0xC0, 0xFF).rings(time)
    assert not rtc.Alarm(0x31, 0xC0, 0xFF).rings(time)


def test_weeks_begin_on_sundays() -> None:
    week = [rtc.day_of_week_register(datetime(2026, 11, day)) for day in range(15, 22)]
    assert week == [1, 2, 3, 4, 5, 6, 7]
