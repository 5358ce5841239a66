"""What CPUID says, and is not so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import Leaf
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import OURS, Mutant
from timehands.errors import HostError
from timehands.kvm import Kvm
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import Capability, CpuidFlags
from timehands.monitor.microvm import Microvm
from timehands.monitor.settings import Maker
from timehands.monitor.told import CLOCKSOURCE, CLOCKSOURCE2, STABLE

_BRANDS = (Leaf.BRAND_1, Leaf.BRAND_2, Leaf.BRAND_3)
_GARBLED = 0xFFFFFFFF
Change = Callable[[Microvm, Registers], Registers]


def _answers(*changes: tuple[Leaf, Change]) -> Bend:
    """All vCPUs' answers of these leaves are others."""

    def bend(guest: Microvm) -> None:
        for vcpu in guest.vcpus:
            kept = {(entry.leaf, entry.subleaf): entry for entry in vcpu.cpuid()}
            for leaf, change in changes:
                nothing = CpuidEntry(leaf, 0, CpuidFlags(0), Registers(0, 0, 0, 0))
                entry = kept.get((leaf, 0), nothing)
                kept[leaf, 0] = replace(entry, registers=change(guest, entry.registers))
            vcpu.set_cpuid(kept.values())

    return bend


def _brand(part: int) -> Change:
    """A third of a brand string with a frequency that is half of the truth."""

    def change(guest: Microvm, _registers: Registers) -> Registers:
        text = f"Made-up Processor @ {guest.tsc_khz / 2e6:.2f}GHz".encode().ljust(48, b"\0")
        return Registers(*struct.unpack_from("<4I", text, 16 * part))

    return change


def _bus_lacking() -> str:
    try:
        with Kvm() as kvm:
            if kvm.has(Capability.X86_APIC_BUS_CYCLES_NS):
                return ""
    except HostError as error:
        return error.message
    return "KVM_CAP_X86_APIC_BUS_CYCLES_NS"


MUTANTS = (
    Mutant(
        "signature-garbled",
        "the leaf of the signature holds no letters",
        "discovery.signature",
        _answers((Leaf.HYPERVISOR_LIMIT, lambda _g, r: r._replace(ebx=_GARBLED, ecx=_GARBLED))),
    ),
    Mutant(
        "pvclock-announced-only",
        "CPUID announces pvclock, and its MSRs fault",
        "discovery.features",
        _answers(
            (
                Leaf.HYPERVISOR_FEATURES,
                lambda _g, r: r._replace(eax=r.eax | CLOCKSOURCE | CLOCKSOURCE2 | STABLE),
            )
        ),
        clocks=replace(OURS, pvclock=Maker.NONE),
    ),
    Mutant(
        "told-tsc-1-percent-off",
        "leaf 0x40000010 tells a TSC that is 1 % faster",
        "discovery.timing",
        _answers((Leaf.TIMING, lambda g, r: r._replace(eax=g.tsc_khz * 101 // 100))),
        "leaves made for another host (Bochs#792)",
    ),
    Mutant(
        "told-lapic-of-silicon",
        "leaf 0x40000010 tells the LAPIC timer of a real processor: 24 MHz",
        "discovery.timing_lapic",
        _answers((Leaf.TIMING, lambda _g, r: r._replace(ebx=24_000))),
        "Bochs#792 (leaves copied from real silicon)",
    ),
    Mutant(
        "lapic-at-half-rate",
        "the LAPIC timer runs at half of the rate that is told",
        "discovery.timing_lapic",
        _answers((Leaf.TIMING, lambda _g, r: r._replace(ebx=r.ebx * 2))),
        clocks=replace(OURS, apic_bus_ns=2),
        lacking=_bus_lacking,
    ),
    Mutant(
        "crystal-of-silicon",
        "leaf 0x15 has the ratio for another crystal than the one that it tells",
        "discovery.crystal",
        _answers((Leaf.TSC_CRYSTAL, lambda _g, r: r._replace(ecx=24_000_000))),
        "Bochs#792 (leaves copied from real silicon)",
    ),
    Mutant(
        "processor-of-another-host",
        "leaf 0x16 tells a processor of half the rate",
        "discovery.processor",
        _answers((Leaf.PROCESSOR_MHZ, lambda g, r: r._replace(eax=g.tsc_khz // 2000))),
    ),
    Mutant(
        "brand-of-another-host",
        "the brand string tells half the rate",
        "discovery.brand",
        _answers(*((leaf, _brand(part)) for part, leaf in enumerate(_BRANDS))),
    ),
)
