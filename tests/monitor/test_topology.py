"""Processors as CPUID tells of them, read as Linux reads it (arch/x86/kernel/cpu/topology.c)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.cpuid.layouts import Registers
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import CpuidFlags
from timehands.monitor.settings import Clocks
from timehands.monitor.told import told

INDEXED = CpuidFlags.SIGNIFICANT_INDEX
#: A host's: two threads to a core, four cores.
HOST = [
    CpuidEntry(0x1, 0, CpuidFlags(0), Registers(0, 0x5080800, 0, 1 << 28)),
    CpuidEntry(0x4, 0, INDEXED, Registers(0x0C004121, 0, 0, 0)),
    CpuidEntry(0x4, 1, INDEXED, Registers(0x0C01C163, 0, 0, 0)),
    CpuidEntry(0x4, 2, INDEXED, Registers(0, 0, 0, 0)),
    CpuidEntry(0xB, 0, INDEXED, Registers(1, 2, 0x100, 5)),
    CpuidEntry(0xB, 1, INDEXED, Registers(3, 8, 0x201, 5)),
    CpuidEntry(0x1F, 0, INDEXED, Registers(0, 0, 0, 5)),
    CpuidEntry(0x80000008, 0, CpuidFlags(0), Registers(0x3930, 0, 0x3007, 0)),
]
COUNTS = st.integers(1, 64)


def answers(vcpu: int, vcpus: int) -> dict[tuple[int, int], Registers]:
    entries = told(HOST, Clocks(), tsc_khz=2_000_000, vcpu=vcpu, vcpus=vcpus)
    assert all(e.flags & INDEXED for e in entries if e.leaf in (0x4, 0xB, 0x1F))
    return {(e.leaf, e.subleaf): e.registers for e in entries}


@given(COUNTS, st.data())
def test_every_leaf_tells_the_same_id(vcpus: int, data: st.DataObject) -> None:
    vcpu = data.draw(st.integers(0, vcpus - 1))
    leaves = answers(vcpu, vcpus)
    assert leaves[1, 0].ebx >> 24 == vcpu
    for leaf in (0xB, 0x1F):
        assert {leaves[leaf, level].edx for level in (0, 1, 2)} == {vcpu}


@given(COUNTS)
def test_all_vcpus_are_cores_of_one_package(vcpus: int) -> None:
    for leaf in (0xB, 0x1F):
        threads, cores, end = (answers(vcpus - 1, vcpus)[leaf, level] for level in (0, 1, 2))
        assert (threads.eax, threads.ebx, threads.ecx) == (0, 1, 0x100)
        assert (cores.ebx, cores.ecx) == (vcpus, 0x201)
        assert (vcpus - 1) >> cores.eax == 0  # the package's number
        assert (end.ebx, end.ecx) == (0, 2)


@given(COUNTS)
def test_old_leaves_agree_with_that(vcpus: int) -> None:
    leaves = answers(0, vcpus)
    room = leaves[1, 0].ebx >> 16 & 0xFF
    assert room == 1 << (vcpus - 1).bit_length()
    assert bool(leaves[1, 0].edx & 1 << 28) is (vcpus > 1)
    first, last, none = (leaves[4, level].eax for level in (0, 1, 2))
    assert (first >> 14 & 0xFFF, last >> 14 & 0xFFF) == (0, room - 1)
    assert first >> 26 == last >> 26 == room - 1
    assert none == 0
    assert leaves[0x80000008, 0].ecx == vcpus - 1 | (vcpus - 1).bit_length() << 12


def test_what_is_not_of_processors_stays() -> None:
    leaves = answers(0, 2)
    assert leaves[1, 0].ebx & 0xFFFF == 0x0800
    assert leaves[4, 0].eax & 0x3FFF == 0x121
    assert leaves[0x80000008, 0].eax == 0x3930
