"""KVM's clock, as the model has it: pages, the master clock, which TSC writes count as the same."""

from __future__ import annotations

import pytest

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.simulate.events import ClockAt, Ctrl, TscAt, Vmm
from timehands.simulate.hosts import Host, HostSpec
from timehands.simulate.providers.base import Going, Provider
from timehands.simulate.providers.kvm import Kvm, KvmWithoutMasterClock
from timehands.simulate.segments import NS_PER_S

KHZ = 2_500_000
STABLE, STOPPED = 1, 2


def host(khz: int = KHZ, **ways: object) -> Host:
    return Host(HostSpec(name="a", tsc_khz=khz, **ways))  # type: ignore[arg-type]


def kvm(vcpus: int = 2, **ways: object) -> Kvm:
    made = Kvm(host(**ways), vcpus, KHZ)
    made.boot(0)
    return made


def page(provider: Provider, vcpu: int = 0) -> TimeInfo:
    found = provider.page(vcpu)
    assert found is not None
    return found


def read(provider: Provider, vcpu: int, t_ns: int) -> int:
    return nanoseconds(page(provider, vcpu), provider.tsc(vcpu).at(t_ns))


def going(new_vm: bool = False, **ways: object) -> Going:
    clock = ways.pop("clock", ClockAt.SET)
    tsc = ways.pop("tsc", TscAt.RESTORE if new_vm else TscAt.KEEP)
    return Going(clock, tsc, Vmm(**ways), new_vm)  # type: ignore[arg-type]


def test_the_first_page_has_version_2_and_the_golden_factors() -> None:
    first = page(kvm(1))
    assert first == TimeInfo(2, 0, 0, 3435973836, -1, STABLE)


def test_all_vcpus_share_one_snapshot() -> None:
    clock = kvm(3)
    assert len({page(clock, v) for v in range(3)}) == 1
    assert {read(clock, v, 5 * NS_PER_S) for v in range(3)} == {4_999_999_998}


def test_without_master_clock_the_bit_is_not_set_and_others_follow_after_100_ms() -> None:
    clock = KvmWithoutMasterClock(host(), 2, KHZ)
    clock.boot(0)
    assert page(clock).flags == 0
    clock.left(1, NS_PER_S, commits=False)
    clock.enters(1, NS_PER_S + 10, 0)
    assert page(clock, 1).system_time == NS_PER_S + 10
    assert page(clock, 0).system_time == 0
    assert clock.next_timer_ns() == NS_PER_S + 10 + 100_000_000
    clock.timer(NS_PER_S + 10 + 100_000_000)
    assert page(clock, 0).system_time == page(clock, 1).system_time == NS_PER_S + 100_000_010


def test_all_pages_are_renewed_every_300_s() -> None:
    clock = kvm()
    assert clock.next_timer_ns() == 300 * NS_PER_S
    clock.timer(300 * NS_PER_S)
    assert page(clock) == TimeInfo(4, 0, 0, 3435973836, -1, STABLE)
    assert clock.next_timer_ns() == 600 * NS_PER_S


def test_cpus_that_disagree_cost_the_master_clock() -> None:
    clock = kvm(skew_cycles=(0, 1000))
    assert page(clock).flags == 0


def test_a_tsc_that_is_not_reliable_catches_up_on_another_cpu() -> None:
    clock = kvm(1, skew_cycles=(0, -2_500_000_000))
    clock.left(0, NS_PER_S, commits=False)
    clock.enters(0, NS_PER_S + 1000, 1)
    assert clock.tsc(0).at(NS_PER_S + 1000) == 2_500_002_500


# Which writes of the TSC count as the same one: kvm_synchronize_tsc.


def test_a_vmm_s_zero_is_dropped() -> None:
    clock = kvm()
    assert not clock.write_tsc(0, 7 * NS_PER_S, 0, by_guest=False)
    assert clock.tsc(0).at(7 * NS_PER_S) == 7 * 2_500_000_000
    assert page(clock).flags == STABLE


def test_a_first_write_is_taken_even_near_zero() -> None:
    """A guest that ran for less than a second is restored to what it had (Linux 6.8)."""
    clock = kvm()
    assert clock.write_tsc(0, NS_PER_S // 2, 100, by_guest=False)
    assert clock.tsc(0).at(NS_PER_S // 2) == 100


def test_one_vcpu_alone_costs_the_master_clock_until_the_other_follows() -> None:
    clock = kvm()
    clock.write_tsc(0, NS_PER_S, 10**12, by_guest=False)
    assert page(clock, 0).flags == page(clock, 1).flags == 0
    clock.write_tsc(1, NS_PER_S + 1000, 10**12, by_guest=False)
    assert page(clock, 0).flags == page(clock, 1).flags == STABLE
    assert clock.tsc(0) == clock.tsc(1)


@pytest.mark.parametrize(("off", "matched"), [(-1, True), (1, True), (0, False)])
def test_a_write_within_a_second_of_what_is_expected_is_the_same(off: int, matched: bool) -> None:
    clock = kvm()
    clock.write_tsc(0, NS_PER_S, 10**12, by_guest=False)
    second = 2_500_000_000
    value = 10**12 + (second if not matched else off * (second - 1))
    clock.write_tsc(1, NS_PER_S, value, by_guest=False)
    assert (clock.tsc(0) == clock.tsc(1)) is matched
    assert (page(clock, 1).flags == STABLE) is matched


def test_a_guest_s_write_leaves_the_page_as_it_is() -> None:
    clock = kvm()
    before = page(clock)
    clock.write_tsc(0, NS_PER_S, 5_000_000_000, by_guest=True)
    assert page(clock) is before
    assert read(clock, 0, NS_PER_S) == 2 * NS_PER_S - 1
    assert page(clock).flags == STABLE


# Stops.


def test_set_clock_continues_where_the_guest_stopped() -> None:
    clock = kvm()
    saved = clock.stopped(10 * NS_PER_S)
    assert saved.clock_ns == 9_999_999_997
    clock.goes_on(70 * NS_PER_S, clock.host, saved, going())
    assert page(clock).system_time == saved.clock_ns
    assert read(clock, 1, 71 * NS_PER_S) == saved.clock_ns + 999_999_999


def test_realtime_adds_what_passed_by_the_hosts_date() -> None:
    clock = kvm()
    saved = clock.stopped(10 * NS_PER_S)
    clock.host.step(5 * NS_PER_S)
    clock.goes_on(70 * NS_PER_S, clock.host, saved, going(clock=ClockAt.REALTIME))
    assert page(clock).system_time == saved.clock_ns + 65 * NS_PER_S


def test_a_date_that_went_back_does_not_take_the_clock_back() -> None:
    clock = kvm()
    saved = clock.stopped(10 * NS_PER_S)
    clock.host.step(-3600 * NS_PER_S)
    clock.goes_on(70 * NS_PER_S, clock.host, saved, going(clock=ClockAt.REALTIME))
    assert page(clock).system_time == saved.clock_ns


@pytest.mark.parametrize(
    ("ctrl", "new_vm", "told"),
    [
        (Ctrl.BEFORE_RESUME, True, True),
        (Ctrl.BEFORE_RESUME, False, True),
        (Ctrl.AFTER_PAUSE, False, True),
        (Ctrl.AFTER_PAUSE, True, False),
        (Ctrl.NEVER, False, False),
    ],
)
def test_who_is_told_that_it_was_stopped(ctrl: Ctrl, new_vm: bool, told: bool) -> None:
    clock = kvm()
    saved = clock.stopped(NS_PER_S)
    clock.goes_on(2 * NS_PER_S, clock.host, saved, going(new_vm, kvmclock_ctrl=ctrl))
    assert bool(page(clock).flags & STOPPED) is told
    clock.timer(302 * NS_PER_S)
    assert not page(clock).flags & STOPPED


def test_a_new_vm_begins_at_zero_until_its_clock_is_set_late() -> None:
    clock = kvm()
    saved = clock.stopped(10 * NS_PER_S)
    clock.goes_on(20 * NS_PER_S, clock.host, saved, going(True, clock_after_ns=5_000_000))
    assert read(clock, 0, 20 * NS_PER_S + 1_000_000) == 999_999
    assert clock.next_timer_ns() == 20 * NS_PER_S + 5_000_000
    clock.timer(20 * NS_PER_S + 5_000_000)
    assert page(clock).system_time == saved.clock_ns


def test_tscs_restored_over_a_second_apart_cost_the_master_clock() -> None:
    for gap_ns, sync, stable in (
        (999_000_000, False, True),
        (1_001_000_000, False, False),
        (1_001_000_000, True, True),
    ):
        clock = kvm()
        saved = clock.stopped(10 * NS_PER_S)
        ways = going(True, tsc_gap_ns=gap_ns, tsc_sync=sync)
        clock.goes_on(20 * NS_PER_S, clock.host, saved, ways)
        assert page(clock).stable is stable
        assert (clock.tsc(0) == clock.tsc(1)) is stable


# Other frequencies.


def restored(target: Host, **ways: object) -> Kvm:
    clock = kvm(1)
    saved = clock.stopped(10 * NS_PER_S)
    clock.goes_on(20 * NS_PER_S, target, saved, going(True, **ways))
    return clock


def test_scaling_keeps_frequency_and_factors() -> None:
    clock = restored(host(3_000_000))
    assert clock.tsc(0).hz == 2_500_000_000
    assert page(clock).tsc_to_system_mul == 3435973836


def test_without_scaling_the_factors_are_the_new_host_s() -> None:
    clock = restored(host(3_000_000, tsc_scaling=False))
    assert clock.tsc(0).hz == 3_000_000_000
    assert (page(clock).tsc_to_system_mul, page(clock).tsc_shift) == (2863311530, -1)
    assert read(clock, 0, 21 * NS_PER_S) == 9_999_999_997 + 999_999_999


def test_within_250_ppm_nothing_is_scaled() -> None:
    assert restored(host(2_500_600)).tsc(0).hz == 2_500_600_000
    assert restored(host(2_500_700)).tsc(0).hz == 2_500_000_000


def test_on_a_slower_host_the_tsc_is_set_forward_at_each_entry() -> None:
    clock = restored(host(2_000_000, tsc_scaling=False))
    at_ns = 21 * NS_PER_S
    assert clock.tsc(0).at(at_ns) == 25_000_000_000 + 2_000_000_000
    clock.enters(0, at_ns, 0)
    assert clock.tsc(0).at(at_ns) == 25_000_000_000 + 2_500_000_000
