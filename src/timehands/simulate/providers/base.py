"""What every provider has: the vCPUs' TSCs, their pages, and how the world tells it what happens.

A provider keeps, for each vCPU, an offset to the TSC of the CPU that it is on (scaled where the
hardware does that) and what is in its page. It never looks ahead: it is told of each exit, entry,
stop and event at its time, and answers with what the guest sees from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.scale import Scale, time_scale
from timehands.simulate.events import ClockAt, Ctrl, TscAt, Vmm
from timehands.simulate.hosts import Host, cycles, scaled
from timehands.simulate.segments import U64, Line

#: KVM takes a frequency within 250 ppm of the host's for the host's (tsc_tolerance_ppm).
TOLERANCE_PPM = 250


@dataclass(slots=True)
class Vcpu:
    """A vCPU as its provider knows it. ``left_tsc`` is its TSC when it last left the guest."""

    cpu: int
    offset: int = 0
    left_tsc: int = 0
    page: TimeInfo | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """What a VMM keeps when a guest stops. ``clock_ns`` is KVM_GET_CLOCK's."""

    at_ns: int
    tsc: tuple[int, ...]
    clock_ns: int
    realtime_ns: int


@dataclass(frozen=True, slots=True)
class Going:
    """What a VMM does when the guest goes on; all is decided. ``new_vm`` after a snapshot."""

    clock: ClockAt
    tsc: TscAt
    vmm: Vmm
    new_vm: bool


class Provider:
    """The part that all have in common; by itself it gives each vCPU a TSC that started at 0."""

    name: ClassVar[str] = ""
    has_page: ClassVar[bool] = True

    def __init__(self, host: Host, vcpus: int, khz: int, *, disciplined: bool = False) -> None:
        self.host = host
        self.khz = khz
        self.disciplined = disciplined
        #: vCPUs whose view changed while they may have been running; the world takes them.
        self.changed: set[int] = set()
        self.vcpus = [Vcpu(v % len(host.spec.skew_cycles)) for v in range(vcpus)]
        self._lines: dict[int, Line] = {}
        self._own: tuple[Scale, list[int]] | None = None

    # What the guest sees.

    def tsc(self, vcpu: int) -> Line:
        """The guest's TSC on this vCPU, from now on."""
        state = self.vcpus[vcpu]
        return self.base_line(state.cpu).shifted(state.offset)

    def page(self, vcpu: int) -> TimeInfo | None:
        """What is in its page; None when there is none."""
        return self.vcpus[vcpu].page

    # What the world tells. Times never decrease.

    def boot(self, t_ns: int) -> None:
        """The VM is made; all vCPUs are about to enter it for the first time."""
        self.set_all_tsc(t_ns, (0,) * len(self.vcpus))

    def left(self, vcpu: int, t_ns: int, *, commits: bool) -> None:
        """The vCPU left the guest. ``commits``: its VMM will write its state back, with MSRs."""
        self.vcpus[vcpu].left_tsc = self.tsc(vcpu).at(t_ns)

    def enters(self, vcpu: int, t_ns: int, cpu: int) -> None:
        """The vCPU enters the guest, perhaps on another CPU."""
        self.vcpus[vcpu].cpu = cpu

    def stopped(self, t_ns: int) -> Saved:
        """The VMM stopped the guest (all vCPUs have left) and keeps its clocks."""
        tsc = tuple(self.tsc(v).at(t_ns) for v in range(len(self.vcpus)))
        return Saved(t_ns, tsc, self.clock_ns(t_ns), self.host.realtime_ns(t_ns))

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """The guest goes on, in a new VM if ``going`` says so; the vCPUs enter after this."""
        if going.new_vm:
            self.move_to(host, going)
            self.set_all_tsc(t_ns, (0,) * len(self.vcpus))
        if going.tsc is not TscAt.KEEP:
            self.restore_tsc(t_ns, saved, going)

    def write_tsc(self, vcpu: int, t_ns: int, value: int, *, by_guest: bool) -> bool:
        """IA32_TSC of a vCPU is written; whether that had an effect."""
        self.set_tsc(vcpu, t_ns, value)
        self.changed.add(vcpu)
        return True

    def next_timer_ns(self) -> int | None:
        """When the provider wants to be woken."""
        return None

    def timer(self, t_ns: int) -> None:
        """It is that time."""

    def clock_ns(self, t_ns: int) -> int:
        """The provider's own clock of the guest, as its VMM can get it (u64)."""
        return 0

    # For providers.

    def base_line(self, cpu: int) -> Line:
        """What a guest on this CPU would read with offset 0."""
        line = self._lines.get(cpu)
        if line is None:
            line = self.host.tsc(cpu)
            if self.scales:
                line = scaled(line, self.khz, self.host.spec.tsc_khz)
            self._lines[cpu] = line
        return line

    @property
    def scales(self) -> bool:
        """Whether the hardware scales the TSC for this guest."""
        host_khz = self.host.spec.tsc_khz
        near = abs(self.khz - host_khz) * 10**6 <= host_khz * TOLERANCE_PPM
        return self.host.spec.tsc_scaling and not near

    @property
    def effective_khz(self) -> int:
        """The frequency of the guest's TSC as far as the provider knows."""
        return self.khz if self.scales else self.host.spec.tsc_khz

    def kernel_ns(self, t_ns: int) -> int:
        """The clock of the host's kernel on which the provider bases the guest's."""
        return self.host.disciplined_ns(t_ns) if self.disciplined else self.host.raw_ns(t_ns)

    def set_tsc(self, vcpu: int, t_ns: int, value: int) -> None:
        """Let the guest's TSC on this vCPU be ``value`` at this moment."""
        state = self.vcpus[vcpu]
        state.offset = (value - self.base_line(state.cpu).at(t_ns)) & U64

    def set_all_tsc(self, t_ns: int, values: tuple[int, ...]) -> None:
        """... on all vCPUs."""
        for vcpu, value in enumerate(values):
            self.set_tsc(vcpu, t_ns, value)

    def move_to(self, host: Host, going: Going) -> None:
        """A new VM on this host. Without KVM_SET_TSC_KHZ the guest gets the host's frequency."""
        self.host = host
        if not going.vmm.tsc_khz:
            self.khz = host.spec.tsc_khz
        self._lines.clear()
        for vcpu, state in enumerate(self.vcpus):
            state.cpu = vcpu % len(host.spec.skew_cycles)

    def restore_tsc(self, t_ns: int, saved: Saved, going: Going) -> None:
        """The VMM writes each vCPU's TSC, one after the other."""
        ahead = 0
        if going.tsc is TscAt.ADVANCE:
            passed_ns = max(0, self.host.realtime_ns(t_ns) - saved.realtime_ns)
            ahead = cycles(passed_ns, self.khz)
        for vcpu, tsc in enumerate(saved.tsc):
            late = vcpu * going.vmm.tsc_gap_ns
            self.write_saved_tsc(vcpu, t_ns, (tsc + ahead) & U64, late)
        if going.vmm.tsc_sync:
            self.sync_tsc(t_ns)

    def sync_tsc(self, t_ns: int) -> None:
        """The VMM gives all vCPUs the offset of the first."""
        for state in self.vcpus:
            state.offset = self.vcpus[0].offset

    def write_saved_tsc(self, vcpu: int, t_ns: int, value: int, late_ns: int) -> None:
        """Write a TSC ``late_ns`` after ``t_ns`` (all vCPUs enter after the last; what counts is
        the offset that follows).
        """
        state = self.vcpus[vcpu]
        now = self.base_line(state.cpu).at(t_ns + late_ns)
        state.offset = (value - now) & U64

    def publish(
        self, vcpu: int, tsc_timestamp: int, system_time: int, scale: Scale, flags: int
    ) -> None:
        """Write a vCPU's page: the version goes up by 2, from even to even."""
        state = self.vcpus[vcpu]
        state.version = (state.version + 2) & 0xFFFFFFFF
        state.page = TimeInfo(
            state.version, tsc_timestamp & U64, system_time & U64, scale.mul, scale.shift, flags
        )
        self.changed.add(vcpu)

    def kvm_scale(self) -> Scale:
        """The factors for the guest's frequency, as KVM has them."""
        return time_scale(self.effective_khz)


def told(going: Going) -> bool:
    """Whether the guest finds GUEST_STOPPED in its page when it goes on."""
    if going.vmm.kvmclock_ctrl is Ctrl.AFTER_PAUSE:
        return not going.new_vm
    return going.vmm.kvmclock_ctrl is Ctrl.BEFORE_RESUME
