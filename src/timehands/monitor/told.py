"""What CPUID tells a guest of its clocks, made from what KVM supports and from the settings.

Sources: Linux Documentation/virt/kvm/x86/cpuid.rst (0x40000000, 0x40000001); VMware knowledge base
1009458 (0x40000010: EAX TSC kHz, EBX LAPIC bus kHz); Intel SDM volume 2A, CPUID 0x15 (EBX / EAX
times ECX Hz); leaf 1 EBX bits 31 to 24 and leaf 0xB EDX: the LAPIC id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import Extended7Edx, Leaf, Leaf1Ecx
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import CpuidFlags
from timehands.monitor.settings import Clocks, Maker, Published

SIGNATURE = (0x4B4D_564B, 0x564B_4D56, 0x4D)
CLOCKSOURCE, CLOCKSOURCE2, STABLE = 1 << 0, 1 << 3, 1 << 24
_CLOCK_FEATURES = CLOCKSOURCE | CLOCKSOURCE2 | STABLE
#: One tick of the crystal in each ns: 0x15 then gives the TSC exactly to 1 kHz.
_CRYSTAL_HZ = 1_000_000
_TOPOLOGY = 0xB
_APIC_ID_SHIFT = 24


def told(
    supported: Iterable[CpuidEntry], clocks: Clocks, *, tsc_khz: int, vcpu: int, vcpus: int
) -> tuple[CpuidEntry, ...]:
    """The answers for one vCPU. ``tsc_khz`` is the true rate of its TSC."""
    kept = {(e.leaf, e.subleaf): e for e in supported if e.leaf >> 28 != 4}
    features = next((e.registers.eax for e in supported if e.leaf == Leaf.HYPERVISOR_FEATURES), 0)
    said_khz = clocks.told_tsc_khz or tsc_khz
    for entry in (*_hypervisor(clocks, features, said_khz), *_crystal(clocks, kept, said_khz)):
        kept[entry.leaf, entry.subleaf] = entry
    for key, entry in kept.items():
        kept[key] = replace(entry, registers=_of_vcpu(entry, clocks, vcpu, vcpus))
    return tuple(kept.values())


def _hypervisor(clocks: Clocks, features: int, tsc_khz: int) -> Iterable[CpuidEntry]:
    timing = Published.TIMING in clocks.published
    limit = Leaf.TIMING if timing else Leaf.HYPERVISOR_FEATURES
    yield _entry(Leaf.HYPERVISOR_LIMIT, limit, *SIGNATURE)
    yield _entry(Leaf.HYPERVISOR_FEATURES, _features(clocks, features), 0, 0, 0)
    if timing:
        # All leaves up to the limit are there: what is not would read as another leaf's data.
        for leaf in range(Leaf.HYPERVISOR_FEATURES + 1, Leaf.TIMING):
            yield _entry(leaf, 0, 0, 0, 0)
        yield _entry(Leaf.TIMING, tsc_khz, 1_000_000 // clocks.apic_bus_ns, 0, 0)


def _features(clocks: Clocks, supported: int) -> int:
    if clocks.pvclock is Maker.KVM:
        return supported
    others = supported & ~_CLOCK_FEATURES
    if clocks.pvclock is Maker.NONE:
        return others
    return others | CLOCKSOURCE | CLOCKSOURCE2 | (STABLE if clocks.stable else 0)


def _crystal(
    clocks: Clocks, kept: dict[tuple[int, int], CpuidEntry], tsc_khz: int
) -> Iterable[CpuidEntry]:
    if Published.CRYSTAL not in clocks.published:
        yield _entry(Leaf.TSC_CRYSTAL, 0, 0, 0, 0)
        return
    limit = kept[Leaf.BASIC_LIMIT, 0]
    highest = max(limit.registers.eax, Leaf.TSC_CRYSTAL)
    yield replace(limit, registers=limit.registers._replace(eax=highest))
    yield _entry(Leaf.TSC_CRYSTAL, 1_000, tsc_khz, _CRYSTAL_HZ, 0)


def _of_vcpu(entry: CpuidEntry, clocks: Clocks, vcpu: int, vcpus: int) -> Registers:
    r = entry.registers
    if entry.leaf == Leaf.FEATURES:
        count = min(vcpus, 255) << 16
        r = r._replace(ebx=(r.ebx & 0xFFFF) | count | vcpu << _APIC_ID_SHIFT)
        ecx = r.ecx | Leaf1Ecx.HYPERVISOR
        return r._replace(ecx=_with(ecx, Leaf1Ecx.TSC_DEADLINE, clocks.tsc_deadline))
    if entry.leaf == Leaf.POWER_MANAGEMENT:
        return r._replace(edx=_with(r.edx, Extended7Edx.INVARIANT_TSC, clocks.invariant_tsc))
    if entry.leaf == _TOPOLOGY:
        return r._replace(edx=vcpu)
    return r


def _with(value: int, bit: int, wanted: bool | None) -> int:
    if wanted is None:
        return value
    return value | bit if wanted else value & ~bit


def _entry(leaf: int, eax: int, ebx: int, ecx: int, edx: int) -> CpuidEntry:
    return CpuidEntry(int(leaf), 0, CpuidFlags(0), Registers(int(eax), ebx, ecx, edx))
