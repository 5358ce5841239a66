"""The MC146818 real-time clock: its registers as a date.

Sources: Motorola MC146818 data sheet; Linux drivers/rtc/rtc-mc146818-lib.c,
mc146818_get_time_callback. The century is in register 0x32 on PCs, by convention only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntFlag

#: The rate of the periodic flag that rate selection 6 asks for.
PERIODIC_HZ = 1024


class RegisterB(IntFlag):
    """Status register B."""

    DAYLIGHT_SAVING = 1 << 0
    HOURS_24 = 1 << 1
    BINARY = 1 << 2
    SQUARE_WAVE = 1 << 3
    UPDATE_INTERRUPT = 1 << 4
    ALARM_INTERRUPT = 1 << 5
    PERIODIC_INTERRUPT = 1 << 6
    SET = 1 << 7


class RegisterD(IntFlag):
    """Status register D."""

    VALID = 1 << 7


@dataclass(frozen=True, slots=True)
class RtcTime:
    """The time registers as they were read: bytes in BCD or binary, as register B says."""

    second: int
    minute: int
    hour: int
    day: int
    month: int
    year: int
    century: int
    register_b: int

    def as_utc(self) -> datetime | None:
        """The date, taken as UTC; None when the registers hold no date.

        Without a plausible century (19 to 21) the years from 70 on are of the twentieth.
        """
        fields = (self.second, self.minute, self._hour(), self.day, self.month, self.year)
        numbers = [self._number(field) for field in fields]
        if None in numbers:
            return None
        second, minute, hour, day, month, year = (n for n in numbers if n is not None)
        century = self._number(self.century)
        if century not in (19, 20, 21):
            century = 19 if year >= 70 else 20
        hour = self._with_half(hour)
        try:
            return datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=UTC)
        except (ValueError, OverflowError):
            return None

    def _hour(self) -> int:
        return self.hour if self.register_b & RegisterB.HOURS_24 else self.hour & 0x7F

    def _with_half(self, hour: int) -> int:
        if self.register_b & RegisterB.HOURS_24:
            return hour
        return hour % 12 + (12 if self.hour & 0x80 else 0)

    def _number(self, value: int) -> int | None:
        """A register's number, or None when it should be BCD and is not."""
        if self.register_b & RegisterB.BINARY:
            return value
        high, low = value >> 4, value & 0xF
        return high * 10 + low if high <= 9 and low <= 9 else None
