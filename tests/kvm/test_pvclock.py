"""pvclock's reference against the real KVM, an oracle that we did not write.

Pages are registered by KVM_SET_MSRS and by guests of a few instructions, and read from the guest's
memory. What KVM wrote there must be what `timehands.clocks.pvclock` reckons, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from kvm.guest_code import (
    HALT,
    HALT_FOR_EVER,
    TSC_AT,
    TSC_LOOP,
    guest,
    halted,
    need,
    run_to,
    wrmsr,
)
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import TimeInfo, WallClock, next_versions
from timehands.clocks.pvclock.numbers import TIME_INFO_SIZE, WALL_CLOCK_SIZE, Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.clocks.pvclock.wallclock import compose, epoch_ns, now_ns, record_ns
from timehands.clocks.tsc import SVM, VMX, Scaling, scale_tsc, tsc_ratio
from timehands.errors import KvmRefused
from timehands.kvm import Capability, ClockReading, Vcpu, Vm
from timehands.kvm.exits import PortOut
from timehands.kvm.numbers import TSC_TOLERANCE_PPM, ClockFlags

#: Where guests have their records; each vCPU has its own page.
PAGE, WALL = 0x2000, 0x6000
SYSTEM_TIME_MSRS = (ClockMsr.KVM_SYSTEM_TIME, ClockMsr.KVM_SYSTEM_TIME_OLD)
WALL_CLOCK_MSRS = (ClockMsr.KVM_WALL_CLOCK, ClockMsr.KVM_WALL_CLOCK_OLD)


def page_of(vcpu: Vcpu) -> int:
    return PAGE + 0x1000 * vcpu.number


def read(vcpu: Vcpu) -> TimeInfo:
    """The record in the guest's memory."""
    return TimeInfo.parse(vcpu.vm.memory.read(page_of(vcpu), TIME_INFO_SIZE))


def registered(vm: Vm, code: bytes = HALT_FOR_EVER) -> Vcpu:
    """A vCPU with a page, not entered yet."""
    need(vm.kvm, Capability.ADJUST_CLOCK)
    vcpu = guest(vm, code)
    vcpu.set_msrs({ClockMsr.KVM_SYSTEM_TIME: page_of(vcpu) | 1})
    return vcpu


def updated(vcpu: Vcpu) -> TimeInfo:
    """The record after the vCPU was entered once more."""
    return read(halted(vcpu))


def one_clock(vcpu: Vcpu) -> TimeInfo:
    """The record after an entry; a skip where KVM keeps no master clock."""
    info = updated(vcpu)
    if not info.stable:
        pytest.skip("this KVM keeps no master clock (TSC_STABLE is clear)")
    return info


def looping(vm: Vm) -> Vcpu:
    """A vCPU that reads its TSC again and again, with a page of a master clock; or a skip."""
    vcpu = registered(vm, TSC_LOOP)
    run_to(vcpu, PortOut)
    if not read(vcpu).stable:
        pytest.skip("this KVM keeps no master clock (TSC_STABLE is clear)")
    return vcpu


# The record


@pytest.mark.parametrize("msr", SYSTEM_TIME_MSRS, ids=["new MSR", "old MSR"])
def test_factors_are_those_of_time_scale_when_user_space_registers(vm: Vm, msr: ClockMsr) -> None:
    vcpu = guest(vm, HALT_FOR_EVER)
    vcpu.set_msrs({msr: page_of(vcpu) | 1})
    assert read(vcpu) == TimeInfo.parse(bytes(TIME_INFO_SIZE))
    info = updated(vcpu)
    assert info.scale == time_scale(vcpu.tsc_khz())
    assert goes_on(0, info.version)
    assert (info.pad0, info.pad) == (0, 0)
    assert not info.flags & ~Flags.TSC_STABLE


@pytest.mark.parametrize("msr", SYSTEM_TIME_MSRS, ids=["new MSR", "old MSR"])
def test_factors_are_those_of_time_scale_when_the_guest_registers(vm: Vm, msr: ClockMsr) -> None:
    vcpu = guest(vm, wrmsr(msr, PAGE | 1) + HALT_FOR_EVER)
    info = updated(vcpu)
    assert info.scale == time_scale(vcpu.tsc_khz())
    assert goes_on(0, info.version)
    assert vcpu.msr(msr) == PAGE | 1


def test_the_old_msr_in_the_guests_hands_costs_the_stable_flag(vm: Vm) -> None:
    one_clock(registered(vm))
    with Vm(vm.kvm) as other:
        vcpu = guest(other, wrmsr(ClockMsr.KVM_SYSTEM_TIME_OLD, PAGE | 1) + HALT_FOR_EVER)
        assert not updated(vcpu).stable


def test_a_record_is_built_again_from_its_fields(vm: Vm) -> None:
    vcpu = registered(vm)
    info = updated(vcpu)
    assert info.build() == vm.memory.read(page_of(vcpu), TIME_INFO_SIZE)


@pytest.mark.parametrize("ppm", [-TSC_TOLERANCE_PPM + 1, -100, 1, 100, TSC_TOLERANCE_PPM - 1])
def test_a_rate_within_the_tolerance_changes_what_is_told_but_not_the_page(
    vm: Vm, ppm: int
) -> None:
    need(vm.kvm, Capability.GET_TSC_KHZ)
    vcpu = registered(vm)
    host_khz = vcpu.tsc_khz()
    asked_khz = host_khz + host_khz * ppm // 1_000_000
    vcpu.set_tsc_khz(asked_khz)
    assert vcpu.tsc_khz() == asked_khz
    assert updated(vcpu).scale == time_scale(host_khz)


@pytest.mark.parametrize("percent", [25, 50, 90, 99, 101, 120, 160, 200, 390])
def test_other_rates_where_the_tsc_can_be_scaled(vm: Vm, percent: int) -> None:
    need(vm.kvm, Capability.TSC_CONTROL)
    vcpu = registered(vm)
    host_khz = vcpu.tsc_khz()
    asked_khz = host_khz * percent // 100
    vcpu.set_tsc_khz(asked_khz)

    def reached(scaling: Scaling) -> int:
        return scale_tsc(host_khz, tsc_ratio(asked_khz, host_khz, scaling), scaling)

    # The processor's ratio is rounded down, and KVM reckons the page by what comes out of it.
    assert updated(vcpu).scale in {time_scale(reached(each)) for each in (VMX, SVM)}


# The protocol


def goes_on(before: int, after: int) -> bool:
    """Whether a version was followed by that one: two more, in the next entry.

    Two more again where the entry came 100 ms after the page was registered: then KVM updates all
    vCPUs once more (KVMCLOCK_UPDATE_DELAY).
    """
    return (after - before) % (1 << 32) in (2, 4)


def test_each_update_adds_two_to_the_version(vm: Vm) -> None:
    vcpu = registered(vm)
    versions = [0, updated(vcpu).version]
    for _ in range(3):
        vm.set_clock(10**9)
        versions.append(updated(vcpu).version)
    assert all(goes_on(*pair) for pair in pairwise(versions))


@pytest.mark.parametrize("left", [1, 6, 7, 0xFFFF_FFFE, 0xFFFF_FFFF])
def test_versions_go_on_from_what_was_left_there(vm: Vm, left: int) -> None:
    vcpu = registered(vm)
    junk = replace(TimeInfo.parse(bytes(TIME_INFO_SIZE)), version=left)
    vm.memory.write(page_of(vcpu), junk.build())
    expected = next_versions(left)[1]
    assert goes_on(expected - 2, updated(vcpu).version)


def test_an_entry_without_a_reason_leaves_the_record_alone(vm: Vm) -> None:
    vcpu = registered(vm)
    first, second = one_clock(vcpu), updated(vcpu)
    assert replace(second, version=first.version) == first
    assert second.version == first.version or goes_on(first.version, second.version)


def test_guest_stopped_stays_until_the_guest_clears_it(vm: Vm) -> None:
    need(vm.kvm, Capability.KVMCLOCK_CTRL)
    vcpu = registered(vm)
    first = updated(vcpu)
    vcpu.kvmclock_ctrl()
    assert read(vcpu) == first
    second = updated(vcpu)
    assert second.flags == first.flags | Flags.GUEST_STOPPED
    assert goes_on(first.version, second.version)
    vm.set_clock(10**9)
    third = updated(vcpu)
    assert third.flags == second.flags
    assert goes_on(second.version, third.version)
    vm.memory.write(page_of(vcpu), replace(third, flags=first.flags).build())
    vm.set_clock(10**9)
    assert updated(vcpu).flags == first.flags


def test_a_vcpu_without_a_page_cannot_be_told_that_it_was_stopped(vm: Vm) -> None:
    need(vm.kvm, Capability.KVMCLOCK_CTRL)
    vcpu = halted(guest(vm, HALT_FOR_EVER))
    with pytest.raises(KvmRefused, match="needs a guest that has registered its time page"):
        vcpu.kvmclock_ctrl()


def test_a_clock_that_is_set_is_the_next_system_time(vm: Vm) -> None:
    vcpu = registered(vm)
    before = one_clock(vcpu)
    vm.set_clock(5_000_000_000)
    after = updated(vcpu)
    assert after.system_time == 5_000_000_000
    assert after.tsc_timestamp > before.tsc_timestamp
    assert after.scale == before.scale


def test_disabling_leaves_the_record_as_it_is(vm: Vm) -> None:
    vcpu = guest(vm, wrmsr(ClockMsr.KVM_SYSTEM_TIME, 0) + HALT_FOR_EVER)
    vcpu.set_msrs({ClockMsr.KVM_SYSTEM_TIME: page_of(vcpu) | 1})
    before = updated(vcpu)
    assert goes_on(0, before.version)
    assert vcpu.msr(ClockMsr.KVM_SYSTEM_TIME) == 0
    vm.set_clock(5_000_000_000)
    assert updated(vcpu) == before
    # Registered again, it is written again: seen was also once at the ioctl, without TSC_STABLE.
    vcpu.set_msrs({ClockMsr.KVM_SYSTEM_TIME: page_of(vcpu) | 1})
    after = updated(vcpu)
    assert after.system_time >= 5_000_000_000
    assert after.version > before.version
    assert not after.being_written


@pytest.mark.parametrize("address", [0x0FFF_F000, 0xFFFF_FFFF_FFFF_F000, 0x1_0000 - 0x10])
def test_a_page_outside_of_memory_does_no_harm(vm: Vm, address: int) -> None:
    vcpu = guest(vm, HALT_FOR_EVER)
    try:
        vcpu.set_msrs({ClockMsr.KVM_SYSTEM_TIME: address | 1})
    except KvmRefused:
        assert vcpu.msr(ClockMsr.KVM_SYSTEM_TIME) == 0
    halted(vcpu)
    assert vm.memory.read(0xFFF0, 16) == bytes(16)


# Time


def test_the_guests_reads_lie_between_two_readings_of_the_clock(vm: Vm) -> None:
    vcpu = looping(vm)
    for _ in range(200):
        before = vm.clock().ns
        run_to(vcpu, PortOut)
        after = vm.clock().ns
        tsc = int.from_bytes(vm.memory.read(TSC_AT, 8), "little")
        assert before <= nanoseconds(read(vcpu), tsc) <= after


def test_the_clock_is_the_page_at_its_tsc_to_the_nanosecond(vm: Vm) -> None:
    need(vm.kvm, Capability.VCPU_ATTRIBUTES)
    vcpu = registered(vm)
    info = one_clock(vcpu)
    offset = vcpu.tsc_offset()
    for _ in range(200):
        clock = vm.clock()
        if clock.host_tsc is None:
            pytest.skip("this KVM lacks KVM_CLOCK_HOST_TSC")
        assert nanoseconds(info, clock.host_tsc + offset & (1 << 64) - 1) == clock.ns


def test_the_clock_goes_on_from_where_it_was_set(vm: Vm) -> None:
    vcpu = looping(vm)
    vm.set_clock(1 << 62)
    run_to(vcpu, PortOut)
    before = vm.clock().ns
    run_to(vcpu, PortOut)
    tsc = int.from_bytes(vm.memory.read(TSC_AT, 8), "little")
    assert 1 << 62 <= before <= nanoseconds(read(vcpu), tsc) <= vm.clock().ns


# Several vCPUs


def test_all_vcpus_have_the_same_snapshot(vm: Vm) -> None:
    vcpus = [registered(vm) for _ in range(3)]
    for vcpu in vcpus:
        one_clock(vcpu)  # the first entry of each takes a new snapshot, for all
    first, *others = [updated(vcpu) for vcpu in vcpus]
    for other in others:
        assert replace(other, version=0) == replace(first, version=0)
    vm.set_clock(7 * 10**9)
    again = [updated(vcpu) for vcpu in vcpus]
    assert {(each.tsc_timestamp, each.system_time) for each in again} == {
        (again[0].tsc_timestamp, 7 * 10**9)
    }


def test_vcpus_never_see_each_other_go_backwards(vm: Vm) -> None:
    vcpus = [looping(vm) for _ in range(2)]
    times = []
    for _ in range(50):
        for vcpu in vcpus:
            run_to(vcpu, PortOut)
            tsc = int.from_bytes(vm.memory.read(TSC_AT, 8), "little")
            times.append(nanoseconds(read(vcpu), tsc))
    assert times == sorted(times)


# The wall clock


@pytest.mark.parametrize("by_guest", [False, True], ids=["user space", "guest"])
@pytest.mark.parametrize("msr", WALL_CLOCK_MSRS, ids=["new MSR", "old MSR"])
def test_the_wall_clock_is_the_hosts_date_at_zero(vm: Vm, msr: ClockMsr, by_guest: bool) -> None:
    # Before the first entry the clock is not yet what it will be.
    vcpu = halted(registered(vm, HALT + (wrmsr(msr, WALL) if by_guest else b"") + HALT_FOR_EVER))
    first = with_realtime(vm)
    if by_guest:
        halted(vcpu)
    else:
        vcpu.set_msrs({msr: WALL})
    last = with_realtime(vm)
    wall = wall_of(vm)
    assert first.realtime_ns and last.realtime_ns
    earliest = epoch_ns(first.realtime_ns, last.ns)
    latest = epoch_ns(last.realtime_ns, first.ns)
    assert earliest - 1 <= record_ns(wall) <= latest + 1
    assert first.realtime_ns - 1 <= now_ns(wall, last.ns)
    assert now_ns(wall, first.ns) <= last.realtime_ns + 1


def test_the_wall_clock_is_composed_as_kvm_does_it(vm: Vm) -> None:
    vcpu = halted(registered(vm))
    first = with_realtime(vm)
    vcpu.set_msrs({ClockMsr.KVM_WALL_CLOCK: WALL})
    last = with_realtime(vm)
    # The date may be slewed meanwhile; and each of the numbers is rounded down by itself.
    low, high = sorted(epoch_ns(each.realtime_ns or 0, each.ns) for each in (first, last))
    wall = wall_of(vm)
    if not low - 1 <= record_ns(wall) <= high + 1:
        pytest.skip("this KVM reads the date and its clock one after the other")
    assert wall in {compose(epoch, 0) for epoch in range(low - 1, high + 2)}


def test_each_writing_of_the_wall_clock_adds_two_to_its_version(vm: Vm) -> None:
    vcpu = registered(vm)
    versions = []
    for _ in range(3):
        vcpu.set_msrs({ClockMsr.KVM_WALL_CLOCK: WALL})
        versions.append(wall_of(vm).version)
    assert versions == [2, 4, 6]


def wall_of(vm: Vm) -> WallClock:
    return WallClock.parse(vm.memory.read(WALL, WALL_CLOCK_SIZE))


def with_realtime(vm: Vm) -> ClockReading:
    """The clock and the date at one moment, or a skip."""
    clock = vm.clock()
    if ClockFlags.REALTIME not in clock.flags:
        pytest.skip("this KVM lacks KVM_CLOCK_REALTIME")
    return clock
