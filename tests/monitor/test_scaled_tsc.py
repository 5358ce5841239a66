"""Pauses of guests whose TSC is scaled, where KVM and the processor may round differently."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.loading.files import guest_memory
from monitor.unstable_host import Host, ScalingVcpu
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.errors import KvmRefused
from timehands.kvm import Capability, Vcpu, Vm
from timehands.monitor import microvm as microvm_module
from timehands.monitor import pvclock as pvclock_module
from timehands.monitor import systemtime
from timehands.monitor.host_tsc import HostTsc
from timehands.monitor.layout import MIB
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.pvclock import ROUNDING, Pvclock
from timehands.monitor.settings import MAX_TSC_KHZ, MIN_TSC_KHZ, Clocks, Maker

SYSTEM, PAGE = 0x4B564D01, 0x9000


@given(
    khz=st.integers(MIN_TSC_KHZ, MAX_TSC_KHZ),
    off=st.integers(-ROUNDING, ROUNDING),
    runs=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), max_size=8),
    started_ns=st.integers(1, 2**60),
)
def test_no_pause_takes_time_back_or_far_on(
    khz: int, off: int, runs: list[tuple[int, int]], started_ns: int
) -> None:
    with guest_memory(4 * MIB) as memory, pytest.MonkeyPatch.context() as monkeypatch:
        host = Host(started_ns, look_ns=0)  # the worst: nothing takes any time
        for module in (pvclock_module, systemtime):
            monkeypatch.setattr(module, "time", host)
        vcpu = ScalingVcpu(host, 0, khz, off)
        pvclock = Pvclock(memory, khz)
        guest: Any = SimpleNamespace(
            vcpus=[vcpu],
            pvclock=pvclock,
            time=SimpleNamespace(now_ns=lambda: 1),
            settings=SimpleNamespace(clocks=Clocks(pvclock=Maker.OURS)),
            system_ns=0,
            paused_ns=host.ns,
        )
        systemtime.start_system_time(guest)
        assert pvclock.write_msr(0, SYSTEM, PAGE | 1)
        latest = 0
        for inside_ns, outside_ns in runs:
            pvclock.before_entry(0)
            record = TimeInfo.parse(memory.read(PAGE, 32))
            entered_ns = host.ns
            for tsc in vcpu.run(inside_ns):
                now = nanoseconds(record, tsc)
                assert latest <= now
                latest = now
            systemtime.keep_system_time(guest)
            assert guest.system_ns - latest <= host.ns - entered_ns + 4 * ROUNDING * 10**6 // khz
            host.pass_ns(outside_ns)
            systemtime.start_system_time(guest)


class KvmVcpu:
    """One with a record in KVM's way; ``found``: its MSR, an error for one that is refused."""

    def __init__(self, found: int | KvmRefused, tsc: int) -> None:
        self.found, self.tsc = found, tsc

    def msr(self, index: int) -> int:
        if index == ClockMsr.TSC:
            return self.tsc
        assert index == ClockMsr.KVM_SYSTEM_TIME
        if isinstance(self.found, KvmRefused):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("msr", "record_ns", "kept"),
    [
        (PAGE | 1, 10**9 + 300, 10**9 + 300),  # the guest has read more than KVM says
        (PAGE | 1, 10**9 - 300, 10**9),
        (PAGE, 10**9 + 300, 10**9),  # switched off
        (PAGE | 1, 10**12, 10**9),  # the guest's own writing
        (1 << 60 | 1, 10**9 + 300, 10**9),  # where no memory is
        (KvmRefused("KVM_GET_MSRS", on="vCPU 0"), 0, 10**9),
    ],
)
def test_kvms_clock_goes_on_from_what_a_guest_has_read(
    msr: int | KvmRefused, record_ns: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemtime, "time", Host())
    with guest_memory(4 * MIB) as memory:
        tsc = 5 * 10**9
        memory.write(PAGE, TimeInfo(2, tsc, record_ns, *time_scale(2_000_000), 0).build())
        guest: Any = SimpleNamespace(
            vcpus=[KvmVcpu(msr, tsc)],
            vm=SimpleNamespace(memory=memory, clock=lambda: SimpleNamespace(ns=10**9)),
            pvclock=None,
            settings=SimpleNamespace(clocks=Clocks(pvclock=Maker.KVM)),
            system_ns=0,
            paused_ns=0,
        )
        systemtime.keep_system_time(guest)
        assert guest.system_ns == kept


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("of_machine", [False, True])
def test_a_tsc_of_another_rate_starts_at_its_beginning(
    of_machine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is the machine's before there are vCPUs; else each vCPU's TSC is written anew."""
    asked: list[tuple[str, int]] = []
    has = Vm.has

    def said(self: Vm, capability: Capability) -> bool:
        scales = {Capability.VM_TSC_CONTROL: of_machine, Capability.TSC_CONTROL: True}
        return scales[capability] if capability in scales else has(self, capability)

    def written(_self: Vcpu, values: dict[int, int]) -> None:
        asked.extend(("write", values[each]) for each in values if each == ClockMsr.TSC)

    monkeypatch.setattr(Vm, "has", said)
    monkeypatch.setattr(Vm, "set_tsc_khz", lambda _self, khz: asked.append(("machine", khz)))
    monkeypatch.setattr(Vcpu, "set_tsc_khz", lambda _self, khz: asked.append(("vCPU", khz)))
    monkeypatch.setattr(Vcpu, "set_msrs", written)
    monkeypatch.setattr(microvm_module, "host_tsc_here", lambda: HostTsc(moves=True, waits=False))
    with Microvm(Settings(vcpus=2, clocks=Clocks(tsc_khz=2_000_000)), None):
        each = [("vCPU", 2_000_000), ("write", 1)]
        assert asked == ([("machine", 2_000_000)] if of_machine else each * 2)
