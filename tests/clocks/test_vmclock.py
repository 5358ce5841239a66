"""VMClock: the structure, and the time that it gives."""

from __future__ import annotations

import struct
from dataclasses import astuple
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.vmclock import Instant, VmClock, consistent, period
from timehands.clocks.vmclock_numbers import ClockStatus, CounterId, TimeType, VmClockFlag
from timehands.errors import FrequencyOutOfRange, RecordTooShort

U64 = (1 << 64) - 1
PAGES = st.binary(min_size=112, max_size=112)
COUNTERS = st.integers(0, U64)
RATES = st.integers(2, (1 << 63) - 1)
#: Where the specification has the fields (its last row's 0x64 is a slip: 0x60 is 8 bytes long).
OFFSETS = {
    "magic": 0x00, "size": 0x04, "version": 0x08, "counter_id": 0x0A, "time_type": 0x0B,
    "seq_count": 0x0C, "disruption_marker": 0x10, "flags": 0x18, "pad": 0x20,
    "clock_status": 0x22, "leap_second_smearing_hint": 0x23, "tai_offset_sec": 0x24,
    "leap_indicator": 0x26, "counter_period_shift": 0x27, "counter_value": 0x28,
    "counter_period_frac_sec": 0x30, "counter_period_esterror_rate_frac_sec": 0x38,
    "counter_period_maxerror_rate_frac_sec": 0x40, "time_sec": 0x48, "time_frac_sec": 0x50,
    "time_esterror_nanosec": 0x58, "time_maxerror_nanosec": 0x60, "vm_generation_counter": 0x68,
}  # fmt: skip


@pytest.mark.parametrize(("name", "offset"), OFFSETS.items())
def test_each_field_is_where_the_specification_has_it(name: str, offset: int) -> None:
    bare = VmClock.parse(bytes(112))
    data = bytearray(112)
    data[offset] = 1
    parsed = VmClock.parse(bytes(data))
    assert getattr(parsed, name) == 1
    assert sum(a != b for a, b in zip(astuple(parsed), astuple(bare), strict=True)) == 1


@given(PAGES)
def test_any_page_is_parsed_and_built_again(page: bytes) -> None:
    assert VmClock.parse(page).build() == page


@pytest.mark.parametrize("size", [0, 1, 104, 111])
def test_a_page_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(RecordTooShort) as error:
        VmClock.parse(bytes(size))
    assert (error.value.needed, error.value.got) == (112, size)


def test_a_field_outside_of_its_type_is_not_built() -> None:
    with pytest.raises(struct.error):
        VmClock(tai_offset_sec=1 << 15).build()


def test_the_period_of_1_ghz_is_the_specifications() -> None:
    assert period(10**9) == (0x89705F4136B4A597, 29)


@given(RATES)
def test_a_period_has_63_bits_at_least_and_is_short_by_less_than_one_unit(hz: int) -> None:
    frac_sec, shift = period(hz)
    assert 1 << 63 <= frac_sec <= U64
    exact = Fraction(1 << 64 + shift, hz)
    assert frac_sec <= exact < frac_sec + 1


@pytest.mark.parametrize("hz", [0, 1, -1, 1 << 63])
def test_no_period_for_rates_that_no_counter_has(hz: int) -> None:
    with pytest.raises(FrequencyOutOfRange):
        period(hz)


@given(st.integers(0, 1 << 80))
def test_ns_come_back_from_an_instant(ns: int) -> None:
    assert Instant.of_ns(ns).ns == ns


@given(COUNTERS, st.integers(0, 1 << 62), RATES, st.integers(0, 1 << 40))
def test_the_time_at_a_counter_is_exact_to_a_unit(
    counter: int, ns: int, hz: int, later: int
) -> None:
    clock = VmClock().set_time(counter, Instant.of_ns(ns), hz)
    at = clock.instant((counter + later) & U64)
    reference = Fraction(clock.time_sec) + Fraction(clock.time_frac_sec, 1 << 64)
    exact = reference + later * clock.period.seconds
    assert 0 <= exact - at.sec - Fraction(at.frac, 1 << 64) < Fraction(1, 1 << 64)


@given(COUNTERS, st.integers(1, 1 << 62), RATES, st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_time_never_goes_back_while_the_counter_goes_on(
    counter: int, ns: int, hz: int, first: int, second: int
) -> None:
    clock = VmClock().set_time(counter, Instant.of_ns(ns), hz)
    early, late = sorted((first, second))
    assert clock.instant((counter + early) & U64) <= clock.instant((counter + late) & U64)


def test_tai_becomes_utc_by_the_offset_when_it_is_valid() -> None:
    tai = VmClock(time_sec=137, tai_offset_sec=37, flags=VmClockFlag.TAI_OFFSET_VALID)
    assert tai.utc(0) == (100, 0)
    assert VmClock(time_sec=137, tai_offset_sec=37).utc(0) is None
    assert VmClock(time_sec=137, time_type=TimeType.MONOTONIC, flags=1).utc(0) is None
    assert VmClock(time_sec=137, time_type=TimeType.UTC).utc(0) == (137, 0)


def test_errors_grow_with_the_counter_when_the_provider_tells_them() -> None:
    flags = VmClockFlag.TIME_MAXERROR_VALID | VmClockFlag.PERIOD_MAXERROR_VALID
    clock = VmClock(
        flags=flags, time_maxerror_nanosec=250, counter_period_maxerror_rate_frac_sec=1 << 64 - 30
    )
    assert clock.max_error_ns(0) == 250
    assert clock.max_error_ns(1 << 30) == 250 + 10**9
    assert clock.estimated_error_ns(0) is None
    assert VmClock(flags=VmClockFlag.TIME_MAXERROR_VALID).max_error_ns(0) is None


@given(st.integers(0, (1 << 32) - 1))
def test_an_update_makes_the_sequence_odd_and_then_the_next_even_one(seq: int) -> None:
    before = VmClock(seq_count=seq)
    during = before.begin_update()
    after = during.end_update()
    assert during.being_written
    assert not after.being_written
    assert (after.seq_count - seq) % (1 << 32) in (2, 3)
    assert not consistent(seq, during.seq_count)
    assert not consistent(during.seq_count, during.seq_count)
    assert not consistent(seq & ~1, after.seq_count)
    assert consistent(after.seq_count, after.seq_count)


GOOD = {
    "counter_id": CounterId.X86_TSC,
    "clock_status": ClockStatus.SYNCHRONIZED,
    "counter_period_frac_sec": 1 << 63,
}


@pytest.mark.parametrize(
    "change",
    [
        {"magic": 0},
        {"version": 2},
        {"counter_id": CounterId.INVALID},
        {"counter_id": 2},
        {"time_type": TimeType.INVALID_SMEARED},
        {"clock_status": ClockStatus.UNKNOWN},
        {"clock_status": ClockStatus.UNRELIABLE},
        {"clock_status": 5},
        {"counter_period_frac_sec": 0},
    ],
    ids=str,
)
def test_a_structure_that_does_not_tell_the_time_is_known(change: dict[str, int]) -> None:
    assert VmClock(**GOOD).tells_time
    assert not VmClock(**(GOOD | change)).tells_time
