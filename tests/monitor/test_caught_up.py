"""TSCs that wait while their vCPUs are out, and what our pvclock makes of them: by KVM's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.loading.files import guest_memory
from monitor.unstable_host import LOOK_NS, Host, WaitingVcpu
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.kvm.memory import GuestMemory
from timehands.monitor import caught_up as caught_up_module
from timehands.monitor import pvclock as pvclock_module
from timehands.monitor import systemtime
from timehands.monitor.caught_up import CaughtUp
from timehands.monitor.layout import MIB
from timehands.monitor.pvclock import Pvclock
from timehands.monitor.settings import Clocks, Maker, Policy
from timehands.monitor.time import GuestTime

KHZ = 2_599_998
SYSTEM = 0x4B564D01
PAGE = 0x9000
#: What a vCPU's thread needs between coming out and entering, by all the looks that it takes.
OUT_NS = 100 * LOOK_NS
RUNS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10**7), st.integers(0, 10**9)),
    min_size=1,
    max_size=12,
)


@dataclass
class Guest:
    """What `systemtime` needs of a guest, with vCPUs that the test runs."""

    host: Host
    memory: GuestMemory
    policy: Policy = Policy.MONOTONIC
    ppm: int = 0
    vcpus: list[Any] = field(init=False)
    system_ns: int = 0
    paused_ns: int = 0

    def __post_init__(self) -> None:
        self.vcpus = [WaitingVcpu(self.host, number, KHZ, self.ppm) for number in range(2)]
        self.time: Any = SimpleNamespace(now_ns=lambda: 1)
        self.settings = SimpleNamespace(clocks=Clocks(pvclock=Maker.OURS, policy=self.policy))
        self.caught_up = CaughtUp(self.vcpus, KHZ)
        self.pvclock = Pvclock(self.memory, KHZ, at_entry=self.caught_up.at_entry)
        self.paused_ns = self.host.ns
        systemtime.start_system_time(self)  # type: ignore[arg-type]
        for number, vcpu in enumerate(self.vcpus):
            vcpu.run(1000)
            self.pvclock.write_msr(number, SYSTEM, PAGE + 64 * number | 1)

    def run(self, number: int, ns: int) -> list[int]:
        """What a vCPU reads in its record as it enters, and before it comes out again."""
        self.pvclock.before_entry(number)
        record = TimeInfo.parse(self.memory.read(PAGE + 64 * number, 32))
        assert not record.flags & 1
        return [nanoseconds(record, tsc) for tsc in self.vcpus[number].run(ns)]

    def pause(self, ns: int) -> None:
        """Out for so long."""
        systemtime.keep_system_time(self)  # type: ignore[arg-type]
        self.host.pass_ns(ns)
        systemtime.start_system_time(self)  # type: ignore[arg-type]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """An unstable one: all clocks in the modules are its own."""
    return on(Host(), monkeypatch)


def on(made: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    for module in (caught_up_module, pvclock_module, systemtime):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    with guest_memory(4 * MIB) as made:
        yield made


@pytest.mark.parametrize("faster_ppm", [-300, 0, 300])
def test_a_tsc_that_waited_is_reckoned_from_what_was_written(host: Host, faster_ppm: int) -> None:
    vcpus = [WaitingVcpu(host, number, KHZ, faster_ppm) for number in range(3)]
    line = CaughtUp(vcpus, KHZ)  # type: ignore[arg-type]
    for outside_ns in (0, 1000, 10**6, 10**9, 10**11):
        for vcpu in vcpus:
            host.pass_ns(outside_ns)
            told, (found, _) = line.at_entry(vcpu.number), vcpu.run(10**9)
            most_ns = OUT_NS + max(0, faster_ppm) * 1000
            assert 0 <= found - told <= most_ns * KHZ // 1_000_000


def test_a_tsc_that_is_ahead_of_the_line_enters_with_what_it_left_with(host: Host) -> None:
    vcpus = [WaitingVcpu(host, number, KHZ) for number in range(2)]
    line = CaughtUp(vcpus, KHZ)  # type: ignore[arg-type]
    low = line.at_entry(0)
    vcpus[1].last = low + 10**9
    told = line.at_entry(1)
    assert low + 10**9 - OUT_NS * KHZ // 1_000_000 <= told <= vcpus[1].run(0)[0]
    assert line.at_entry(0) < low + 10**9


@pytest.mark.parametrize("seconds", [-5, 5, 10**6, -(10**6)])
def test_tscs_that_were_moved_are_where_they_are(host: Host, seconds: int) -> None:
    vcpu = WaitingVcpu(host, 0, KHZ)
    line = CaughtUp([vcpu], KHZ)  # type: ignore[list-item]
    before = vcpu.run(10**9)[1]
    line.move(seconds * KHZ * 1000)
    host.pass_ns(10**9)
    told, (found, _) = line.at_entry(0), vcpu.run(1)
    assert 0 <= found - told <= OUT_NS * KHZ // 1_000_000
    assert found - before >= KHZ * 1000 + seconds * KHZ * 1000


def test_a_move_that_kvm_would_not_make_is_not_tried(host: Host) -> None:
    vcpu = WaitingVcpu(host, 0, KHZ)
    line = CaughtUp([vcpu], KHZ)  # type: ignore[list-item]
    written = vcpu.written
    line.move(KHZ * 500)
    assert vcpu.written == written


def test_a_record_is_renewed_at_each_entry_and_promises_nothing(
    host: Host, memory: GuestMemory
) -> None:
    guest = Guest(host, memory)
    guest.run(0, 1000)
    before = TimeInfo.parse(memory.read(PAGE, 32))
    guest.run(0, 1000)
    after = TimeInfo.parse(memory.read(PAGE, 32))
    assert after.version == before.version + 2
    assert after.system_time > before.system_time
    assert before.flags == after.flags == 0


def test_no_entry_costs_any_time(host: Host, memory: GuestMemory) -> None:
    started = host.ns
    guest = Guest(host, memory)
    entries = 10 * OUT_NS // LOOK_NS
    for _ in range(entries):
        before = host.ns
        assert before - started - OUT_NS <= guest.run(0, 0)[0] <= host.ns - started


@given(runs=RUNS)
def test_time_is_the_hosts_whatever_the_tscs_do(runs: list[tuple[int, int, int]]) -> None:
    with guest_memory(4 * MIB) as memory, pytest.MonkeyPatch.context() as monkeypatch:
        host = on(Host(), monkeypatch)
        started = host.ns
        guest = Guest(host, memory)
        for number, inside_ns, outside_ns in runs:
            before = host.ns
            first, last = guest.run(number, inside_ns)
            assert before - started - OUT_NS <= first <= host.ns - inside_ns - started + OUT_NS
            assert abs(last - first - inside_ns) <= 2
            host.pass_ns(outside_ns)


@given(runs=RUNS, policy=st.sampled_from(Policy), ppm=st.sampled_from([-300, 0, 300]))
def test_no_pause_takes_time_back_and_the_policy_holds(
    runs: list[tuple[int, int, int]], policy: Policy, ppm: int
) -> None:
    with guest_memory(4 * MIB) as memory, pytest.MonkeyPatch.context() as monkeypatch:
        host = on(Host(), monkeypatch)
        guest = Guest(host, memory, policy, ppm)
        latest = 0
        for number, inside_ns, outside_ns in runs:
            latest = max(latest, *guest.run(number, inside_ns))
            guest.pause(outside_ns)
            first, _ = guest.run(1 - number, 0)
            went = first - latest
            assert 0 <= went - (outside_ns if policy is Policy.WALL else 0) <= OUT_NS
            latest = first


def test_a_record_that_is_gone_is_asked_no_more(host: Host, memory: GuestMemory) -> None:
    guest = Guest(host, memory)
    guest.run(0, 10**6)
    guest.pvclock.write_msr(0, SYSTEM, 0)
    version = memory.read(PAGE, 4)
    guest.pvclock.before_entry(0)
    assert memory.read(PAGE, 4) == version
    guest.pause(0)
    assert guest.system_ns > 0


def test_a_tsc_that_the_guest_set_far_ahead_takes_no_other_clock_along(
    host: Host, memory: GuestMemory
) -> None:
    guest = Guest(host, memory)
    guest.run(0, 10**6)
    guest.vcpus[0].last += 1 << 50
    before = host.ns
    guest.pause(0)
    assert guest.system_ns <= before
    assert GuestTime().paused
