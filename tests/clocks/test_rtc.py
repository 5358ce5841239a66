"""The RTC's registers as a date."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
