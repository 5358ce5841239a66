"""Writes to a TSC: by the guest, and from outside with KVM's guessing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.tsc_write import GuestTsc, LastWrite, cycles, synchronizes, write_from_outside

U64 = (1 << 64) - 1
U64S = st.integers(0, U64)
KHZ = 2_500_000
SECOND = KHZ * 1000
#: As a VM is after its first vCPU was made: KVM wrote 0 to its TSC.
NEW = write_from_outside(
    LastWrite(), 0, now_ns=10**9, scaled_host_tsc=5 * SECOND, tsc_khz=KHZ, outside=False
)


@given(U64S, U64S, U64S, U64S)
def test_a_guests_write_moves_the_adjustment_along(
    offset: int, adjust: int, host: int, value: int
) -> None:
    tsc = GuestTsc(offset, adjust)
    now = (host + offset) & U64
    written = tsc.write_tsc(now, value)
    assert (host + written.offset) & U64 == value
    assert (written.adjust - adjust) & U64 == (value - now) & U64


@given(U64S, U64S, U64S)
def test_an_adjustment_moves_the_tsc_along(offset: int, adjust: int, value: int) -> None:
    written = GuestTsc(offset, adjust).write_adjust(value)
    assert written.adjust == value
    assert (written.offset - offset) & U64 == (value - adjust) & U64
    assert written.write_adjust(adjust) == GuestTsc(offset, adjust)


def test_from_outside_only_the_register_changes() -> None:
    assert GuestTsc(7, 1).store_adjust(9) == GuestTsc(7, 9)


@given(st.integers(0, 10**18), st.integers(1000, 10_000_000))
def test_cycles_are_right_to_half_a_ppb(ns: int, khz: int) -> None:
    exact = ns * khz // 10**6
    assert exact - (exact >> 31) - 2 - khz // 10**6 <= cycles(ns, khz) <= exact


def test_a_new_vcpu_starts_a_generation() -> None:
    assert not NEW.matched
    assert NEW.offset == -5 * SECOND & U64
    assert (NEW.vm.generation, NEW.vm.matched, NEW.vm.set_from_outside) == (1, 0, False)
    assert NEW.vm.all_matched(1)


def test_a_second_vcpu_is_given_the_offset_of_the_first() -> None:
    second = write_from_outside(
        NEW.vm, 0, now_ns=2 * 10**9, scaled_host_tsc=9 * SECOND, tsc_khz=KHZ, outside=False
    )
    assert second.matched
    assert second.offset == NEW.offset
    assert second.vm.all_matched(2)
    assert not NEW.vm.all_matched(2)


def test_a_write_of_0_from_outside_is_ignored() -> None:
    reset = write_from_outside(
        NEW.vm, 0, now_ns=60 * 10**9, scaled_host_tsc=150 * SECOND, tsc_khz=KHZ, generation=1
    )
    assert reset.matched
    assert reset.offset == NEW.offset
    assert reset.vm.matched == 0


def test_the_first_value_from_outside_is_taken_even_if_near() -> None:
    first = write_from_outside(
        NEW.vm, 42, now_ns=10**9 + 10, scaled_host_tsc=5 * SECOND, tsc_khz=KHZ, generation=1
    )
    assert not first.matched
    assert first.offset == (42 - 5 * SECOND) & U64
    assert first.vm.set_from_outside


def test_before_that_was_mended_it_was_not() -> None:
    first = write_from_outside(
        NEW.vm,
        42,
        now_ns=10**9 + 10,
        scaled_host_tsc=5 * SECOND,
        tsc_khz=KHZ,
        after_startup=True,
    )
    assert first.matched
    assert first.offset == NEW.offset


SET = LastWrite(
    at_ns=10**9, value=100 * SECOND, tsc_khz=KHZ, offset=77, generation=3, set_from_outside=True
)


@pytest.mark.parametrize(
    ("off", "matches"),
    [(0, True), (SECOND - 2, True), (SECOND + 2, False), (-SECOND + 2, True), (-SECOND - 2, False)],
)
def test_a_later_value_matches_within_one_second_of_the_last(off: int, matches: bool) -> None:
    value = SET.value + cycles(5 * 10**9, KHZ) + off
    assert synchronizes(SET, value, 6 * 10**9, KHZ) is matches


def test_a_snapshot_of_two_vcpus_restored_a_moment_apart_is_synchronised() -> None:
    host = 200 * SECOND
    one = write_from_outside(
        SET, 5 * SECOND, now_ns=20 * 10**9, scaled_host_tsc=host, tsc_khz=KHZ, generation=3
    )
    other = write_from_outside(
        one.vm,
        5 * SECOND + 1234,
        now_ns=20 * 10**9 + 1_000_000,
        scaled_host_tsc=host + SECOND // 1000,
        tsc_khz=KHZ,
        generation=3,
    )
    assert (one.matched, other.matched) == (False, True)
    assert other.offset == one.offset
    assert other.vm.all_matched(2)


def test_written_twice_a_vcpu_counts_once() -> None:
    one = write_from_outside(
        SET, 5 * SECOND, now_ns=20 * 10**9, scaled_host_tsc=0, tsc_khz=KHZ, generation=3
    )
    again = write_from_outside(
        one.vm,
        5 * SECOND,
        now_ns=20 * 10**9,
        scaled_host_tsc=0,
        tsc_khz=KHZ,
        generation=one.generation,
    )
    assert again.matched
    assert again.vm.matched == 0


def test_another_frequency_does_not_match() -> None:
    written = write_from_outside(SET, 0, now_ns=10**9, scaled_host_tsc=10, tsc_khz=KHZ + 1)
    assert not written.matched
    assert written.offset == -10 & U64


def test_where_the_hosts_tsc_is_not_stable_the_value_is_moved_to_now() -> None:
    written = write_from_outside(
        SET,
        SET.value,
        now_ns=10**9 + 10**8,
        scaled_host_tsc=50 * SECOND,
        tsc_khz=KHZ,
        host_stable=False,
    )
    assert written.matched
    assert written.vm.value == SET.value + cycles(10**8, KHZ)
    assert written.offset == written.vm.value - 50 * SECOND


@given(U64S, U64S, U64S, st.integers(0, (1 << 32) - 1), st.tuples(st.booleans(), st.booleans()))
def test_any_write_makes_an_offset(
    value: int, now_ns: int, host: int, khz: int, flags: tuple[bool, bool]
) -> None:
    outside, stable = flags
    written = write_from_outside(
        replace(SET, tsc_khz=khz),
        value,
        now_ns=now_ns,
        scaled_host_tsc=host,
        tsc_khz=khz,
        outside=outside,
        host_stable=stable,
    )
    assert 0 <= written.offset <= U64
    assert written.generation == written.vm.generation == SET.generation + (not written.matched)
    if not written.matched:
        assert (host + written.offset) & U64 == value
