"""What a CPUID table says about clocks, as one value. A leaf above its range's limit says nothing.

``decode(table).tsc_hz`` is the short answer: the TSC's frequency if some leaf tells it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from timehands.clocks.cpuid import numbers
from timehands.clocks.cpuid.layouts import (
    NOTHING,
    HypervisorRange,
    HyperVTime,
    Identity,
    KvmClock,
    ProcessorMhz,
    Timing,
    TscCrystal,
    XenTime,
)
from timehands.clocks.cpuid.numbers import Leaf
from timehands.clocks.cpuid.table import CpuidTable

#: Below these, what calls itself a frequency is another leaf's data.
LEAST_TSC_KHZ = 100_000
LEAST_APIC_KHZ = 1_000
_BRAND_FREQUENCY = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))? ?([MGT])Hz", re.ASCII)
_UNIT_HZ = {"M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class TscSource:
    """A place that tells the TSC's frequency. ``exact``: made to be relied on, not a label."""

    name: str
    hz: int
    exact: bool


@dataclass(frozen=True, slots=True)
class CpuidFacts:
    """What a CPU says about its clocks.

    A leaf that is absent or not to be believed is None; `doubts` says why for the leaves that
    could have told a frequency.
    """

    vendor: str
    brand: str
    identity: Identity
    tsc: bool
    apic: bool
    x2apic: bool
    tsc_deadline: bool
    tsc_adjust: bool
    rdtscp: bool
    arat: bool
    invariant_tsc: bool
    hypervisor: bool
    hypervisors: tuple[HypervisorRange, ...]
    crystal: TscCrystal | None
    mhz: ProcessorMhz | None
    timing: Timing | None
    kvm: KvmClock | None
    xen: XenTime | None
    hyperv: HyperVTime | None
    brand_hz: int | None
    doubts: tuple[tuple[int, str], ...]

    @property
    def tsc_sources(self) -> tuple[TscSource, ...]:
        """Every place that tells the TSC's frequency, the ones to rely on first.

        Where leaf 0x15 has a ratio but no crystal, Linux takes leaf 0x16's base frequency for the
        TSC's own (arch/x86/kernel/tsc.c, native_calibrate_tsc); it is listed as a label.
        """
        found = [
            ("leaf 0x40000010", self.timing and self.timing.tsc_khz * 1000, True),
            ("leaf 0x15", self.crystal and self.crystal.tsc_hz, True),
            ("Xen's time leaf", self.xen and self.xen.tsc_khz * 1000, True),
            ("leaf 0x16", self.mhz and self.mhz.base_mhz * 10**6, False),
            ("the brand string", self.brand_hz, False),
        ]
        return tuple(TscSource(name, hz, exact) for name, hz, exact in found if hz)

    @property
    def tsc_hz(self) -> int | None:
        """The TSC's frequency in Hz, if a leaf that is made to be relied on tells it."""
        return next((source.hz for source in self.tsc_sources if source.exact), None)

    @property
    def apic_hz(self) -> int | None:
        """The LAPIC timer's frequency before division, if told: 0x40000010, else the crystal's."""
        if self.timing and self.timing.apic_khz:
            return self.timing.apic_khz * 1000
        return self.crystal.crystal_hz if self.crystal and self.crystal.crystal_hz else None

    def doubt(self, leaf: int) -> str:
        """Why this leaf tells nothing; empty when it tells something or was not asked for."""
        return dict(self.doubts).get(leaf, "")

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON types. There is no way back: keep the table, and decode it again."""
        data = asdict(self)
        data["kvm"] = self.kvm and {
            "features": _names(self.kvm.features),
            "hints": _names(self.kvm.hints),
        }
        data["xen"] = self.xen and {**asdict(self.xen), "flags": _names(self.xen.flags)}
        data["hyperv"] = self.hyperv and {
            "access": _names(self.hyperv.access),
            "features": _names(self.hyperv.features),
        }
        data["doubts"] = {f"{leaf:#x}": reason for leaf, reason in self.doubts}
        data["tsc_sources"] = [asdict(source) for source in self.tsc_sources]
        return {**data, "tsc_hz": self.tsc_hz, "apic_hz": self.apic_hz}

    @classmethod
    def decode(cls, table: CpuidTable) -> Self:
        """The facts of a table. Never fails: an empty table makes empty facts."""
        features = table.leaf(Leaf.FEATURES) or NOTHING
        power = table.leaf(Leaf.POWER_MANAGEMENT) or NOTHING
        brand = brand_string(table)
        crystal, no_crystal = _crystal(table)
        timing, no_timing = _timing(table)
        mhz, no_mhz = _mhz(table)
        doubts = {
            Leaf.TSC_CRYSTAL: no_crystal,
            Leaf.PROCESSOR_MHZ: no_mhz,
            Leaf.TIMING: no_timing,
        }
        return cls(
            vendor=vendor_string(table),
            brand=brand,
            identity=Identity.from_signature(features.eax),
            tsc=bool(features.edx & numbers.Leaf1Edx.TSC),
            apic=bool(features.edx & numbers.Leaf1Edx.APIC),
            x2apic=bool(features.ecx & numbers.Leaf1Ecx.X2APIC),
            tsc_deadline=bool(features.ecx & numbers.Leaf1Ecx.TSC_DEADLINE),
            tsc_adjust=_bit(table, Leaf.STRUCTURED_FEATURES, 1, numbers.Leaf7Ebx.TSC_ADJUST),
            rdtscp=_bit(table, Leaf.EXTENDED_FEATURES, 3, numbers.Extended1Edx.RDTSCP),
            arat=_bit(table, Leaf.THERMAL_AND_POWER, 0, numbers.Leaf6Eax.ARAT),
            invariant_tsc=bool(power.edx & numbers.Extended7Edx.INVARIANT_TSC),
            hypervisor=table.says_hypervisor,
            hypervisors=table.hypervisors,
            crystal=crystal,
            mhz=mhz,
            timing=timing,
            kvm=_kvm(table),
            xen=_xen(table),
            hyperv=_hyperv(table),
            brand_hz=brand_frequency(brand),
            doubts=tuple((int(leaf), reason) for leaf, reason in doubts.items() if reason),
        )


def decode(table: CpuidTable) -> CpuidFacts:
    """What the table says about clocks."""
    return CpuidFacts.decode(table)


def vendor_string(table: CpuidTable) -> str:
    """Leaf 0x0: EBX, EDX, ECX, in this order (``GenuineIntel``, ``AuthenticAMD``)."""
    registers = table.leaf(Leaf.BASIC_LIMIT) or NOTHING
    return _text(registers.ebx, registers.edx, registers.ecx)


def brand_string(table: CpuidTable) -> str:
    """Leaves 0x80000002 to 0x80000004, or empty when one of them is missing."""
    parts = [table.leaf(leaf) for leaf in (Leaf.BRAND_1, Leaf.BRAND_2, Leaf.BRAND_3)]
    return _text(*(word for part in parts if part for word in part)) if all(parts) else ""


def brand_frequency(brand: str) -> int | None:
    """The frequency at the end of a brand string in Hz (``@ 2.40GHz``), or None without one.

    A label of the base frequency: Intel SDM volume 2A, CPUID, "The Processor Brand String Method".
    """
    found = list(_BRAND_FREQUENCY.finditer(brand))
    if not found:
        return None
    whole, part, unit = found[-1].groups()
    digits = part or ""
    return int(whole + digits) * _UNIT_HZ[unit] // 10 ** len(digits) or None


def _crystal(table: CpuidTable) -> tuple[TscCrystal | None, str]:
    registers = table.leaf(Leaf.TSC_CRYSTAL)
    if registers is None:
        return None, table.doubt(Leaf.TSC_CRYSTAL)
    crystal = TscCrystal.from_registers(registers)
    if not (crystal.denominator and crystal.numerator):
        return None, "zero: the CPU does not tell the ratio"
    return crystal, "" if crystal.crystal_hz else "the ratio is told, but not the crystal's rate"


def _mhz(table: CpuidTable) -> tuple[ProcessorMhz | None, str]:
    registers = table.leaf(Leaf.PROCESSOR_MHZ)
    if registers is None:
        return None, table.doubt(Leaf.PROCESSOR_MHZ)
    mhz = ProcessorMhz.from_registers(registers)
    return (mhz, "") if mhz.base_mhz else (None, "zero: the CPU does not tell its frequency")


def _timing(table: CpuidTable) -> tuple[Timing | None, str]:
    registers = table.leaf(Leaf.TIMING)
    if registers is None:
        return None, table.doubt(Leaf.TIMING)
    owner = table.hypervisors[0]
    if owner.signature in (numbers.HYPERV, numbers.XEN):
        return None, f"{owner.name} has no timing leaf here"
    timing = Timing.from_registers(registers)
    if timing.tsc_khz == 0:
        return None, "zero: the hypervisor does not tell the TSC's frequency"
    if timing.tsc_khz < LEAST_TSC_KHZ:
        return None, f"{timing.tsc_khz:,} kHz is no frequency of a TSC"
    if 0 < timing.apic_khz < LEAST_APIC_KHZ:
        return None, f"{timing.apic_khz:,} kHz is no frequency of a LAPIC timer"
    return timing, ""


def _kvm(table: CpuidTable) -> KvmClock | None:
    base = _base_of(table, numbers.KVM)
    registers = None if base is None else table.leaf(base + 1)
    return KvmClock.from_registers(registers) if registers else None


def _xen(table: CpuidTable) -> XenTime | None:
    base = _base_of(table, numbers.XEN)
    first = None if base is None else table.leaf(base + 3)
    if base is None or first is None:
        return None
    return XenTime.from_registers(first, table.leaf(base + 3, 1), table.leaf(base + 3, 2))


def _hyperv(table: CpuidTable) -> HyperVTime | None:
    if _base_of(table, numbers.HYPERV) != Leaf.HYPERVISOR_LIMIT:
        return None
    interface = table.leaf(Leaf.HYPERVISOR_FEATURES) or NOTHING
    registers = table.leaf(Leaf.HYPERVISOR_TIME)
    if registers is None or interface.eax != numbers.HYPERV_INTERFACE:
        return None
    return HyperVTime.from_registers(registers)


def _base_of(table: CpuidTable, signature: str) -> int | None:
    return next((r.base for r in table.hypervisors if r.signature == signature), None)


def _bit(table: CpuidTable, leaf: int, register: int, mask: int) -> bool:
    registers = table.leaf(leaf)
    return bool(registers and registers[register] & mask)


def _text(*words: int) -> str:
    raw = b"".join(word.to_bytes(4, "little") for word in words).split(b"\0", 1)[0]
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else "?" for byte in raw).strip()


def _names(flags: Any) -> list[str]:
    """The names of the bits that are set, in the order of the bits."""
    return [str(flag.name).lower() for flag in type(flags) if flag & flags]
