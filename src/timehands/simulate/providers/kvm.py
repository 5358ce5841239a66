"""KVM, with and without master clock, after arch/x86/kvm/x86.c of Linux 6.12.

What is modelled, by the kernel's names: kvm_synchronize_tsc (which writes of the TSC count as the
same one; zero always does), kvm_track_tsc_matching, pvclock_update_vm_gtod_copy (the snapshot that
all pages share), kvm_guest_time_update, kvm_arch_vcpu_load (a TSC that is not reliable continues at
its last value on another CPU, and catches up), kvm_set_tsc_khz, KVM_GET_CLOCK and KVM_SET_CLOCK,
kvmclock_update_fn (the others follow after 100 ms) and kvmclock_sync_fn (every 300 s).
"""

from __future__ import annotations

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.simulate.events import ClockAt
from timehands.simulate.hosts import Host, cycles
from timehands.simulate.providers.base import Going, Provider, Saved, told
from timehands.simulate.segments import NS_PER_S, U64

UPDATE_DELAY_NS = 100 * 10**6
SYNC_PERIOD_NS = 300 * NS_PER_S


class Kvm(Provider):
    """KVM as it is: it keeps a master clock whenever the host's TSCs and the guest's agree."""

    name = "kvm"
    masterclock_allowed = True

    def __init__(self, host: Host, vcpus: int, khz: int, *, disciplined: bool = False) -> None:
        super().__init__(host, vcpus, khz, disciplined=disciplined)
        self._new_vm(0)

    def _new_vm(self, t_ns: int) -> None:
        """kvm_arch_init_vm, and kvm_arch_vcpu_postcreate of each vCPU."""
        self._clock_offset = -self.kernel_ns(t_ns)
        self._user_set_tsc = False
        self._generation = 0
        self._generations = [-1] * len(self.vcpus)
        self._last_write, self._last_ns = 0, self.kernel_ns(t_ns)
        self._cur_write, self._cur_ns, self._cur_offset = 0, self._last_ns, 0
        self._master: tuple[int, int] | None = None
        self._stop_flag = [False] * len(self.vcpus)
        self._others_ns: int | None = None
        self._sync_ns = t_ns + SYNC_PERIOD_NS
        self._late_clock: tuple[int, Saved, Going] | None = None
        self._saved_clock = 0
        for vcpu in range(len(self.vcpus)):
            self._synchronize(vcpu, t_ns, 0, user=False)

    # The guest's TSC.

    def _synchronize(self, vcpu: int, t_ns: int, value: int, *, user: bool) -> None:
        """kvm_synchronize_tsc: set the TSC, or take the write for one of a set."""
        now_ns = self.kernel_ns(t_ns)
        passed = cycles(now_ns - self._last_ns, self.khz)
        same = value == 0
        if value and self._user_set_tsc:
            second = self.khz * 1000
            same = abs(value - (self._last_write + passed)) < second
        matched = same and self._generation > 0
        if not matched:
            self.set_tsc(vcpu, t_ns, value)
            self._generation += 1
            self._cur_write, self._cur_ns = value, now_ns
            self._cur_offset = self.vcpus[vcpu].offset
        elif self.host.spec.tsc_agrees:
            self.vcpus[vcpu].offset = self._cur_offset
        else:
            value += passed
            self.set_tsc(vcpu, t_ns, value)
        self._user_set_tsc |= user
        self._last_write, self._last_ns = value, now_ns
        self._generations[vcpu] = self._generation

    def sync_tsc(self, t_ns: int) -> None:
        """KVM_VCPU_TSC_OFFSET of each (kvm_arch_tsc_set_attr): an offset equal to the last one that
        was set counts as synchronised, so that all match in the end.
        """
        super().sync_tsc(t_ns)
        self._generation += 1
        self._cur_write, self._cur_ns = self.tsc(0).at(t_ns), self.kernel_ns(t_ns)
        self._cur_offset = self.vcpus[0].offset
        self._generations = [self._generation] * len(self.vcpus)

    def _catch_up(self, vcpu: int, t_ns: int) -> None:
        """compute_guest_tsc: a TSC behind the kernel's time is set forward."""
        due = self._cur_write + cycles(self.kernel_ns(t_ns) - self._cur_ns, self.khz)
        if due > self.tsc(vcpu).at(t_ns):
            self.set_tsc(vcpu, t_ns, due)

    @property
    def _always_catches_up(self) -> bool:
        """kvm_set_tsc_khz without scaling: a guest that wants a faster TSC is set forward at each
        entry; one that wants a slower TSC is refused, and runs at the host's rate.
        """
        host_khz = self.host.spec.tsc_khz
        return not self.scales and (self.khz - host_khz) * 10**6 > host_khz * 250

    # The master clock and the pages.

    @property
    def masterclock(self) -> bool:
        """Whether all pages are made from one snapshot, and say TSC_STABLE."""
        matched = all(g == self._generation for g in self._generations)
        return self.masterclock_allowed and self.host.spec.tsc_agrees and matched

    def _update_all(self, t_ns: int) -> None:
        """KVM_REQ_MASTERCLOCK_UPDATE: a new snapshot, and new pages for all."""
        self._master = (t_ns, self.kernel_ns(t_ns)) if self.masterclock else None
        for vcpu in range(len(self.vcpus)):
            self._update(vcpu, t_ns)

    def _update(self, vcpu: int, t_ns: int) -> None:
        """kvm_guest_time_update: write this vCPU's page."""
        at_ns, kernel_ns = self._master or (t_ns, self.kernel_ns(t_ns))
        if self._always_catches_up or not self.host.spec.tsc_agrees:
            self._catch_up(vcpu, t_ns)
        flags = int(Flags.TSC_STABLE) if self._master else 0
        if self._stop_flag[vcpu]:
            flags |= Flags.GUEST_STOPPED
            self._stop_flag[vcpu] = False
        tsc = self.tsc(vcpu).at(at_ns)
        self.publish(vcpu, tsc, kernel_ns + self._clock_offset, self.kvm_scale(), flags)

    def clock_ns(self, t_ns: int) -> int:
        """KVM_GET_CLOCK: a page's arithmetic on the host's own TSC from the snapshot, or the clock
        of the kernel (__get_kvmclock).
        """
        if self._master is None:
            return (self.kernel_ns(t_ns) + self._clock_offset) & U64
        at_ns, kernel_ns = self._master
        tsc, scale = self.host.tsc(0), time_scale(self.host.spec.tsc_khz)
        system_time = (kernel_ns + self._clock_offset) & U64
        info = TimeInfo(2, tsc.at(at_ns), system_time, scale.mul, scale.shift, 0)
        return nanoseconds(info, tsc.at(t_ns))

    def set_clock(self, t_ns: int, clock_ns: int) -> None:
        """KVM_SET_CLOCK: a new snapshot, at which the clock is this."""
        self._clock_offset = clock_ns - self.kernel_ns(t_ns)
        self._update_all(t_ns)

    # What the world tells.

    def boot(self, t_ns: int) -> None:
        """The first entries: KVM finds out about the master clock and writes the pages."""
        self._new_vm(t_ns)
        self._update_all(t_ns)

    def enters(self, vcpu: int, t_ns: int, cpu: int) -> None:
        """kvm_arch_vcpu_load and vcpu_enter_guest."""
        state = self.vcpus[vcpu]
        moved = cpu != state.cpu
        state.cpu = cpu
        if moved and not self.host.spec.tsc_agrees:
            self.set_tsc(vcpu, t_ns, state.left_tsc)
        if moved and self._master is None:
            self._update(vcpu, t_ns)
            if self._others_ns is None:
                self._others_ns = t_ns + UPDATE_DELAY_NS
        elif self._always_catches_up:
            self._update(vcpu, t_ns)

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """Restore the TSCs, then the clock (or the clock late), then let the vCPUs enter."""
        if going.new_vm:
            self.move_to(host, going)
            self._new_vm(t_ns)
        if told(going):
            self._stop_flag = [True] * len(self.vcpus)
        super().goes_on(t_ns, host, saved, Going(going.clock, going.tsc, going.vmm, False))
        if going.clock is ClockAt.KEEP:
            self._update_all(t_ns)
        elif going.vmm.clock_after_ns:
            self._late_clock = (t_ns + going.vmm.clock_after_ns, saved, going)
            self._update_all(t_ns)
        else:
            self._set_saved_clock(t_ns, saved, going)

    def _set_saved_clock(self, t_ns: int, saved: Saved, going: Going) -> None:
        clock_ns = saved.clock_ns
        if going.clock is ClockAt.REALTIME:
            clock_ns += max(0, self.host.realtime_ns(t_ns) - saved.realtime_ns)
        self.set_clock(t_ns, clock_ns)

    def write_saved_tsc(self, vcpu: int, t_ns: int, value: int, late_ns: int) -> None:
        """KVM_SET_MSRS of IA32_TSC."""
        self._synchronize(vcpu, t_ns + late_ns, value, user=True)

    def write_tsc(self, vcpu: int, t_ns: int, value: int, *, by_guest: bool) -> bool:
        """The VMM's write is synchronised (and dropped when 0), and the pages are made anew. The
        guest's moves its offset alone: KVM writes no page for it, other than for IA32_TSC_ADJUST
        (kvm_set_msr_common).
        """
        before = self.vcpus[vcpu].offset
        self.changed.add(vcpu)
        if by_guest:
            self.set_tsc(vcpu, t_ns, value)
            return True
        self._synchronize(vcpu, t_ns, value, user=True)
        self._update_all(t_ns)
        return self.vcpus[vcpu].offset != before or value == self.tsc(vcpu).at(t_ns)

    def next_timer_ns(self) -> int | None:
        """The late KVM_SET_CLOCK of a VMM, the others' update, the periodic one."""
        late = self._late_clock[0] if self._late_clock else None
        return min(t for t in (self._sync_ns, self._others_ns, late) if t is not None)

    def timer(self, t_ns: int) -> None:
        """What is due."""
        if self._late_clock and self._late_clock[0] <= t_ns:
            _, saved, going = self._late_clock
            self._late_clock = None
            self._set_saved_clock(t_ns, saved, going)
        if t_ns >= self._sync_ns or (self._others_ns is not None and t_ns >= self._others_ns):
            self._others_ns = None
            self._sync_ns = max(self._sync_ns, t_ns) + (
                SYNC_PERIOD_NS if t_ns >= self._sync_ns else 0
            )
            for vcpu in range(len(self.vcpus)):
                self._update(vcpu, t_ns)


class KvmWithoutMasterClock(Kvm):
    """KVM whose host does not keep time with the TSC: each vCPU has its own snapshot."""

    name = "kvm-no-masterclock"
    masterclock_allowed = False
