"""Xen's time, after xen/arch/x86/time.c: each CPU has its own stamp, renewed once a second.

local_time_calibration gives each CPU a pair (TSC, system time) every second (EPOCH), and
update_vcpu_system_time copies it to the vCPU that runs there whenever it is scheduled there or the
pair is new. The factors are set_time_scale's for the CPU's frequency. No TSC_STABLE: Xen sets it
only when its own clock source is the TSC.
"""

from __future__ import annotations

from timehands.clocks.pvclock.numbers import Flags
from timehands.clocks.pvclock.scale import xen_time_scale
from timehands.simulate.events import ClockAt
from timehands.simulate.hosts import Host
from timehands.simulate.providers.base import Going, Provider, Saved, told
from timehands.simulate.segments import NS_PER_S, U64

EPOCH_NS = NS_PER_S


class Xen(Provider):
    """vcpu_time_info in the shared info page. The system time is the domain's own."""

    name = "xen"

    def __init__(self, host: Host, vcpus: int, khz: int, *, disciplined: bool = False) -> None:
        super().__init__(host, vcpus, khz, disciplined=disciplined)
        self._offset = 0
        self._stamp_ns = 0
        self._stopped = False

    def boot(self, t_ns: int) -> None:
        """The domain is made."""
        super().boot(t_ns)
        self._offset = -self.kernel_ns(t_ns)
        self._calibrate(t_ns)

    def clock_ns(self, t_ns: int) -> int:
        """The domain's system time."""
        return (self.kernel_ns(t_ns) + self._offset) & U64

    def enters(self, vcpu: int, t_ns: int, cpu: int) -> None:
        """Scheduled on another CPU, a vCPU gets that CPU's stamp."""
        moved = cpu != self.vcpus[vcpu].cpu
        super().enters(vcpu, t_ns, cpu)
        if moved:
            self._update(vcpu)

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """The toolstack restores the TSC and the domain's time."""
        super().goes_on(t_ns, host, saved, going)
        if going.new_vm or going.clock is not ClockAt.KEEP:
            clock_ns = 0 if going.clock is ClockAt.KEEP else saved.clock_ns
            if going.clock is ClockAt.REALTIME:
                clock_ns += max(0, self.host.realtime_ns(t_ns) - saved.realtime_ns)
            self._offset = clock_ns - self.kernel_ns(t_ns)
        self._stopped = told(going)
        self._calibrate(t_ns)
        self._stopped = False

    def write_tsc(self, vcpu: int, t_ns: int, value: int, *, by_guest: bool) -> bool:
        """The page follows the TSC."""
        super().write_tsc(vcpu, t_ns, value, by_guest=by_guest)
        self._update(vcpu)
        return True

    def next_timer_ns(self) -> int | None:
        """The next calibration."""
        return self._stamp_ns + EPOCH_NS

    def timer(self, t_ns: int) -> None:
        """Calibrate."""
        self._calibrate(t_ns)

    def _calibrate(self, t_ns: int) -> None:
        self._stamp_ns = t_ns
        for vcpu in range(len(self.vcpus)):
            self._update(vcpu)

    def _update(self, vcpu: int) -> None:
        """The stamp of the CPU that the vCPU is on, in the guest's cycles."""
        tsc = self.tsc(vcpu).at(self._stamp_ns)
        scale = xen_time_scale(self.effective_khz * 1000)
        flags = int(Flags.GUEST_STOPPED) if self._stopped else 0
        self.publish(vcpu, tsc, self.kernel_ns(self._stamp_ns) + self._offset, scale, flags)
