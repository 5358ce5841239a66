"""The MC146818 real-time clock: its registers as a date and back, its alarm, its periodic rate.

Once a second the chip updates its registers; while it does so they read as anything. Bit 7 of
register A (`update_in_progress`) is set before: who sees it clear has 244 us to read.

Sources: Motorola MC146818 data sheet (update cycle times, periodic rates); Linux
drivers/rtc/rtc-mc146818-lib.c, mc146818_get_time_callback; QEMU hw/rtc/mc146818rtc.c,
update_in_progress. The century is in register 0x32 on PCs, by convention only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, IntFlag
from typing import Self

NS_PER_S = 1_000_000_000
#: Of the crystal; the registers behind ports 0x70 (number) and 0x71 (value).
CRYSTAL_HZ = 32_768
INDEX_PORT, DATA_PORT = 0x70, 0x71
#: The rate of the periodic flag that rate selection 6 asks for.
PERIODIC_HZ = 1024
#: From bit 7 of register A to the update: at least this long.
UPDATE_WARNING_NS = 244_000
#: How long the update itself takes with the crystal of PCs. Emulators take no time for it.
UPDATE_CYCLE_NS = 1_984_000
#: In an alarm register, this and anything above (both top bits set): any value does.
ALARM_ANY = 0xC0


class Register(IntEnum):
    """Registers by number."""

    SECONDS = 0x00
    SECONDS_ALARM = 0x01
    MINUTES = 0x02
    MINUTES_ALARM = 0x03
    HOURS = 0x04
    HOURS_ALARM = 0x05
    DAY_OF_WEEK = 0x06
    DAY = 0x07
    MONTH = 0x08
    YEAR = 0x09
    A = 0x0A
    B = 0x0B
    C = 0x0C
    D = 0x0D
    CENTURY = 0x32


class RegisterA(IntFlag):
    """Status register A: bits 3:0 select the periodic rate, bits 6:4 the divider chain."""

    RATE = 0x0F
    DIVIDER = 0x70
    #: The divider chain for 32,768 Hz; 6 and 7 in it hold the clock in reset.
    DIVIDER_32768 = 0x20
    UPDATE_IN_PROGRESS = 1 << 7


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


class RegisterC(IntFlag):
    """Status register C: what happened since it was last read; reading clears it."""

    UPDATE_ENDED = 1 << 4
    ALARM = 1 << 5
    PERIODIC = 1 << 6
    INTERRUPT = 1 << 7


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

    @classmethod
    def of(cls, date: datetime, register_b: int) -> Self:
        """The registers that hold a date's fields (of any zone), in the format of register B."""
        write = _as_binary if register_b & RegisterB.BINARY else _as_bcd
        return cls(
            write(date.second),
            write(date.minute),
            _hour_register(date.hour, register_b),
            write(date.day),
            write(date.month),
            write(date.year % 100),
            write(date.year // 100),
            register_b,
        )

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


@dataclass(frozen=True, slots=True)
class Alarm:
    """The alarm registers, in the format of the time registers."""

    second: int
    minute: int
    hour: int

    def rings(self, time: RtcTime) -> bool:
        """Whether the alarm flag rises when the clock reaches this time."""
        pairs = (
            (self.second, time.second),
            (self.minute, time.minute),
            (self.hour, time.hour),
        )
        return all(alarm >= ALARM_ANY or alarm == now for alarm, now in pairs)


def day_of_week_register(date: datetime) -> int:
    """1 on Sundays to 7 on Saturdays; the same in BCD."""
    return date.isoweekday() % 7 + 1


def periodic_hz(register_a: int) -> int | None:
    """The periodic rate that register A selects (with 32,768 Hz); None when it selects none.

    Selections 1 and 2 are slow ones, like 8 and 9.
    """
    rate = register_a & RegisterA.RATE
    if rate == 0:
        return None
    return CRYSTAL_HZ >> (rate + 6 if rate < 3 else rate - 1)


def rate_selection(hz: int) -> int | None:
    """The selection (3 to 15) for a rate of 2 to 8192 Hz; None when the chip has no such rate."""
    return next((n for n in range(3, 16) if CRYSTAL_HZ >> n - 1 == hz), None)


def counts(register_a: int, register_b: int) -> bool:
    """Whether the clock goes: the divider chain runs, and nobody holds the registers to set them.

    The chain runs for a crystal of 32,768 Hz or a faster one; other selections hold it in reset or
    test it. With SET it goes on, but no update is made. As QEMU has it (rtc_running).
    """
    divider = register_a & RegisterA.DIVIDER
    return divider <= RegisterA.DIVIDER_32768 and not register_b & RegisterB.SET


def update_in_progress(ns_of_second: int, update_ns: int = UPDATE_CYCLE_NS) -> bool:
    """Bit 7 of register A, ``ns_of_second`` (0 to 10^9 - 1) after the registers last changed.

    The registers change at the end of the update, which takes ``update_ns`` (0 in QEMU), and the
    bit is set 244 us before it begins.
    """
    return ns_of_second >= NS_PER_S - update_ns - UPDATE_WARNING_NS


def _hour_register(hour: int, register_b: int) -> int:
    """24 hours, or 12 with bit 7 set in the afternoon: 12 is midnight, or noon with the bit."""
    write = _as_binary if register_b & RegisterB.BINARY else _as_bcd
    if register_b & RegisterB.HOURS_24:
        return write(hour)
    return write(hour % 12 or 12) | (0x80 if hour >= 12 else 0)


def _as_bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def _as_binary(number: int) -> int:
    return number
