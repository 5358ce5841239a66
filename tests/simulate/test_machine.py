"""KVM's clock held against a plain model of what it must give, whatever is done to a guest.

The model is one number: what the guest's clock should say, exact to the fraction of a ns. It runs
with the raw clock of the host that the guest is on, stands still or catches up over stops as the
VMM asks for, and does not care about exits, moves, TSCs or dates. How far KVM may be from it is
reckoned with it: every rounding to whole cycles or ns, and the factors' rounding while a page is
in use (tsc_to_system_mul is cut to 32 bits: less than 2^-31 of the time since the snapshot).
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from timehands.clocks.pvclock.reading import nanoseconds
from timehands.simulate.events import ClockAt, Ctrl, TscAt, Vmm
from timehands.simulate.hosts import Host, HostSpec
from timehands.simulate.providers.base import Going, Saved
from timehands.simulate.providers.kvm import Kvm, KvmWithoutMasterClock

S = 10**9
KHZ = (1_000_000, 2_100_000, 2_499_998, 2_500_000, 3_999_999)
CPUS = 3
#: Roundings down of a reading: TSC, page's TSC, page's ns, the product; each is less than a ns at
#: 1 GHz and more.
ROUNDINGS_NS = 5


class Model:
    """What the guest's clock should say: ``ns`` at ``at_ns``, running with its host's raw clock."""

    def __init__(self, host: Host) -> None:
        self.host, self.at_ns, self.ns = host, 0, Fraction(0)
        #: How far KVM may be ahead of the model, or behind it.
        self.ahead_ns = self.behind_ns = Fraction(0)

    def raw(self, t_ns: int) -> Fraction:
        """The host's raw clock, without rounding."""
        return Fraction(t_ns * self.host.spec.hz, self.host.spec.tsc_khz * 1000)

    def runs_to(self, t_ns: int) -> None:
        """Time passes in the guest."""
        passed = self.raw(t_ns) - self.raw(self.at_ns)
        self.ns, self.at_ns = self.ns + passed, t_ns

    def stands_to(self, t_ns: int, host: Host) -> None:
        """Time passes outside."""
        self.at_ns, self.host = t_ns, host


class KvmClock(RuleBasedStateMachine):
    """{run, exit, migrate, pause, snapshot, restore, write TSC, set clock, set date} in any order.

    Hosts' TSCs agree and can be scaled: what happens when not is in the tests of the provider.
    """

    provider = Kvm

    @initialize(
        khz=st.tuples(st.sampled_from(KHZ), st.sampled_from(KHZ)),
        drift=st.tuples(st.integers(-50_000, 50_000), st.integers(-50_000, 50_000)),
        vcpus=st.integers(1, 3),
    )
    def boot(self, khz: tuple[int, int], drift: tuple[int, int], vcpus: int) -> None:
        """Two hosts, and a guest on the first."""
        self.hosts = [
            Host(HostSpec(name=n, tsc_khz=k, drift_ppb=d, skew_cycles=(0,) * CPUS))
            for n, k, d in zip("ab", khz, drift, strict=True)
        ]
        self.now_ns = 0
        self.kvm = self.provider(self.hosts[0], vcpus, khz[0])
        self.kvm.boot(0)
        self.model = Model(self.hosts[0])
        self.snapshot_ns = 0
        self.guest_wrote: set[int] = set()
        self.saved: tuple[Saved, Fraction] | None = None
        self.masterclock = self.provider is Kvm
        #: The guest made its vCPUs' TSCs differ: a restore may cost the master clock.
        self.differ = False

    @property
    def vcpus(self) -> range:
        return range(len(self.kvm.vcpus))

    # Rules.

    @precondition(lambda self: self.saved is None)
    @rule(ns=st.integers(1, 5 * S))
    def run(self, ns: int) -> None:
        """The guest runs; KVM's own timers fire in time."""
        end_ns = self.now_ns + ns
        while (timer_ns := self.kvm.next_timer_ns()) is not None and timer_ns <= end_ns:
            self.kvm.timer(timer_ns)
            self.guest_wrote.clear()
        self.now_ns = end_ns
        self.model.runs_to(end_ns)

    @precondition(lambda self: self.saved is None)
    @rule(data=st.data(), length_ns=st.integers(0, 10**7))
    def exit(self, data: st.DataObject, length_ns: int) -> None:
        """A vCPU is out for a while, and comes back on the same CPU."""
        vcpu = data.draw(st.sampled_from(self.vcpus))
        self._away(vcpu, self.kvm.vcpus[vcpu].cpu, length_ns)

    @precondition(lambda self: self.saved is None)
    @rule(data=st.data(), cpu=st.integers(0, CPUS - 1), length_ns=st.integers(0, 10**7))
    def migrate(self, data: st.DataObject, cpu: int, length_ns: int) -> None:
        """... or on another."""
        vcpu = data.draw(st.sampled_from(self.vcpus))
        self._away(vcpu, cpu, length_ns)

    def _away(self, vcpu: int, cpu: int, length_ns: int) -> None:
        self.kvm.left(vcpu, self.now_ns, commits=True)
        self.now_ns += length_ns
        moved = cpu != self.kvm.vcpus[vcpu].cpu
        self.kvm.enters(vcpu, self.now_ns, cpu)
        self.model.runs_to(self.now_ns)
        page = self.kvm.page(vcpu)
        if moved and page is not None and not page.stable:
            self.guest_wrote.discard(vcpu)

    @precondition(lambda self: self.saved is None)
    @rule()
    def stop(self) -> None:
        """Pause, or take a snapshot: the VMM keeps the clocks."""
        for vcpu in self.vcpus:
            self.kvm.left(vcpu, self.now_ns, commits=False)
        self.saved = self.kvm.stopped(self.now_ns), self.model.ns

    @precondition(lambda self: self.saved is not None)
    @rule(ns=st.integers(0, 3600 * S))
    def lie(self, ns: int) -> None:
        """Time passes in which there is no guest."""
        self.now_ns += ns

    @precondition(lambda self: self.saved is not None)
    @rule(
        clock=st.sampled_from((ClockAt.SET, ClockAt.REALTIME)),
        where=st.sampled_from((None, 0, 1)),
        tsc=st.sampled_from((TscAt.RESTORE, TscAt.ADVANCE)),
        gap_ns=st.sampled_from((0, 30_000)),
        ctrl=st.sampled_from(Ctrl),
    )
    def go_on(self, clock: ClockAt, where: int | None, tsc: TscAt, gap_ns: int, ctrl: Ctrl) -> None:
        """Resume in the same VM (``where`` None), or restore on a host."""
        assert self.saved is not None
        (saved, model_ns), self.saved = self.saved, None
        host = self.model.host if where is None else self.hosts[where]
        vmm = Vmm(tsc_gap_ns=gap_ns, kvmclock_ctrl=ctrl)
        restores = TscAt.KEEP if where is None else tsc
        going = Going(clock, restores, vmm, where is not None)
        self.kvm.goes_on(self.now_ns, host, saved, going)
        for vcpu in self.vcpus:
            self.kvm.enters(vcpu, self.now_ns, self.kvm.vcpus[vcpu].cpu)
        self._wear(saved.at_ns)
        self.model.stands_to(self.now_ns, host)
        self.model.ns = model_ns
        if clock is ClockAt.REALTIME:
            date_ns = host.realtime_ns(self.now_ns)
            self.model.ns += max(0, date_ns - saved.realtime_ns)
        self.snapshot_ns = self.now_ns
        self.guest_wrote.clear()

    def _wear(self, until_ns: int) -> None:
        """A clock that was read to be restored keeps the error that it had: the factor's of the
        host's frequency, and roundings.
        """
        self.model.behind_ns += ROUNDINGS_NS + Fraction(until_ns - self.snapshot_ns, 2**31)
        self.model.ahead_ns += ROUNDINGS_NS

    @precondition(lambda self: self.saved is None)
    @rule(clock_ns=st.integers(0, 2**62))
    def set_clock(self, clock_ns: int) -> None:
        """The VMM sets the clock to something else."""
        self.kvm.set_clock(self.now_ns, clock_ns)
        self.model.ns = Fraction(clock_ns)
        self.model.ahead_ns = self.model.behind_ns = Fraction(0)
        self.snapshot_ns = self.now_ns
        self.guest_wrote.clear()

    @precondition(lambda self: self.saved is None)
    @rule(value=st.integers(0, 2**64 - 1) | st.just(0))
    def vmm_writes_tsc(self, value: int) -> None:
        """To all vCPUs: the clock does not care, and the master clock stays."""
        for vcpu in self.vcpus:
            self.kvm.write_tsc(vcpu, self.now_ns, value, by_guest=False)
        self.differ = False
        self._new_snapshot()

    def _new_snapshot(self) -> None:
        """A snapshot is made of the raw clock itself: what the page had lost is made good."""
        self.snapshot_ns = self.now_ns
        self.guest_wrote.clear()
        self.model.ahead_ns += 1
        self.model.behind_ns += 1

    @precondition(lambda self: self.saved is None)
    @rule(data=st.data(), value=st.integers(0, 2**63))
    def guest_writes_tsc(self, data: st.DataObject, value: int) -> None:
        """Its page is wrong until KVM writes the next one; the others' are not."""
        vcpu = data.draw(st.sampled_from(self.vcpus))
        self.kvm.write_tsc(vcpu, self.now_ns, value, by_guest=True)
        self.guest_wrote.add(vcpu)
        self.differ = True

    @rule(data=st.data(), by_ns=st.integers(-3600 * S, 3600 * S))
    def set_date(self, data: st.DataObject, by_ns: int) -> None:
        """Somebody sets a host's date."""
        data.draw(st.sampled_from(self.hosts)).step(by_ns)

    # What must hold.

    @invariant()
    def every_vcpu_s_clock_is_the_model_s(self) -> None:
        """Within what was rounded."""
        if not hasattr(self, "kvm") or self.saved is not None:
            return
        for vcpu in self.vcpus:
            page = self.kvm.page(vcpu)
            assert page is not None
            assert page.version % 2 == 0
            if vcpu in self.guest_wrote:
                continue
            if not self.differ:
                assert page.stable is self.masterclock
            off_ns = nanoseconds(page, self.kvm.tsc(vcpu).at(self.now_ns)) - self.model.ns
            rated_ns = self._rated_ns()
            behind_ns = self.model.behind_ns + ROUNDINGS_NS + rated_ns + self._cut_ns()
            assert -behind_ns <= off_ns <= self.model.ahead_ns + ROUNDINGS_NS + rated_ns

    def _cut_ns(self) -> Fraction:
        """What a page loses by its factor since the snapshot."""
        return Fraction(self.now_ns - self.snapshot_ns, 2**31)

    def _rated_ns(self) -> Fraction:
        """... and by a scaled TSC's being a whole number of Hz, at least 10^9: half of one."""
        return Fraction(self.now_ns - self.snapshot_ns, 2 * 10**9)


class KvmClockWithoutMasterClock(KvmClock):
    """The same, with a snapshot for each vCPU."""

    provider = KvmWithoutMasterClock


TestKvmClock = KvmClock.TestCase
TestKvmClock.settings = settings(max_examples=30, stateful_step_count=30)
TestKvmClockWithoutMasterClock = KvmClockWithoutMasterClock.TestCase
TestKvmClockWithoutMasterClock.settings = settings(max_examples=30, stateful_step_count=30)
