"""Whether a guest's TSC can be moved: by what KVM does, not by what it says."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from monitor.unstable_host import LOOK_NS, Host
from timehands.clocks.cpuid.numbers import Leaf, Leaf7Ebx
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import Capability
from timehands.kvm.system import Kvm
from timehands.monitor import host_tsc
from timehands.monitor import microvm as microvm_module
from timehands.monitor.host_tsc import HostTsc
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.told import STABLE

KHZ = 2_599_998


class FakeVm:
    """A machine with one vCPU, which is itself.

    ``obeys``: its TSC moves when it is asked to. ``waits``: it stands still while out.
    """

    def __init__(self, *, obeys: bool, offsets: bool, tsc: int = 0, waits: bool = False) -> None:
        self.vm, self.host = self, Host()
        self.obeys, self.offsets, self.waits = obeys, offsets, waits
        self.told_offset, self.offset, self.begun_ns, self.tsc = 0, 0, self.host.ns, tsc

    def has(self, capability: Capability) -> bool:
        assert capability is Capability.VCPU_ATTRIBUTES
        return self.offsets

    def add_vcpu(self) -> Self:
        return self

    def tsc_khz(self) -> int:
        return KHZ

    def msr(self, index: int) -> int:
        assert index == ClockMsr.TSC
        self.host.pass_ns(LOOK_NS)
        passed_ns = LOOK_NS if self.waits else self.host.ns - self.begun_ns
        tsc: int = self.tsc + passed_ns * KHZ // 1_000_000 + self.offset & MASK_64
        return tsc

    def tsc_offset(self) -> int:
        return self.told_offset

    def set_tsc_offset(self, offset: int) -> None:
        assert self.offsets
        self.told_offset = offset
        self.offset = offset if self.obeys else 0

    def set_msrs(self, values: dict[int, int]) -> None:
        assert not self.offsets
        if self.obeys:
            self.offset += values[ClockMsr.TSC] - self.msr(ClockMsr.TSC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@pytest.mark.parametrize("tsc", [0, 10**15, MASK_64 - 5000])
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("obeys", [False, True])
def test_what_counts_is_what_it_did(
    obeys: bool, offsets: bool, waits: bool, tsc: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake: Any = FakeVm(obeys=obeys, offsets=offsets, waits=waits, tsc=tsc)
    monkeypatch.setattr(host_tsc, "Vm", lambda _kvm: fake)
    monkeypatch.setattr(host_tsc, "time", fake.host)
    monkeypatch.setattr(host_tsc, "CLOCKSOURCES", Path("/no/such/file"))
    assert host_tsc.host_tsc(fake) == HostTsc(moves=obeys, waits=waits)


@pytest.mark.parametrize(
    ("offered", "looked_at"),
    [("tsc hpet acpi_pm", False), ("hpet acpi_pm", True), ("kvm-clock", True), ("", True)],
)
def test_a_tsc_that_its_host_trusts_does_not_wait(
    offered: str, looked_at: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake: Any = FakeVm(obeys=True, offsets=True, waits=True)
    (tmp_path / "offered").write_text(f"{offered}\n")
    monkeypatch.setattr(host_tsc, "Vm", lambda _kvm: fake)
    monkeypatch.setattr(host_tsc, "time", fake.host)
    monkeypatch.setattr(host_tsc, "CLOCKSOURCES", tmp_path / "offered")
    assert host_tsc.host_tsc(fake).waits is looked_at


def test_a_busy_host_hides_a_tsc_that_waits_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of what KVM is asked the asking thread is put aside."""
    fake: Any = FakeVm(obeys=True, offsets=True, waits=True)
    msr, delays = fake.msr, [0, 10**9, 0, 10**10, 0, 10**8]

    def late(index: int) -> int:
        return msr(index) + (delays.pop(0) if delays else 0) & MASK_64

    monkeypatch.setattr(fake, "msr", late)
    monkeypatch.setattr(host_tsc, "Vm", lambda _kvm: fake)
    monkeypatch.setattr(host_tsc, "time", fake.host)
    monkeypatch.setattr(host_tsc, "CLOCKSOURCES", Path("/no/such/file"))
    assert host_tsc.host_tsc(fake).waits


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("host", [HostTsc(m, w) for m in (False, True) for w in (False, True)])
def test_a_guest_is_told_of_tsc_adjust_only_where_it_can_use_it(
    host: HostTsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bit(answers: Any) -> int:
        leaf = [e for e in answers if (e.leaf, e.subleaf) == (Leaf.STRUCTURED_FEATURES, 0)]
        return leaf[0].registers.ebx & Leaf7Ebx.TSC_ADJUST if leaf else 0

    monkeypatch.setattr(microvm_module, "host_tsc_here", lambda: host)
    with Kvm() as kvm:
        supported = bit(kvm.supported_cpuid())
    clocks = Clocks(pvclock=Maker.OURS)
    with Microvm(Settings(clocks=clocks), None) as guest:
        features = {e.leaf: e.registers.eax for e in guest.vcpus[0].cpuid()}[0x4000_0001]
        assert bool(features & STABLE) is not host.waits
        assert bit(guest.vcpus[0].cpuid()) == (supported if host.moves and not host.waits else 0)
