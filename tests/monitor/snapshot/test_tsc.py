"""TSCs as of one moment, set so that equal ones stay equal: on vCPUs whose rules are KVM's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import Capability
from timehands.monitor.snapshot import tsc
from timehands.monitor.snapshot.state import TSC

SECOND = 2_600_000_000


class Host:
    """A TSC that goes on a little whenever it is looked at."""

    def __init__(self, *, offsets: bool) -> None:
        self.offsets, self.cycles = offsets, 10**12
        self.last: tuple[int, int] | None = None  # the last value that was written, and when

    def has(self, capability: Capability) -> bool:
        assert capability is Capability.VCPU_ATTRIBUTES
        return self.offsets

    def now(self) -> int:
        self.cycles += 137
        return self.cycles


class FakeVcpu:
    """As arch/x86/kvm/x86.c has it: kvm_synchronize_tsc, kvm_arch_tsc_set_attr."""

    def __init__(self, host: Host, offset: int = 0) -> None:
        self.vm, self.offset = host, offset

    def msr(self, index: int) -> int:
        assert index == TSC
        return self.vm.now() + self.offset & MASK_64

    def set_msrs(self, values: dict[int, int]) -> None:
        value, now = values[TSC], self.vm.now()
        if value == 0:  # taken for a reset: the offset stays
            return
        offset = value - now
        if self.vm.last and abs(value - self.vm.last[0] - (now - self.vm.last[1])) < SECOND:
            offset = self.vm.last[0] - self.vm.last[1]
        self.vm.last = (value, now) if offset == value - now else self.vm.last
        self.offset = offset & MASK_64

    def tsc_offset(self) -> int:
        return self.offset

    def set_tsc_offset(self, offset: int) -> None:
        assert 0 <= offset <= MASK_64
        self.offset = offset


def vcpus(host: Host, *offsets: int) -> list[Any]:
    return [FakeVcpu(host, offset & MASK_64) for offset in offsets]


@given(
    wanted=st.integers(0, MASK_64),
    offset=st.integers(0, MASK_64),
    ahead=st.lists(st.integers(-(2**62), 2**62), max_size=3),
)
def test_offsets_differ_as_they_did(wanted: int, offset: int, ahead: list[int]) -> None:
    before = vcpus(Host(offsets=True), offset, *(offset + each for each in ahead))
    _, _, distances = tsc.read(before)
    assert distances == (0, *ahead)
    after = vcpus(Host(offsets=True), *([0] * len(before)))
    tsc.set_all(after, wanted, distances)
    assert tsc.signed(after[0].msr(TSC) - wanted) in range(137, 137 * 20)
    assert [tsc.signed(each.offset - after[0].offset) for each in after] == [0, *ahead]


@pytest.mark.parametrize("wanted", [0, 1, 10**9, 2**63, MASK_64])
def test_by_the_msr_equal_ones_are_equal(wanted: int) -> None:
    """Zero too, which KVM would drop."""
    after = vcpus(Host(offsets=False), 0, 0, 0)
    tsc.set_all(after, wanted, (0, 0, 0))
    assert len({each.offset for each in after}) == 1
    assert tsc.signed(after[0].msr(TSC) - wanted) in range(137 * 10)


def test_without_offsets_what_reading_takes_is_no_difference() -> None:
    host = Host(offsets=False)
    assert tsc.read(vcpus(host, 5, 5, 5))[2] == (0, 0, 0)
    far = tsc.read(vcpus(host, 5, 5 + SECOND))[2][1]
    assert abs(far - SECOND) < 137 * 3


@pytest.mark.parametrize(
    ("value", "wanted"), [(0, 0), (1, 1), (-1, -1), (MASK_64, -1), (2**63, -(2**63)), (2**64, 0)]
)
def test_a_difference_goes_the_nearer_way_round(value: int, wanted: int) -> None:
    assert tsc.signed(value) == wanted
