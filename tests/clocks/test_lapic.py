"""The LAPIC timer: registers, counts, deadlines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks import lapic
from timehands.clocks.lapic import DIVIDE_REGISTERS, DIVISORS, LapicTimer, TimerMode

BUSES = st.sampled_from([1_000_000_000, 24_000_000, 25_000_000, 200_000_000, 19_200_000])
DIVIDES = st.sampled_from(DIVISORS)
COUNTS = st.integers(1, (1 << 32) - 1)
U64 = (1 << 64) - 1
HOUR_NS = 3600 * 10**9

ONE_SHOT = lapic.lvt_timer(0xEC, TimerMode.ONE_SHOT)
PERIODIC = lapic.lvt_timer(0xEC, TimerMode.PERIODIC)
DEADLINE = lapic.lvt_timer(0xEC, TimerMode.TSC_DEADLINE)


def test_the_divisors_are_those_of_the_manual() -> None:
    assert [lapic.divisor(code) for code in (0, 1, 2, 3, 8, 9, 10, 11)] == [
        2, 4, 8, 16, 32, 64, 128, 1,
    ]  # fmt: skip


@given(st.integers(0, (1 << 32) - 1))
def test_only_three_bits_of_the_register_count(register: int) -> None:
    divide = lapic.divisor(register)
    assert DIVIDE_REGISTERS[divide] == register & 0b1011


@pytest.mark.parametrize(
    ("lvt", "mode"),
    [
        (0x000EC, "ONE_SHOT"),
        (0x200EC, "PERIODIC"),
        (0x400EC, "TSC_DEADLINE"),
        (0x600EC, "RESERVED"),
    ],
)
def test_the_mode_is_in_bits_17_and_18(lvt: int, mode: str) -> None:
    assert lapic.timer_mode(lvt) is TimerMode[mode]
    assert lapic.lvt_timer(0xEC, TimerMode[mode]) == lvt
    assert lapic.lvt_timer(0xEC, TimerMode[mode], masked=True) == lvt | 0x10000


@given(COUNTS, DIVIDES, BUSES)
def test_counts_come_back_from_their_ns(count: int, divide: int, bus_hz: int) -> None:
    ns = lapic.count_to_ns(count, divide, bus_hz)
    assert lapic.ns_to_count(ns, divide, bus_hz) == count
    assert lapic.ns_to_count(ns - 1, divide, bus_hz) == count - 1


@given(st.integers(1, HOUR_NS), DIVIDES, BUSES)
def test_the_nearest_count_is_at_most_half_a_count_off(ns: int, divide: int, bus_hz: int) -> None:
    count = lapic.nearest_count(ns, divide, bus_hz)
    unit = divide * 10**9
    if count is None:
        assert 2 * ns * bus_hz < unit or ns > lapic.longest_ns(divide, bus_hz)
    else:
        assert abs(2 * (ns * bus_hz - count * unit)) <= unit


def test_the_longest_periods_with_a_bus_of_1_ghz() -> None:
    assert lapic.longest_ns(1) == 4_294_967_295
    assert lapic.longest_ns(128) == 549_755_813_760


@pytest.mark.parametrize(
    ("ns", "divide"),
    [(1, 1), (4_294_967_295, 1), (4_294_967_297, 2), (549_755_813_760, 128), (550 * 10**9, None)],
)
def test_the_smallest_divisor_that_reaches(ns: int, divide: int | None) -> None:
    assert lapic.smallest_divisor(ns) == divide


@given(COUNTS, DIVIDES, BUSES, st.integers(0, HOUR_NS))
def test_a_one_shot_counts_down_once(count: int, divide: int, bus_hz: int, at_ns: int) -> None:
    timer = LapicTimer(bus_hz, ONE_SHOT, DIVIDE_REGISTERS[divide]).write_initial_count(count, 0)
    fires_ns = timer.next_expiry_ns(0)
    assert fires_ns == timer.period_ns
    assert timer.current_count(0) == count
    assert timer.current_count(fires_ns) == 0
    assert timer.current_count(fires_ns - 1) >= 0
    assert (timer.current_count(at_ns) == 0) == (at_ns >= fires_ns)
    assert timer.next_expiry_ns(fires_ns) is None


@given(COUNTS, DIVIDES, BUSES, st.integers(0, HOUR_NS))
def test_a_periodic_timer_reloads(count: int, divide: int, bus_hz: int, at_ns: int) -> None:
    timer = LapicTimer(bus_hz, PERIODIC, DIVIDE_REGISTERS[divide]).write_initial_count(count, 0)
    fires_ns = timer.next_expiry_ns(at_ns)
    assert fires_ns is not None
    assert at_ns < fires_ns <= at_ns + timer.period_ns + 1
    assert timer.current_count(fires_ns) == count
    assert 1 <= timer.current_count(at_ns) <= count
    assert lapic.ns_to_count(fires_ns, divide, bus_hz) % count == 0


def test_the_ticks_of_a_periodic_timer_do_not_drift() -> None:
    timer = LapicTimer(24_000_000, PERIODIC, DIVIDE_REGISTERS[1]).write_initial_count(1000, 0)
    at_ns, ticks = 0, 0
    while at_ns < 10**9:
        at_ns = timer.next_expiry_ns(at_ns) or 0
        ticks += 1
    assert (ticks, at_ns) == (24_000, 10**9)


def test_a_count_of_0_stops_the_timer() -> None:
    timer = LapicTimer(lvt=PERIODIC).write_initial_count(1000, 0).write_initial_count(0, 50)
    assert timer.next_expiry_ns(50) is None
    assert timer.current_count(60) == 0


def test_a_new_divisor_goes_on_with_what_is_left() -> None:
    timer = LapicTimer(lvt=ONE_SHOT, divide_register=DIVIDE_REGISTERS[1])
    timer = timer.write_initial_count(1000, 0).write_divide(DIVIDE_REGISTERS[4], 400)
    assert timer.current_count(400) == 600
    assert timer.next_expiry_ns(400) == 400 + 600 * 4
    assert timer.current_count(800) == 500


def test_a_deadline_fires_when_reached_and_then_reads_0() -> None:
    timer = LapicTimer(lvt=DEADLINE).write_deadline(1000)
    assert not timer.fires(999)
    assert timer.fires(1000)
    assert timer.fired().deadline == 0
    assert not timer.fired().fires(U64)


def test_a_deadline_in_the_past_fires_at_once_and_0_disarms() -> None:
    timer = LapicTimer(lvt=DEADLINE).write_deadline(1)
    assert timer.fires(1_000_000)
    assert not timer.write_deadline(0).fires(1_000_000)


@pytest.mark.parametrize("lvt", [ONE_SHOT, PERIODIC])
def test_a_deadline_is_ignored_in_other_modes(lvt: int) -> None:
    assert LapicTimer(lvt=lvt).write_deadline(1) == LapicTimer(lvt=lvt)


def test_an_initial_count_is_ignored_in_deadline_mode() -> None:
    timer = LapicTimer(lvt=DEADLINE).write_initial_count(5, 0)
    assert timer.initial_count == 0
    assert timer.next_expiry_ns(0) is None


@pytest.mark.parametrize("lvt", [ONE_SHOT, PERIODIC])
def test_a_change_to_or_from_deadline_mode_disarms(lvt: int) -> None:
    armed = LapicTimer(lvt=DEADLINE).write_deadline(1000)
    assert armed.write_lvt(lvt).deadline == 0
    assert armed.write_lvt(DEADLINE | 0x10000).deadline == 1000
    counting = LapicTimer(lvt=lvt).write_initial_count(1000, 0)
    assert counting.write_lvt(DEADLINE).initial_count == 0
    assert counting.write_lvt(lvt | 0x10000).initial_count == 1000


@given(st.integers(0, U64), st.integers(0, U64), st.integers(1, (1 << 32) - 1))
def test_kvms_deadline_is_ours_rounded_down_within_64_bits(
    deadline: int, tsc: int, khz: int
) -> None:
    ours, kvms = lapic.deadline_ns(deadline, tsc, khz), lapic.kvm_deadline_ns(deadline, tsc, khz)
    if (deadline - tsc) * 10**6 <= U64:
        assert ours - 1 <= kvms <= ours
    else:
        assert kvms < ours


def test_kvms_deadline_wraps_two_hours_ahead_at_2_5_ghz() -> None:
    ahead = (1 << 64) // 10**6 + 1
    assert lapic.deadline_ns(ahead, 0, 2_500_000) == 7_378_697_629_484
    assert lapic.kvm_deadline_ns(ahead, 0, 2_500_000) == 0


@pytest.mark.parametrize(
    ("remaining", "period", "divide", "count"),
    [(1000, 1000, 1, 0), (999, 1000, 1, 999), (999, 1000, 2, 499), (0, 1000, 1, 0), (5, 0, 1, 0)],
)
def test_kvm_shows_what_remains_rounded_down(
    remaining: int, period: int, divide: int, count: int
) -> None:
    assert lapic.kvm_current_count(remaining, period, divide) == count


def test_kvm_keeps_periodic_timers_from_being_too_fast() -> None:
    assert lapic.kvm_period_ns(1000, 1, TimerMode.PERIODIC) == 200_000
    assert lapic.kvm_period_ns(1000, 1, TimerMode.ONE_SHOT) == 1000
    assert lapic.kvm_period_ns(200_001, 1, TimerMode.PERIODIC) == 200_001
    assert lapic.kvm_period_ns(0, 1, TimerMode.PERIODIC) == 0
    assert lapic.kvm_period_ns(1000, 16, TimerMode.ONE_SHOT, bus_cycle_ns=40) == 640_000


def test_qemu_counts_one_more() -> None:
    assert lapic.qemu_expiry_counts(1000) == 1001
    shown = [lapic.qemu_current_count(3, passed, TimerMode.PERIODIC) for passed in range(6)]
    assert shown == [3, 2, 1, 0, 3, 2]
    shown = [lapic.qemu_current_count(3, passed, TimerMode.ONE_SHOT) for passed in range(6)]
    assert shown == [3, 2, 1, 0, 0, 0]
