"""Pages in words."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from timehands.clocks.pvclock.describe import (
    Fact,
    date,
    decimal,
    describe,
    describe_wall_clock,
    flag_words,
    seconds,
    version_words,
)
from timehands.clocks.pvclock.layout import TimeInfo, WallClock

U64 = st.integers(0, (1 << 64) - 1)


def test_a_page_of_a_real_kvm() -> None:
    record = KVM_RECORDS[1]
    assert describe(record.build(), record.tsc_timestamp + 2_499_998) == [
        Fact("version", "4: complete"),
        Fact("updated", "at TSC 7,656,153,286,830 the time was 0.001148131 s"),
        Fact("factors", "mul 3,435,976,585 (0xccccd789), shift -1"),
        Fact("frequency", "2,499,998,000.423 Hz, KVM's for 2,499,998 kHz"),
        Fact("", "Linux reads 2,499,998 kHz, FreeBSD 2,499,998,000 Hz"),
        Fact("rounding", "-14.616 us a day; a read loses at most 1.4 ns"),
        Fact("", "a cycle counts 0.4 ns"),
        Fact(
            "flags",
            "0x03: TSC_STABLE (one clock on all vCPUs, if CPUID offers bit 24), GUEST_STOPPED "
            "(was paused, not cleared by the guest yet)",
        ),
        Fact("a read", "at TSC 7,656,155,786,828 gives 0.002148130 s"),
        Fact("", "2,499,998 cycles (0.000999999 s) after the update"),
        Fact("odd", "PV113 GUEST_STOPPED: flags are 0x03"),
    ]


def test_a_wall_clock() -> None:
    record = WallClock(2, 1795232565, 721313481).build()
    assert describe_wall_clock(record, 5 * 10**9) == [
        Fact("version", "2: complete"),
        Fact("epoch", "2026-11-21 03:42:45.721313481 UTC: the date at which kvmclock was 0"),
        Fact("now", "2026-11-21 03:42:50.721313481 UTC with kvmclock at 5.000000000 s"),
    ]


def test_a_page_that_stands_still() -> None:
    facts = describe(TimeInfo(2, 5, 0, 0, 0, 1).build(), 4)
    assert Fact("frequency", "none: time stands still") in facts
    assert Fact("", "1 cycles before the update") in facts


@given(st.binary(max_size=40), st.none() | U64, st.integers(0, (1 << 32) - 1))
def test_any_bytes_are_described(data: bytes, number: int | None, sec_hi: int) -> None:
    for fact in (*describe(data, number), *describe_wall_clock(data, number, sec_hi)):
        assert fact.text


def test_versions_and_flags() -> None:
    assert version_words(0) == "0: never written"
    assert version_words(3) == "3: being written"
    assert flag_words(0) == "none"
    assert flag_words(0x88) == "undefined bits 0x88"


@pytest.mark.parametrize(
    ("ns", "words"),
    [(0, "0.000000000 s"), (-1, "-0.000000001 s"), (12_345_678_900_000, "12,345.678900000 s")],
)
def test_seconds(ns: int, words: str) -> None:
    assert seconds(ns) == words


def test_dates_without_end() -> None:
    assert date(0) == "1970-01-01 00:00:00.000000000 UTC"
    assert date(((1 << 32) - 1) * 10**9) == "2106-02-07 06:28:15.000000000 UTC"
    assert date(10**30).endswith("after 1970")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Fraction(1, 3), "0.333"),
        (Fraction(-2000, 3), "-666.667"),
        (Fraction(1234567), "1,234,567"),
        (Fraction(-1, 10**9), "0"),
    ],
)
def test_fractions(value: Fraction, words: str) -> None:
    assert decimal(value) == words
