"""How registers of CPUID are laid out: plain values, each with the rule that makes it.

Every frequency is an integer; the unit is in the name. Nothing here asks whether a leaf may be
believed: that is `timehands.clocks.cpuid.table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from timehands.clocks.cpuid.numbers import (
    HYPERVISOR_NAMES,
    HyperVAccess,
    HyperVFeature,
    KvmFeature,
    KvmHint,
    XenTimeFlag,
)


class Registers(NamedTuple):
    """The answer of one CPUID instruction: four unsigned 32-bit registers."""

    eax: int
    ebx: int
    ecx: int
    edx: int

    def __str__(self) -> str:
        return (
            f"eax={self.eax:#010x} ebx={self.ebx:#010x} ecx={self.ecx:#010x} edx={self.edx:#010x}"
        )


NOTHING = Registers(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Identity:
    """Leaf 0x1 EAX: family, model and stepping as Linux computes them.

    Source: arch/x86/lib/cpu.c, x86_family, x86_model, x86_stepping.
    """

    family: int
    model: int
    stepping: int

    @classmethod
    def from_signature(cls, eax: int) -> Self:
        """The identity from the processor signature."""
        family = eax >> 8 & 0xF
        model = eax >> 4 & 0xF
        if family == 0xF:
            family += eax >> 20 & 0xFF
        if family >= 6:
            model += (eax >> 16 & 0xF) << 4
        return cls(family, model, eax & 0xF)


@dataclass(frozen=True, slots=True)
class HypervisorRange:
    """One range of hypervisor leaves: where it begins, its highest leaf, whose it is."""

    base: int
    limit: int
    signature: str

    @property
    def name(self) -> str:
        """The product, or the signature in quotes when it is not a known one."""
        return HYPERVISOR_NAMES.get(self.signature, repr(self.signature))


@dataclass(frozen=True, slots=True)
class TscCrystal:
    """Leaf 0x15: TSC frequency = crystal * numerator / denominator. Zero is "not told"."""

    denominator: int
    numerator: int
    crystal_hz: int

    @property
    def tsc_hz(self) -> int | None:
        """The TSC frequency, rounded down, or None when a part of it is not told."""
        if not (self.denominator and self.numerator and self.crystal_hz):
            return None
        return self.crystal_hz * self.numerator // self.denominator

    @classmethod
    def from_registers(cls, registers: Registers) -> Self:
        """EAX, EBX, ECX."""
        return cls(registers.eax, registers.ebx, registers.ecx)


@dataclass(frozen=True, slots=True)
class ProcessorMhz:
    """Leaf 0x16: nominal frequencies in MHz (a label, up to 1 % from the truth). Zero: not told."""

    base_mhz: int
    most_mhz: int
    bus_mhz: int

    @classmethod
    def from_registers(cls, registers: Registers) -> Self:
        """The low 16 bits of EAX, EBX, ECX; the others are reserved."""
        return cls(registers.eax & 0xFFFF, registers.ebx & 0xFFFF, registers.ecx & 0xFFFF)


@dataclass(frozen=True, slots=True)
class Timing:
    """Leaf 0x40000010: the frequencies of the TSC and of the LAPIC timer, in kHz."""

    tsc_khz: int
    apic_khz: int

    @classmethod
    def from_registers(cls, registers: Registers) -> Self:
        """EAX and EBX."""
        return cls(registers.eax, registers.ebx)


@dataclass(frozen=True, slots=True)
class KvmClock:
    """KVM's leaf base + 1: the features and hints."""

    features: KvmFeature
    hints: KvmHint

    @property
    def offers_pvclock(self) -> bool:
        """Whether a guest may use kvmclock, by the new MSRs or the old ones."""
        return bool(self.features & (KvmFeature.CLOCKSOURCE | KvmFeature.CLOCKSOURCE2))

    @property
    def stable(self) -> bool:
        """Whether kvmclock can be the same on all vCPUs (then the record's flag bit 0 counts)."""
        return bool(self.features & KvmFeature.CLOCKSOURCE_STABLE)

    @classmethod
    def from_registers(cls, registers: Registers) -> Self:
        """EAX and EDX."""
        return cls(KvmFeature(registers.eax), KvmHint(registers.edx))


@dataclass(frozen=True, slots=True)
class XenTime:
    """Xen's leaf base + 3: how the TSC is presented, its rate and its scale.

    ``offset``, ``mul`` and ``shift`` (subleaf 1) and ``host_tsc_khz`` (subleaf 2) are None when
    the table has no such subleaf.
    """

    flags: XenTimeFlag
    mode: int
    tsc_khz: int
    incarnation: int
    offset: int | None
    mul: int | None
    shift: int | None
    host_tsc_khz: int | None

    @classmethod
    def from_registers(
        cls, first: Registers, second: Registers | None, third: Registers | None
    ) -> Self:
        """Subleaves 0, 1 and 2."""
        return cls(
            flags=XenTimeFlag(first.eax),
            mode=first.ebx,
            tsc_khz=first.ecx,
            incarnation=first.edx,
            offset=second.ebx << 32 | second.eax if second else None,
            mul=second.ecx if second else None,
            shift=_signed_byte(second.edx) if second else None,
            host_tsc_khz=third.eax if third else None,
        )


@dataclass(frozen=True, slots=True)
class HyperVTime:
    """Hyper-V's leaf 0x40000003: the clocks that the partition may use."""

    access: HyperVAccess
    features: HyperVFeature

    @property
    def tells_frequencies(self) -> bool:
        """Whether MSR 0x40000022 (TSC) and 0x40000023 (APIC) may be read, in Hz.

        Source: Linux arch/x86/kernel/cpu/mshyperv.c, ms_hyperv_init_platform.
        """
        return bool(
            self.access & HyperVAccess.FREQUENCY_MSRS
            and self.features & HyperVFeature.FREQUENCY_MSRS
        )

    @classmethod
    def from_registers(cls, registers: Registers) -> Self:
        """EAX and EDX."""
        return cls(HyperVAccess(registers.eax), HyperVFeature(registers.edx))


def _signed_byte(value: int) -> int:
    byte = value & 0xFF
    return byte - 0x100 if byte >= 0x80 else byte
