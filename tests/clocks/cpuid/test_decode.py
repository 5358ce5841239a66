"""Decoding: against the tool ``cpuid``, against hand-made tables, and for any table at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.cpuid.tables import (
    ALL,
    HYPERV_AND_KVM,
    INTEL,
    KVM_INVTSC,
    TCG_MAX,
    XEN,
    brand,
    hypervisor,
    table,
)
from clocks.cpuid.test_table import TABLES
from timehands.clocks.cpuid.decode import brand_frequency, decode
from timehands.clocks.cpuid.dump import format_table
from timehands.clocks.cpuid.host import host_table
from timehands.clocks.cpuid.layouts import Identity, Registers
from timehands.clocks.cpuid.numbers import KvmFeature
from timehands.clocks.cpuid.table import CpuidTable
from timehands.errors import HostError

#: What the tool calls the bits that we decode too.
TOOL_BITS = {
    "TSC: time stamp counter": "tsc",
    "APIC on chip": "apic",
    "x2APIC: extended xAPIC support": "x2apic",
    "time stamp counter deadline": "tsc_deadline",
    "hypervisor guest status": "hypervisor",
    "ARAT always running APIC timer": "arat",
    "IA32_TSC_ADJUST MSR supported": "tsc_adjust",
    "RDTSCP": "rdtscp",
    "TscInvariant": "invariant_tsc",
}


def tool(made: CpuidTable) -> dict[str, str]:
    """What ``cpuid`` says of a table: its lines ``name = value``, the first of each name."""
    if shutil.which("cpuid") is None:
        pytest.skip("the tool cpuid is not installed (apt-get install cpuid)")
    done = subprocess.run(
        ["cpuid", "-1", "-f", "/dev/stdin"], input=format_table(made), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    lines = re.findall(r"^ *(.+?) += (.*)$", done.stdout, re.MULTILINE)
    return {name.strip(): value for name, value in reversed(lines)}


def tables() -> dict[str, CpuidTable]:
    made = {name: table(answers) for name, answers in ALL.items()}
    try:
        made["host"] = host_table()
    except HostError:
        made["host"] = table(INTEL)
    return made


@pytest.fixture(params=[*ALL, "host"])
def any_table(request: pytest.FixtureRequest) -> CpuidTable:
    return tables()[request.param]


def test_the_bits_are_those_that_the_tool_cpuid_sees(any_table: CpuidTable) -> None:
    said, facts = tool(any_table), decode(any_table)
    for words, name in TOOL_BITS.items():
        if words in said:
            assert said[words] == str(getattr(facts, name)).lower(), words


def test_family_and_model_are_those_of_the_tool_cpuid(any_table: CpuidTable) -> None:
    said, who = tool(any_table), decode(any_table).identity
    assert said["(family synth)"].endswith(f"({who.family})")
    assert said["(model synth)"].endswith(f"({who.model})")


def test_frequencies_are_those_of_the_tool_cpuid() -> None:
    said, facts = tool(table(INTEL)), decode(table(INTEL))
    assert facts.crystal is not None
    assert facts.mhz is not None
    ratio = f"{facts.crystal.numerator}/{facts.crystal.denominator}"
    assert said["TSC/clock ratio"] == ratio
    assert said["nominal core crystal clock"] == f"{facts.crystal.crystal_hz} Hz"
    assert said["Core Base Frequency (MHz)"].endswith(f"({facts.mhz.base_mhz})")
    assert said["Core Maximum Frequency (MHz)"].endswith(f"({facts.mhz.most_mhz})")
    assert said["Bus (Reference) Frequency (MHz)"].endswith(f"({facts.mhz.bus_mhz})")
    assert said["brand"] == f'"{facts.brand}"'


def test_xens_time_is_that_of_the_tool_cpuid() -> None:
    said, xen = tool(table(XEN)), decode(table(XEN)).xen
    assert xen is not None
    assert said["tsc frequency (kHz)"] == str(xen.tsc_khz)
    assert said["tsc mode"].endswith(f"({xen.mode})")
    assert said["incarnation"].endswith(f"({xen.incarnation})")
    assert said["vtsc offset"].endswith(f"({xen.offset})")
    assert said["vtsc mul_frac"].endswith(f"({xen.mul})")
    assert xen.shift == -1
    assert xen.host_tsc_khz == 2_596_865


def test_the_crystal_makes_the_tscs_frequency_exactly() -> None:
    facts = decode(table(INTEL))
    assert facts.tsc_hz == 24_000_000 * 268 // 2 == 3_216_000_000
    assert facts.apic_hz == 24_000_000
    named = [(source.name, source.hz, source.exact) for source in facts.tsc_sources]
    assert named == [
        ("leaf 0x15", 3_216_000_000, True),
        ("leaf 0x16", 3_200_000_000, False),
        ("the brand string", 3_200_000_000, False),
    ]


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        (Registers(0, 268, 24_000_000, 0), "the ratio"),
        (Registers(2, 0, 24_000_000, 0), "the ratio"),
        (Registers(2, 268, 0, 0), "crystal"),
        (Registers(0, 0, 0, 0), "zero"),
    ],
)
def test_a_crystal_leaf_with_a_part_missing_tells_no_frequency(
    registers: Registers, reason: str
) -> None:
    facts = decode(table(INTEL, x15=registers))
    assert facts.tsc_hz is None
    assert reason in facts.doubt(0x15)


def test_the_timing_leaf_of_kvm_is_decoded() -> None:
    facts = decode(table(KVM_INVTSC))
    assert facts.timing is not None
    assert (facts.tsc_hz, facts.apic_hz) == (2_596_132_000, 1_000_000_000)
    assert facts.doubt(0x40000010) == ""


def test_the_timing_leaf_out_of_range_is_never_decoded() -> None:
    facts = decode(table(TCG_MAX))
    assert facts.timing is None
    assert facts.tsc_hz is None
    assert facts.doubt(0x40000010).startswith("above the range's limit 0x40000001")


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        (Registers(0, 1_000_000, 0, 0), "zero"),
        (Registers(543, 576, 0, 0), "543 kHz is no frequency of a TSC"),
        (Registers(2_500_000, 576, 0, 0), "576 kHz is no frequency of a LAPIC timer"),
    ],
)
def test_an_absurd_timing_leaf_is_not_believed(registers: Registers, reason: str) -> None:
    facts = decode(table(KVM_INVTSC, x40000010=registers))
    assert facts.timing is None
    assert reason in facts.doubt(0x40000010)


def test_a_timing_leaf_without_the_lapics_rate_still_tells_the_tscs() -> None:
    facts = decode(table(KVM_INVTSC, x40000010=Registers(2_500_000, 0, 0, 0)))
    assert (facts.tsc_hz, facts.apic_hz) == (2_500_000_000, None)


def test_hyperv_has_no_timing_leaf() -> None:
    longer = table(
        HYPERV_AND_KVM,
        x40000000=hypervisor(0x40000080, "Microsoft Hv"),
        x40000010=Registers(2_500_000, 0, 0, 0),
    )
    assert decode(longer).timing is None
    assert "Hyper-V" in decode(longer).doubt(0x40000010)


def test_kvm_behind_hyperv_is_found_and_both_tell_their_clocks() -> None:
    facts = decode(table(HYPERV_AND_KVM))
    assert facts.kvm is not None
    assert facts.kvm.features == KvmFeature.CLOCKSOURCE2 | KvmFeature.CLOCKSOURCE_STABLE
    assert facts.kvm.offers_pvclock
    assert facts.kvm.stable
    assert facts.hyperv is not None
    assert facts.hyperv.tells_frequencies


def test_hyperv_without_its_interface_name_tells_nothing() -> None:
    assert decode(table(HYPERV_AND_KVM, x40000001=Registers(0, 0, 0, 0))).hyperv is None


@pytest.mark.parametrize(
    ("brand_text", "hz"),
    [
        ("Intel(R) Xeon(R) CPU E5-2630 v3 @ 2.40GHz", 2_400_000_000),
        ("Intel(R) Xeon(R) Processor @ 2.5GHz", 2_500_000_000),
        ("Intel(R) Pentium(R) III CPU 933MHz", 933_000_000),
        ("Some CPU @ 1.005THz", 1_005_000_000_000),
        ("2.0GHz then 3.0GHz", 3_000_000_000),
        ("AMD EPYC", None),
        ("QEMU Virtual CPU version 2.5+", None),
        ("0.00GHz", None),
        ("", None),
    ],
)
def test_the_frequency_in_a_brand_string(brand_text: str, hz: int | None) -> None:
    assert brand_frequency(brand_text) == hz
    answers = {**INTEL, **brand(brand_text)}
    assert decode(table(answers)).brand_hz == hz


@pytest.mark.parametrize(
    ("signature", "identity"),
    [
        (0x000906EA, Identity(6, 0x9E, 10)),
        (0x00A10F11, Identity(25, 0x11, 1)),
        (0x00000663, Identity(6, 6, 3)),
        (0x00000F29, Identity(15, 2, 9)),
        (0x00000543, Identity(5, 4, 3)),
    ],
)
def test_the_processor_signature(signature: int, identity: Identity) -> None:
    assert Identity.from_signature(signature) == identity


@given(TABLES)
def test_any_table_can_be_decoded_and_goes_to_json(
    answers: dict[tuple[int, int], Registers],
) -> None:
    facts = decode(CpuidTable(answers))
    json.dumps(facts.to_json())
    assert facts.timing is None or CpuidTable(answers).leaf(0x40000010)
    assert all(source.hz > 0 for source in facts.tsc_sources)


@given(TABLES, st.sampled_from([0x15, 0x16, 0x40000010, 0x80000007]))
def test_a_leaf_that_is_not_believed_changes_nothing(
    answers: dict[tuple[int, int], Registers], leaf: int
) -> None:
    made = CpuidTable(answers)
    if made.leaf(leaf):
        return
    without = CpuidTable({key: made[key] for key in made if key != (leaf, 0)})
    ours, theirs = decode(made), decode(without)
    assert (ours.tsc_hz, ours.apic_hz, ours.invariant_tsc) == (
        theirs.tsc_hz, theirs.apic_hz, theirs.invariant_tsc,
    )  # fmt: skip
