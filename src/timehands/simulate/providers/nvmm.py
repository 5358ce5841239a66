"""NVMM as it is, and with what was proposed for it in NetBSD's PR 59862.

As it is (sys/dev/nvmm/x86/nvmm_x86_{svm,vmx}.c): at an exit it keeps the guest's TSC (gtsc); at the
next entry it sets the offset anew so that the TSC continues from there, if the host's CPU changed
or userland wrote the MSRs back meanwhile (gtsc_want_update). libnvmm's assists for I/O and memory
(nvmm_assist_io, nvmm_assist_mem) read the MSRs but write general registers only; QEMU writes all
back when it has synchronised a vCPU's state (nvmm_set_registers). So the time outside of the guest
is lost to it. DragonFly BSD's NVMM keeps the offset (gtsc_offset); that is provider ``tsc``.
"""

from __future__ import annotations

from timehands.clocks.pvclock.numbers import Flags
from timehands.simulate.events import ClockAt, TscAt
from timehands.simulate.hosts import Host
from timehands.simulate.providers.base import Going, Provider, Saved, told
from timehands.simulate.segments import U64


class Nvmm(Provider):
    """No page: the guest has its TSC."""

    name = "nvmm"
    has_page = False

    def __init__(self, host: Host, vcpus: int, khz: int, *, disciplined: bool = False) -> None:
        super().__init__(host, vcpus, khz, disciplined=disciplined)
        self._want_update = [False] * vcpus
        self._offset_ns = 0

    @property
    def scales(self) -> bool:
        """NVMM does not scale."""
        return False

    def boot(self, t_ns: int) -> None:
        """TSC and uptime begin at 0."""
        super().boot(t_ns)
        self._offset_ns = -self.kernel_ns(t_ns)

    def uptime_ns(self, t_ns: int) -> int:
        """The host's uptime since the guest's start, less what its policy took off."""
        return (self.kernel_ns(t_ns) + self._offset_ns) & U64

    def clock_ns(self, t_ns: int) -> int:
        """As `uptime_ns`."""
        return self.uptime_ns(t_ns)

    def left(self, vcpu: int, t_ns: int, *, commits: bool) -> None:
        """An exit: gtsc is kept."""
        super().left(vcpu, t_ns, commits=commits)
        self._want_update[vcpu] |= commits

    def enters(self, vcpu: int, t_ns: int, cpu: int) -> None:
        """The TSC continues at its last value, where it is set at all."""
        state = self.vcpus[vcpu]
        resumes = self._want_update[vcpu] or cpu != state.cpu
        state.cpu = cpu
        self._want_update[vcpu] = False
        if resumes:
            self.set_tsc(vcpu, t_ns, state.left_tsc)
            self.resumed(vcpu, t_ns)

    def resumed(self, vcpu: int, t_ns: int) -> None:
        """The TSC was set at an entry."""

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """The VMM writes the state of each vCPU, its TSC included, also after a mere pause."""
        super().goes_on(t_ns, host, saved, going)
        if not going.new_vm and going.tsc is TscAt.KEEP:
            self.set_all_tsc(t_ns, saved.tsc)
        if going.clock is not ClockAt.KEEP:
            clock_ns = saved.clock_ns
            if going.clock is ClockAt.REALTIME:
                clock_ns += max(0, self.host.realtime_ns(t_ns) - saved.realtime_ns)
            self._offset_ns = clock_ns - self.kernel_ns(t_ns)
        elif going.new_vm:
            self._offset_ns = -self.kernel_ns(t_ns)
        for vcpu, state in enumerate(self.vcpus):
            state.left_tsc = self.tsc(vcpu).at(t_ns)
            self._want_update[vcpu] = False


class NvmmUptime(Nvmm):
    """The PR's first idea: at each exit the page gets the TSC and the uptime of that moment.

    Since the TSC then continues at that value, the guest's time between an entry and the next exit
    is late by the time that the last exit took; it catches up at the next one.
    """

    name = "nvmm-uptime"
    has_page = True

    def boot(self, t_ns: int) -> None:
        """The first page is as good as the first entry."""
        super().boot(t_ns)
        for vcpu in range(len(self.vcpus)):
            self._record(vcpu, t_ns, 0)

    def left(self, vcpu: int, t_ns: int, *, commits: bool) -> None:
        """Record the uptime."""
        super().left(vcpu, t_ns, commits=commits)
        self._record(vcpu, t_ns, 0)

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """The page is made anew."""
        super().goes_on(t_ns, host, saved, going)
        for vcpu in range(len(self.vcpus)):
            self._record(vcpu, t_ns, int(Flags.GUEST_STOPPED) if told(going) else 0)

    def _record(self, vcpu: int, t_ns: int, flags: int) -> None:
        tsc = self.tsc(vcpu).at(t_ns)
        self.publish(vcpu, tsc, self.uptime_ns(t_ns), self.kvm_scale(), flags)


class NvmmPvclock(Nvmm):
    """pvclock through KVM's MSRs: whenever an entry sets the TSC, the page gets that TSC and the
    uptime of the entry. Each vCPU has its own snapshot, so TSC_STABLE is not set.
    """

    name = "nvmm-pvclock"
    has_page = True

    def boot(self, t_ns: int) -> None:
        """The guest wrote the MSR: the first page."""
        super().boot(t_ns)
        for vcpu in range(len(self.vcpus)):
            self._update(vcpu, t_ns, 0)

    def resumed(self, vcpu: int, t_ns: int) -> None:
        """The offset changed: so does the page."""
        self._update(vcpu, t_ns, 0)

    def write_tsc(self, vcpu: int, t_ns: int, value: int, *, by_guest: bool) -> bool:
        """So it does here."""
        super().write_tsc(vcpu, t_ns, value, by_guest=by_guest)
        self._update(vcpu, t_ns, 0)
        return True

    def goes_on(self, t_ns: int, host: Host, saved: Saved, going: Going) -> None:
        """The first entry after a stop sets the TSC."""
        super().goes_on(t_ns, host, saved, going)
        for vcpu in range(len(self.vcpus)):
            self._update(vcpu, t_ns, int(Flags.GUEST_STOPPED) if told(going) else 0)

    def _update(self, vcpu: int, t_ns: int, flags: int) -> None:
        tsc = self.tsc(vcpu).at(t_ns)
        self.publish(vcpu, tsc, self.uptime_ns(t_ns), self.kvm_scale(), flags)
