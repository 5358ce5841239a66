"""Whether a guest's TSC can be moved: by what KVM does, not by what it says."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import pytest

from timehands.clocks.cpuid.numbers import Leaf, Leaf7Ebx
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import Capability
from timehands.kvm.system import Kvm
from timehands.monitor import host_tsc
from timehands.monitor import microvm as microvm_module
from timehands.monitor.microvm import Microvm, Settings


class FakeVm:
    """A machine with one vCPU, which is itself. ``obeys``: its TSC moves when it is asked to."""

    def __init__(self, *, obeys: bool, offsets: bool, tsc: int) -> None:
        self.vm, self.obeys, self.offsets = self, obeys, offsets
        self.told_offset, self.offset, self.cycles = 0, 0, tsc

    def has(self, capability: Capability) -> bool:
        assert capability is Capability.VCPU_ATTRIBUTES
        return self.offsets

    def add_vcpu(self) -> Self:
        return self

    def msr(self, index: int) -> int:
        assert index == ClockMsr.TSC
        self.cycles += 1000
        return self.cycles + self.offset & MASK_64

    def tsc_offset(self) -> int:
        return self.told_offset

    def set_tsc_offset(self, offset: int) -> None:
        assert self.offsets
        self.told_offset = offset
        self.offset = offset if self.obeys else 0

    def set_msrs(self, values: dict[int, int]) -> None:
        assert not self.offsets
        if self.obeys:
            self.offset = values[ClockMsr.TSC] - self.cycles

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@pytest.mark.parametrize("tsc", [0, 10**15, MASK_64 - 5000])
@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("obeys", [False, True])
def test_what_counts_is_whether_it_moved(
    obeys: bool, offsets: bool, tsc: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake: Any = FakeVm(obeys=obeys, offsets=offsets, tsc=tsc)
    monkeypatch.setattr(host_tsc, "Vm", lambda _kvm: fake)
    assert host_tsc.tsc_moves(fake) is obeys


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("moves", [False, True])
def test_a_guest_is_told_of_tsc_adjust_only_where_the_tsc_moves(
    moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bit(answers: Any) -> int:
        leaf = [e for e in answers if (e.leaf, e.subleaf) == (Leaf.STRUCTURED_FEATURES, 0)]
        return leaf[0].registers.ebx & Leaf7Ebx.TSC_ADJUST if leaf else 0

    monkeypatch.setattr(microvm_module, "tsc_moves_here", lambda: moves)
    with Kvm() as kvm:
        supported = bit(kvm.supported_cpuid())
    with Microvm(Settings(), None) as guest:
        assert bit(guest.vcpus[0].cpuid()) == (supported if moves else 0)
