"""Vectors of the real-time clock."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from timehands.clocks.rtc import RegisterB, RtcTime, periodic_hz, update_in_progress
from timehands.clocks.vectors.forms import Group, Subject, Value

DATES = (
    datetime(1970, 1, 1), datetime(1999, 12, 31, 23, 59, 59), datetime(2000, 2, 29, 12, 0, 0),
    datetime(2026, 11, 21, 0, 0, 1), datetime(2026, 11, 21, 11, 59, 59),
    datetime(2026, 11, 21, 12, 34, 56), datetime(2026, 11, 21, 13, 0, 0),
    datetime(2038, 1, 19, 3, 14, 8), datetime(2099, 12, 31, 23, 59, 59),
    datetime(2106, 2, 7, 6, 28, 16),
)  # fmt: skip
#: Registers that hold no date, or one without a century: second to century, register B.
ODD = (
    (0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2), (0x61, 0, 0, 1, 1, 0x26, 0x20, 2),
    (0, 0, 0, 0, 1, 0x26, 0x20, 2), (0, 0, 0, 0x30, 2, 0x26, 0x20, 2),
    (0, 0, 0, 1, 1, 0x26, 0, 2), (0, 0, 0, 1, 1, 0x70, 0, 2), (0, 0, 0, 1, 1, 0x69, 0xFF, 2),
    (0x0A, 0, 0, 1, 1, 0x26, 0x20, 2), (0x0A, 0, 0, 1, 1, 26, 20, 6),
    (0, 0, 0x24, 1, 1, 0x26, 0x20, 2),
)  # fmt: skip


def rtc_subject() -> Subject:
    """All of it."""
    return Subject(
        "rtc",
        "The MC146818: its registers as a date, its periodic rates, and when it warns of an "
        "update.",
        (_registers(), _rates(), _update()),
    )


def _registers() -> Group:
    modes = (0, RegisterB.HOURS_24, RegisterB.BINARY, RegisterB.HOURS_24 | RegisterB.BINARY)
    times = [RtcTime.of(date, mode) for date, mode in itertools.product(DATES, modes)]
    times += [RtcTime(*registers) for registers in ODD]
    return Group(
        "registers",
        "The date (s since 1970, UTC) in registers 0, 2, 4, 7, 8, 9 and 0x32 in the format of "
        "register B (bit 1: 24 hours, bit 2: binary); null when they hold none. Where the century "
        "is not 19 to 21, years from 70 on are of the twentieth.",
        {
            "second": "u8",
            "minute": "u8",
            "hour": "u8",
            "day": "u8",
            "month": "u8",
            "year": "u8",
            "century": "u8",
            "register_b": "u8",
        },
        {"unix_s": "u64?"},
        [_register_case(time) for time in times],
    )


def _register_case(time: RtcTime) -> tuple[Value, ...]:
    date = time.as_utc()
    unix_s = int((date - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) if date else None
    fields = (time.second, time.minute, time.hour, time.day, time.month, time.year, time.century)
    return (*fields, int(time.register_b), unix_s)


def _rates() -> Group:
    return Group(
        "periodic",
        "The periodic rate that bits 3:0 of register A select, with 32768 Hz; null: none.",
        {"selection": "u8"},
        {"hz": "u32?"},
        [(selection, periodic_hz(selection)) for selection in range(16)],
    )


def _update() -> Group:
    times = (0, 1, 500_000_000, 997_771_999, 997_772_000, 999_755_999, 999_756_000, 999_999_999)
    return Group(
        "update",
        "Bit 7 of register A, so many ns after the registers last changed: set from 244 us before "
        "an update that takes update_ns (1984 us in the chip with 32768 Hz, 0 in QEMU).",
        {"ns_of_second": "u32", "update_ns": "u32"},
        {"in_progress": "bool"},
        [(ns, took, update_in_progress(ns, took)) for took in (1_984_000, 0) for ns in times],
    )
