"""Which leaf may be believed, and reading all leaves of a CPU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.cpuid.tables import (
    ALL,
    HYPERV_AND_KVM,
    INTEL,
    KVM_INVTSC,
    TCG_MAX,
    hypervisor,
    table,
    vendor,
)
from timehands.clocks.cpuid.layouts import NOTHING, Registers
from timehands.clocks.cpuid.numbers import HYPERVISOR_BASES
from timehands.clocks.cpuid.table import SUBLEAVES, CpuidTable, hypervisor_range, read_table

U32 = st.integers(0, (1 << 32) - 1)
REGISTERS = st.builds(Registers, U32, U32, U32, U32)
LEAVES = st.one_of(
    st.integers(0, 0x20), st.integers(0x40000000, 0x40000120), st.integers(0x80000000, 0x80000020),
    U32,
)  # fmt: skip
TABLES = st.dictionaries(st.tuples(LEAVES, st.integers(0, 3)), REGISTERS, max_size=30)


def test_a_leaf_in_its_range_is_believed() -> None:
    assert table(INTEL).leaf(0x15) == INTEL[0x15, 0]
    assert table(INTEL).doubt(0x15) == ""


def test_a_basic_leaf_above_the_limit_is_not_believed() -> None:
    lowered = table(INTEL, x0=vendor(0x14, "GenuineIntel"))
    assert lowered[0x15, 0] == INTEL[0x15, 0]
    assert lowered.leaf(0x15) is None
    assert lowered.doubt(0x15) == "above the basic range's limit 0x14"


def test_an_extended_leaf_above_the_limit_is_not_believed() -> None:
    lowered = table(INTEL, x80000000=Registers(0x80000006, 0, 0, 0))
    assert lowered.leaf(0x80000007) is None
    assert "0x80000006" in lowered.doubt(0x80000007)


@pytest.mark.parametrize("limit", [0, 0x16, 0x7FFFFFFF, 0x80010000, 0xFFFFFFFF])
def test_an_absurd_extended_limit_means_that_there_are_no_extended_leaves(limit: int) -> None:
    absurd = table(INTEL, x80000000=Registers(limit, 0, 0, 0))
    assert absurd.leaf(0x80000007) is None


def test_the_timing_leaf_above_the_hypervisors_limit_shows_whose_data_it_is() -> None:
    tcg = table(TCG_MAX)
    assert tcg.leaf(0x40000010) is None
    reason = tcg.doubt(0x40000010)
    assert reason == "above the range's limit 0x40000001: the answer is the data of leaf 0xd"


def test_hypervisor_leaves_need_the_hypervisor_bit() -> None:
    features = KVM_INVTSC[1, 0]
    bare = table(KVM_INVTSC, x1=features._replace(ecx=features.ecx & 0x7FFFFFFF))
    assert bare.hypervisors == ()
    assert bare.leaf(0x40000010) is None
    assert "bit 31" in bare.doubt(0x40000010)


def test_a_second_hypervisor_is_found_at_its_base() -> None:
    found = table(HYPERV_AND_KVM).hypervisors
    assert [(r.base, r.name) for r in found] == [(0x40000000, "Hyper-V"), (0x40000100, "KVM")]


def test_a_leaf_between_the_ranges_is_not_believed() -> None:
    both = table(HYPERV_AND_KVM, x40000110=Registers(2_000_000, 0, 0, 0))
    assert both.doubt(0x40000110) == "above the range's limit 0x40000101"
    assert both.doubt(0x40000210) == "no hypervisor names itself at 0x40000200"


def test_an_old_kvm_says_limit_zero_and_means_one_leaf() -> None:
    found = hypervisor_range(0x40000000, hypervisor(0, "KVMKVMKVM"))
    assert found is not None
    assert found.limit == 0x40000001


@pytest.mark.parametrize(
    ("base", "registers"),
    [
        (0x40000000, NOTHING),
        (0x40000000, Registers(0x21F, 0x240, 0xA88, 0)),
        (0x40000000, hypervisor(0x40000100, "KVMKVMKVM")),
        (0x40000100, hypervisor(0x40000001, "KVMKVMKVM")),
        (0x40000000, hypervisor(0, "TCGTCGTCGTCG")),
        (0x40000000, Registers(0x40000001, 0x4B4D564B, 0, 0x4B4D564B)),
        (0x40000000, hypervisor(0x40000001, "abc")),
    ],
)
def test_what_does_not_announce_a_range_announces_none(base: int, registers: Registers) -> None:
    assert hypervisor_range(base, registers) is None


@given(TABLES)
def test_no_leaf_above_its_limit_is_ever_believed(
    answers: dict[tuple[int, int], Registers],
) -> None:
    made = CpuidTable(answers)
    limits = {r.base: r.limit for r in made.hypervisors}
    for leaf, subleaf in made:
        if made.leaf(leaf, subleaf) is None:
            assert made.doubt(leaf, subleaf)
            continue
        assert made.doubt(leaf, subleaf) == ""
        if leaf in range(HYPERVISOR_BASES.start, HYPERVISOR_BASES.stop):
            assert leaf <= limits[leaf & ~0xFF]
        elif leaf < 0x80000000:
            assert leaf <= answers.get((0, 0), NOTHING).eax
        else:
            assert leaf <= answers[0x80000000, 0].eax


@pytest.mark.parametrize("name", ALL)
def test_reading_a_cpu_finds_everything_that_it_believes(name: str) -> None:
    cpu = table(ALL[name])

    def cpuid(leaf: int, subleaf: int) -> Registers:
        return cpu.get((leaf, subleaf), NOTHING)

    read = read_table(cpuid)
    believed = {key: cpu[key] for key in cpu if cpu.leaf(*key)}
    assert {key: read[key] for key in believed} == believed
    assert (0x40000010, 0) in read


@given(st.data())
def test_reading_a_cpu_that_answers_anything_is_bounded(data: st.DataObject) -> None:
    answer = data.draw(REGISTERS)
    calls = 0

    def cpuid(leaf: int, subleaf: int) -> Registers:
        nonlocal calls
        calls += 1
        return answer

    read_table(cpuid)
    assert calls <= 1_200 + sum(SUBLEAVES.values())


@pytest.mark.parametrize(
    ("key", "registers"),
    [((-1, 0), NOTHING), ((1 << 32, 0), NOTHING), ((0, 0), Registers(0, 0, 0, 1 << 32))],
)
def test_numbers_wider_than_32_bits_are_refused(key: tuple[int, int], registers: Registers) -> None:
    with pytest.raises(ValueError, match="32-bit"):
        CpuidTable({key: registers})
