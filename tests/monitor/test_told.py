"""What CPUID tells a guest of its clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import Extended7Edx, Leaf, Leaf1Ecx
from timehands.errors import MachineError
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import CpuidFlags
from timehands.monitor.settings import MAX_TSC_KHZ, MIN_TSC_KHZ, Clocks, Maker, Published
from timehands.monitor.told import (
    CLOCKSOURCE,
    CLOCKSOURCE2,
    CX16,
    STABLE,
    TSC_ADJUST,
    Hidden,
    ratio,
    told,
    without,
    without_leaves,
)

TSC_KHZ = 2_599_998
OTHERS = 1 << 1 | 1 << 7  # of KVM's features, two that are no clocks
ALL_FEATURES = OTHERS | CLOCKSOURCE | CLOCKSOURCE2 | STABLE
#: What a KVM supports, as far as it matters here.
SUPPORTED = {
    0x0: (0x16, 0x756E6547, 0x6C65746E, 0x49656E69),
    0x1: (0xA0671, 0x1020800, 0x200000, 0xF8BFBFF),
    0x15: (2, 200, 24_000_000, 0),
    0x40000000: (0x40000001, 0x4B4D564B, 0x564B4D56, 0x4D),
    0x40000001: (ALL_FEATURES, 0, 0, 1),
    0x40000005: (1, 2, 3, 4),
    0x80000000: (0x80000008, 0, 0, 0),
    0x80000007: (0, 0, 0, 0),
}


def answers(clocks: Clocks, without: tuple[int, ...] = (), vcpu: int = 0) -> dict[int, Registers]:
    """What a guest is told, by leaf; ``without`` are leaves that KVM does not support."""
    supported = [
        CpuidEntry(leaf, 0, CpuidFlags(0), Registers(*values))
        for leaf, values in SUPPORTED.items()
        if leaf not in without
    ]
    entries = told(supported, clocks, tsc_khz=TSC_KHZ, vcpu=vcpu, vcpus=2)
    assert len({(e.leaf, e.subleaf) for e in entries}) == len(entries)
    return {e.leaf: e.registers for e in entries if e.subleaf == 0}


def test_the_timing_leaf_tells_the_rates_and_all_leaves_up_to_it_are_there() -> None:
    leaves = answers(Clocks())
    assert leaves[0x40000000] == Registers(0x40000010, 0x4B4D564B, 0x564B4D56, 0x4D)
    assert leaves[0x40000010] == Registers(TSC_KHZ, 1_000_000, 0, 0)
    for leaf in range(0x40000002, 0x40000010):
        assert leaves[leaf] == Registers(0, 0, 0, 0)


def test_without_the_timing_leaf_the_range_ends_before_it() -> None:
    leaves = answers(Clocks(published=()))
    assert leaves[0x40000000].eax == 0x40000001
    assert [leaf for leaf in leaves if leaf >> 28 == 4] == [0x40000000, 0x40000001]


def test_another_lapic_rate_is_told_too() -> None:
    assert answers(Clocks(apic_bus_ns=40))[0x40000010].ebx == 25_000


@pytest.mark.parametrize("leaf", [Published.TIMING, Published.CRYSTAL])
def test_a_lie_is_told_where_the_truth_would_be(leaf: Published) -> None:
    leaves = answers(Clocks(published=(leaf,), told_tsc_khz=1_000_000, apic_bus_ns=40))
    if leaf is Published.TIMING:
        assert leaves[0x40000010].eax == 1_000_000
    else:
        eax, ebx, ecx, _ = leaves[0x15]
        assert ecx * ebx // eax == 1_000_000_000


def test_the_crystal_is_the_lapic_timers_clock_and_gives_the_tsc_within_a_ppm() -> None:
    eax, ebx, ecx, _ = answers(Clocks(published=(Published.CRYSTAL,)))[0x15]
    assert ecx == 1_000_000_000
    assert abs(ecx * ebx // eax - TSC_KHZ * 1000) < TSC_KHZ // 1000


@given(st.integers(MIN_TSC_KHZ, MAX_TSC_KHZ), st.integers(1, 1000))
def test_kernels_that_multiply_in_32_bits_do_not_overflow(tsc_khz: int, bus_ns: int) -> None:
    crystal_khz = 1_000_000 // bus_ns
    numerator, denominator = ratio(tsc_khz, crystal_khz)
    assert 0 < numerator * crystal_khz < 2**32 and denominator > 0


def test_without_the_crystal_leaf_it_is_empty_whatever_kvm_has() -> None:
    assert answers(Clocks())[0x15] == Registers(0, 0, 0, 0)


def test_the_limit_reaches_to_the_crystal_leaf() -> None:
    clocks = Clocks(published=(Published.CRYSTAL,))
    assert answers(clocks)[0].eax == 0x16
    assert answers(clocks)[0][1:] == SUPPORTED[0][1:]
    assert answers(clocks, without=(0,))[0].eax == 0x15


@pytest.mark.parametrize(
    ("clocks", "features"),
    [
        (Clocks(pvclock=Maker.KVM), ALL_FEATURES),
        (Clocks(pvclock=Maker.OURS), ALL_FEATURES),
        (Clocks(pvclock=Maker.OURS, stable=False), ALL_FEATURES & ~STABLE),
        (Clocks(pvclock=Maker.NONE), OTHERS),
    ],
)
def test_pvclock_is_announced_when_it_is_there(clocks: Clocks, features: int) -> None:
    assert answers(clocks)[0x40000001] == Registers(features, 0, 0, 0)


def test_our_pvclock_is_announced_where_kvm_has_none() -> None:
    leaves = answers(Clocks(pvclock=Maker.OURS), without=(0x40000000, 0x40000001))
    assert leaves[0x40000001].eax == CLOCKSOURCE | CLOCKSOURCE2 | STABLE


@pytest.mark.parametrize(("wish", "edx"), [(None, 0), (True, 0x100), (False, 0)])
def test_the_invariant_flag(wish: bool | None, edx: int) -> None:
    assert answers(Clocks(invariant_tsc=wish))[Leaf.POWER_MANAGEMENT].edx == edx


def test_the_invariant_flag_is_told_where_kvm_has_no_leaf_for_it() -> None:
    leaves = answers(Clocks(invariant_tsc=True), without=(0x80000000, 0x80000007))
    assert leaves[0x80000007].edx == Extended7Edx.INVARIANT_TSC
    assert leaves[0x80000000].eax == 0x80000007


@pytest.mark.parametrize(("wish", "there"), [(None, False), (True, True), (False, False)])
def test_the_deadline_timer(wish: bool | None, there: bool) -> None:
    ecx = answers(Clocks(tsc_deadline=wish))[1].ecx
    assert bool(ecx & Leaf1Ecx.TSC_DEADLINE) is there
    assert ecx & Leaf1Ecx.HYPERVISOR


def test_bits_that_are_hidden_are_not_told_and_all_else_is() -> None:
    features = Registers(1, 2, 0xFFFF_FFFF, 4)
    entries = [
        CpuidEntry(1, 0, CpuidFlags(0), features),
        CpuidEntry(7, 1, CpuidFlags.SIGNIFICANT_INDEX, features),
    ]
    first, second = without(entries, [CX16, Hidden(7, "edx", 4), Hidden(7, "ecx", 1, subleaf=1)])
    assert first.registers == features._replace(ecx=0xFFFF_DFFF)
    assert second.registers == features._replace(ecx=0xFFFF_FFFE)


def test_a_leaf_that_shows_what_is_hidden_is_left_out() -> None:
    features = Registers(0x16, 2, 0xFFFF_FFFF, 4)
    told_here = [
        CpuidEntry(leaf, subleaf, CpuidFlags(0), features)
        for leaf, subleaf in ((0, 0), (1, 0), (7, 0), (7, 1), (0x15, 0))
    ]
    kept = without_leaves(told_here, told_here, [CX16, TSC_ADJUST])
    assert kept is not None
    assert [(each.leaf, each.subleaf) for each in kept] == [(0, 0), (1, 0), (0x15, 0)]
    obeyed = without(told_here, [CX16, TSC_ADJUST])
    assert obeyed[2].registers == features._replace(ebx=0)
    assert without_leaves(told_here, obeyed, [CX16, TSC_ADJUST]) is None


def test_only_registers_of_cpuid_can_be_hidden() -> None:
    with pytest.raises(MachineError, match="CPUID has no register rax"):
        Hidden(1, "rax", 1)
