"""CPUID in words: one line for each leaf that matters to clocks, and the reason of each disbelief.

Words only; the numbers are in `timehands.clocks.cpuid.numbers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag

from timehands.clocks.cpuid import numbers
from timehands.clocks.cpuid.decode import CpuidFacts, decode
from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import HyperVAccess, KvmFeature, Leaf, XenTimeFlag
from timehands.clocks.cpuid.table import CpuidTable

#: Xen's TSC modes (leaf base + 3 subleaf 0, EBX). Source: Xen docs/man/xen-tscmode.7.
XEN_TSC_MODES: Mapping[int, str] = {
    0: "default", 1: "always emulated", 2: "never emulated", 3: "PVRDTSCP",
}  # fmt: skip

#: KVM's features that are about time.
KVM_CLOCK_FEATURES: Mapping[KvmFeature, str] = {
    KvmFeature.CLOCKSOURCE: "kvmclock by the old MSRs 0x11 and 0x12",
    KvmFeature.CLOCKSOURCE2: "kvmclock by the MSRs 0x4b564d00 and 0x4b564d01",
    KvmFeature.CLOCKSOURCE_STABLE: "the same on all vCPUs",
    KvmFeature.STEAL_TIME: "steal time",
}

XEN_TIME_FLAGS: Mapping[XenTimeFlag, str] = {
    XenTimeFlag.EMULATED: "TSC emulated",
    XenTimeFlag.HOST_TSC_RELIABLE: "host TSC reliable",
    XenTimeFlag.RDTSCP: "RDTSCP",
}

HYPERV_ACCESS: Mapping[HyperVAccess, str] = {
    HyperVAccess.REFERENCE_COUNTER: "reference counter (MSR 0x40000020)",
    HyperVAccess.REFERENCE_TSC: "reference TSC page (MSR 0x40000021)",
    HyperVAccess.FREQUENCY_MSRS: "frequency MSRs (0x40000022, 0x40000023)",
    HyperVAccess.SYNTHETIC_TIMERS: "synthetic timers",
    HyperVAccess.TSC_INVARIANT_CONTROL: "TSC invariant control (MSR 0x40000118)",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One leaf in words.

    ``text`` says what the leaf tells when ``believed``, and why it tells nothing when not.
    """

    leaf: int
    registers: Registers | None
    believed: bool
    text: str


def describe(table: CpuidTable) -> tuple[Note, ...]:
    """A note for each leaf that matters to clocks, in the order of the leaves."""
    facts = decode(table)
    words = {leaf: write(facts) for leaf, write in _WRITERS.items()}
    for found in facts.hypervisors:
        for leaf, text in _hypervisor_words(facts, found.base, found.limit):
            words.setdefault(leaf, text)
    return tuple(_note(table, facts, leaf, words[leaf]) for leaf in sorted(words))


def _note(table: CpuidTable, facts: CpuidFacts, leaf: int, text: str) -> Note:
    registers = table.get((leaf, 0))
    reason = table.doubt(leaf) or facts.doubt(leaf)
    if reason and not (leaf == Leaf.TSC_CRYSTAL and facts.crystal):
        return Note(leaf, registers, False, reason)
    return Note(leaf, registers, True, text)


def _limit(facts: CpuidFacts) -> str:
    return f"vendor {facts.vendor!r}"


def _features(facts: CpuidFacts) -> str:
    known = {
        "TSC": facts.tsc,
        "LAPIC": facts.apic,
        "x2APIC": facts.x2apic,
        "TSC deadline timer": facts.tsc_deadline,
        "runs under a hypervisor": facts.hypervisor,
    }
    who = facts.identity
    return f"family {who.family} model {who.model} stepping {who.stepping}; {_yes_and_no(known)}"


def _power(facts: CpuidFacts) -> str:
    if facts.arat:
        return "the LAPIC timer runs on in deep sleep (ARAT)"
    return "no ARAT: the LAPIC timer may stop in deep sleep"


def _structured(facts: CpuidFacts) -> str:
    return "TSC_ADJUST (MSR 0x3b)" if facts.tsc_adjust else "no TSC_ADJUST"


def _crystal(facts: CpuidFacts) -> str:
    crystal = facts.crystal
    if crystal is None:
        return ""
    ratio = f"{crystal.numerator}/{crystal.denominator}"
    if crystal.tsc_hz is None:
        return f"TSC = crystal × {ratio}, but the crystal's rate is not told"
    return f"TSC {crystal.tsc_hz:,} Hz = crystal {crystal.crystal_hz:,} Hz × {ratio}"


def _mhz(facts: CpuidFacts) -> str:
    if facts.mhz is None:
        return ""
    base, most, bus = facts.mhz.base_mhz, facts.mhz.most_mhz, facts.mhz.bus_mhz
    return f"base {base:,} MHz, most {most:,} MHz, bus {bus:,} MHz (nominal)"


def _timing(facts: CpuidFacts) -> str:
    if facts.timing is None:
        return ""
    apic = f"{facts.timing.apic_khz:,} kHz" if facts.timing.apic_khz else "not told"
    return f"TSC {facts.timing.tsc_khz:,} kHz, LAPIC timer {apic}"


def _extended(facts: CpuidFacts) -> str:
    return "RDTSCP" if facts.rdtscp else "no RDTSCP"


def _brand(facts: CpuidFacts) -> str:
    if facts.brand_hz is None:
        return f"{facts.brand!r}, which names no frequency"
    return f"{facts.brand!r}: {facts.brand_hz:,} Hz (nominal)"


def _management(facts: CpuidFacts) -> str:
    if facts.invariant_tsc:
        return "invariant TSC: one rate in all states of the CPU"
    return "the TSC is not said to be invariant"


#: Leaves that get a note in any case, and who writes it.
_WRITERS: Mapping[int, Callable[[CpuidFacts], str]] = {
    Leaf.BASIC_LIMIT: _limit,
    Leaf.FEATURES: _features,
    Leaf.THERMAL_AND_POWER: _power,
    Leaf.STRUCTURED_FEATURES: _structured,
    Leaf.TSC_CRYSTAL: _crystal,
    Leaf.PROCESSOR_MHZ: _mhz,
    Leaf.TIMING: _timing,
    Leaf.EXTENDED_FEATURES: _extended,
    Leaf.BRAND_1: _brand,
    Leaf.POWER_MANAGEMENT: _management,
}


def _hypervisor_words(facts: CpuidFacts, base: int, limit: int) -> Iterator[tuple[int, str]]:
    found = next(r for r in facts.hypervisors if r.base == base)
    yield base, f"{found.name} ({found.signature!r}), leaves to {limit:#x}"
    if found.signature == numbers.KVM and facts.kvm:
        yield base + 1, _flags(facts.kvm.features, KVM_CLOCK_FEATURES) or "no clock of KVM's"
    elif found.signature == numbers.XEN and facts.xen:
        yield base + 3, _xen(facts)
    elif found.signature == numbers.HYPERV and facts.hyperv:
        yield base + 3, _flags(facts.hyperv.access, HYPERV_ACCESS) or "no clock of Hyper-V's"


def _xen(facts: CpuidFacts) -> str:
    assert facts.xen is not None
    mode = XEN_TSC_MODES.get(facts.xen.mode, f"mode {facts.xen.mode}")
    rate = f"TSC {facts.xen.tsc_khz:,} kHz" if facts.xen.tsc_khz else "TSC rate not told"
    flags = _flags(facts.xen.flags, XEN_TIME_FLAGS)
    return "; ".join(part for part in (rate, mode, flags) if part)


def _flags(value: IntFlag, words: Mapping[IntFlag, str] | Mapping[KvmFeature, str]
           | Mapping[XenTimeFlag, str] | Mapping[HyperVAccess, str]) -> str:  # fmt: skip
    return ", ".join(text for flag, text in words.items() if flag & value)


def _yes_and_no(known: Mapping[str, bool]) -> str:
    """``TSC, LAPIC; no x2APIC``: what is there, then what is not."""
    there = ", ".join(name for name, present in known.items() if present)
    missing = ", ".join(f"no {name}" for name, present in known.items() if not present)
    return "; ".join(part for part in (there, missing) if part)
