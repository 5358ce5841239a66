"""pvclock's time over a pause: what it was is kept, and where it goes on is the policy's choice.

What it was is asked of pvclock itself, after all vCPUs came out: by any other clock the guest could
have read a later time than the one that we go on from. KVM's own is set by KVM_SET_CLOCK before any
vCPU runs, and KVM_KVMCLOCK_CTRL says in each record that the guest was paused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import SystemTimeMsr, TimeInfo
from timehands.clocks.pvclock.numbers import TIME_INFO_SIZE
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.errors import KvmRefused
from timehands.kvm.numbers import Capability, ClockFlags
from timehands.monitor.pvclock import ROUNDING, Base
from timehands.monitor.settings import Maker, Policy

if TYPE_CHECKING:
    from timehands.kvm.vcpu import Vcpu
    from timehands.monitor.microvm import Microvm

#: Of so many samples the one with the least doubt is taken.
_SAMPLES = 5
#: KVM's two ways may have parted by so much, in ns: an hour's worth. What is more the guest wrote.
_PARTED = 1_000_000


def keep_system_time(guest: Microvm) -> None:
    """All vCPUs are out: note pvclock's time, and the host's."""
    tsc, guest.paused_ns = tsc_now(guest.vcpus[0])
    if guest.pvclock is not None:
        others = {vcpu.number: vcpu.msr(ClockMsr.TSC) for vcpu in guest.vcpus[1:]}
        guest.system_ns = guest.pvclock.latest_ns({0: tsc, **others})
        guest.pvclock.stopped()
    elif guest.settings.clocks.pvclock is Maker.KVM:
        guest.system_ns = _kvms_latest_ns(guest)


def start_system_time(guest: Microvm) -> None:
    """Before any vCPU runs: have pvclock go on from the time that was kept, or catch up."""
    if guest.pvclock is not None:
        tsc, host_ns = tsc_now(guest.vcpus[0])
        guest.pvclock.set_base(Base(tsc - ROUNDING, _wanted_ns(guest, host_ns), host_ns))
    elif guest.settings.clocks.pvclock is Maker.KVM:
        _set_kvms_clock(guest)
        for vcpu in guest.vcpus if guest.time.now_ns() else ():
            _say_paused(vcpu)


def _kvms_latest_ns(guest: Microvm) -> int:
    """KVM_GET_CLOCK, or what a vCPU's record tells when that is later.

    Where KVM scales the TSC its answer is reckoned from the host's TSC and the host's rate in kHz,
    and guests reckon from theirs: they part by some hundred ns a second (arch/x86/kvm/x86.c,
    __get_kvmclock; hv_clock of kvm_guest_time_update).
    """
    now_ns = guest.vm.clock().ns
    told = (_told_ns(guest, vcpu) for vcpu in guest.vcpus)
    return max([now_ns, *(each for each in told if each is not None and each - now_ns <= _PARTED)])


def _told_ns(guest: Microvm, vcpu: Vcpu) -> int | None:
    """What the vCPU reads in its record now, if it has one. It can write there what it likes."""
    try:
        wish = SystemTimeMsr.parse(vcpu.msr(ClockMsr.KVM_SYSTEM_TIME))
        record = guest.vm.memory.read(wish.address, TIME_INFO_SIZE) if wish.enabled else b""
        return nanoseconds(TimeInfo.parse(record), vcpu.msr(ClockMsr.TSC)) if record else None
    except (KvmRefused, ValueError):
        return None


def tsc_now(vcpu: Vcpu) -> tuple[int, int]:
    """Its TSC, and the host's monotonic time at which that was read, in ns."""
    samples = []
    for _ in range(_SAMPLES):
        before = time.monotonic_ns()
        tsc = vcpu.msr(ClockMsr.TSC)
        after = time.monotonic_ns()
        samples.append((after - before, tsc, (before + after) // 2))
    return min(samples)[1:]


def _set_kvms_clock(guest: Microvm) -> None:
    """Where KVM takes a date with it (Linux 5.16), it adds itself what passed until it is set."""
    takes_date = guest.vm.capability(Capability.ADJUST_CLOCK) & ClockFlags.REALTIME
    if _catches_up(guest) and takes_date:
        passed_ns = time.monotonic_ns() - guest.paused_ns
        guest.vm.set_clock(guest.system_ns, realtime_ns=time.time_ns() - passed_ns)
    else:
        guest.vm.set_clock(_wanted_ns(guest, time.monotonic_ns()))


def _catches_up(guest: Microvm) -> bool:
    return guest.settings.clocks.policy is Policy.WALL and guest.time.now_ns() > 0


def _wanted_ns(guest: Microvm, host_ns: int) -> int:
    if _catches_up(guest):
        return guest.system_ns + max(0, host_ns - guest.paused_ns)
    return guest.system_ns


def _say_paused(vcpu: Vcpu) -> None:
    if not vcpu.vm.has(Capability.KVMCLOCK_CTRL):
        return
    try:
        vcpu.kvmclock_ctrl()
    except KvmRefused:  # it has no record: nothing to say it in
        return
