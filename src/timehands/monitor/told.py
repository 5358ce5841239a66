"""What CPUID tells a guest of its clocks, made from what KVM supports and from the settings.

What it tells of processors is in `topology`.

Sources: Linux Documentation/virt/kvm/x86/cpuid.rst (0x40000000, 0x40000001); VMware knowledge base
1009458 (0x40000010: EAX TSC kHz, EBX LAPIC bus kHz); Intel SDM volume 2A, CPUID 0x15 (EBX / EAX
times ECX Hz); Linux arch/x86/kernel/tsc.c, native_calibrate_tsc, takes 0x15's crystal for the LAPIC
timer's clock and multiplies in 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import Extended7Edx, Leaf, Leaf1Ecx, Leaf7Ebx
from timehands.errors import MachineError
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import CpuidFlags
from timehands.monitor.settings import Clocks, Maker, Published
from timehands.monitor.topology import Place

SIGNATURE = (0x4B4D_564B, 0x564B_4D56, 0x4D)
CLOCKSOURCE, CLOCKSOURCE2, STABLE = 1 << 0, 1 << 3, 1 << 24
_CLOCK_FEATURES = CLOCKSOURCE | CLOCKSOURCE2 | STABLE
_KHZ_FROM_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Hidden:
    """Bits of an answer that KVM has and the guest is not told of.

    For features that a KVM announces and cannot do, such as CX16 where it has to emulate.
    ``register``: ``eax``, ``ebx``, ``ecx``, or ``edx``.
    """

    leaf: int
    register: str
    bits: int
    subleaf: int = 0

    def __post_init__(self) -> None:
        if self.register not in Registers._fields:
            raise MachineError(f"CPUID has no register {self.register}: eax, ebx, ecx, edx")

    def shows(self, entry: CpuidEntry) -> bool:
        """Whether it is the answer, and has any of these bits."""
        is_it = (entry.leaf, entry.subleaf) == (self.leaf, self.subleaf)
        return is_it and bool(getattr(entry.registers, self.register) & self.bits)

    def of(self, entry: CpuidEntry) -> CpuidEntry:
        """The answer without these bits, if it is the one."""
        if not self.shows(entry):
            return entry
        left = getattr(entry.registers, self.register) & ~int(self.bits)  # of a flag, ~ is less
        return replace(entry, registers=entry.registers._replace(**{self.register: left}))


#: CMPXCHG16B: a KVM that emulates it stops the guest (arch/x86/kvm/emulate.c, em_cmpxchg8b).
CX16 = Hidden(Leaf.FEATURES, "ecx", 1 << 13)

#: IA32_TSC_ADJUST, where KVM cannot move the TSC.
TSC_ADJUST = Hidden(Leaf.STRUCTURED_FEATURES, "ebx", Leaf7Ebx.TSC_ADJUST)


def without(entries: Iterable[CpuidEntry], hidden: Iterable[Hidden]) -> tuple[CpuidEntry, ...]:
    """The answers without what is hidden."""
    kept = tuple(entries)
    for each in hidden:
        kept = tuple(each.of(entry) for entry in kept)
    return kept


def without_leaves(
    answers: Iterable[CpuidEntry], found: Iterable[CpuidEntry], hidden: Iterable[Hidden]
) -> tuple[CpuidEntry, ...] | None:
    """The answers without the leaves that show what is hidden in ``found``, what a guest finds.

    There are KVMs that answer leaf 7 as the host does, whatever they are told: all that they leave
    is to have none. Leaves 0 and 1 stay, since no guest can do without. None: nothing shows.
    """
    seen = tuple(found)
    leaves = {each.leaf for each in hidden if any(each.shows(entry) for entry in seen)}
    leaves -= {Leaf.BASIC_LIMIT, Leaf.FEATURES}
    return tuple(entry for entry in answers if entry.leaf not in leaves) if leaves else None


def told(
    supported: Iterable[CpuidEntry], clocks: Clocks, *, tsc_khz: int, vcpu: int, vcpus: int
) -> tuple[CpuidEntry, ...]:
    """The answers for one vCPU. ``tsc_khz`` is the true rate of its TSC.

    ``clocks.tsc_deadline`` None leaves the bit as ``supported`` has it.
    """
    kept = {(e.leaf, e.subleaf): e for e in supported if e.leaf >> 28 != 4}
    features = next((e.registers.eax for e in supported if e.leaf == Leaf.HYPERVISOR_FEATURES), 0)
    said_khz = clocks.told_tsc_khz or tsc_khz
    for entry in (
        *_hypervisor(clocks, features, said_khz),
        *_crystal(clocks, kept, said_khz),
        *_invariant(clocks, kept),
    ):
        kept[entry.leaf, entry.subleaf] = entry
    place = Place(vcpu, vcpus)
    everything = (*kept.values(), *place.missing(kept))
    return tuple(_placed(_flags_told(entry, clocks), place) for entry in everything)


def _placed(entry: CpuidEntry, place: Place) -> CpuidEntry:
    """Most answers are the same for all vCPUs: those stay what they are, which takes no time."""
    registers = place.told(entry)
    return entry if registers is entry.registers else replace(entry, registers=registers)


def _hypervisor(clocks: Clocks, features: int, tsc_khz: int) -> Iterable[CpuidEntry]:
    timing = Published.TIMING in clocks.published
    limit = Leaf.TIMING if timing else Leaf.HYPERVISOR_FEATURES
    yield _entry(Leaf.HYPERVISOR_LIMIT, limit, *SIGNATURE)
    yield _entry(Leaf.HYPERVISOR_FEATURES, _features(clocks, features), 0, 0, 0)
    if timing:
        # All leaves up to the limit are there: what is not would read as another leaf's data.
        for leaf in range(Leaf.HYPERVISOR_FEATURES + 1, Leaf.TIMING):
            yield _entry(leaf, 0, 0, 0, 0)
        yield _entry(Leaf.TIMING, tsc_khz, _KHZ_FROM_NS // clocks.apic_bus_ns, 0, 0)


def _features(clocks: Clocks, supported: int) -> int:
    if clocks.pvclock is Maker.KVM:
        return supported
    others = supported & ~_CLOCK_FEATURES
    if clocks.pvclock is Maker.NONE:
        return others
    return others | CLOCKSOURCE | CLOCKSOURCE2 | (STABLE if clocks.stable else 0)


def _crystal(
    clocks: Clocks, kept: Mapping[tuple[int, int], CpuidEntry], tsc_khz: int
) -> Iterable[CpuidEntry]:
    if Published.CRYSTAL not in clocks.published:
        yield _entry(Leaf.TSC_CRYSTAL, 0, 0, 0, 0)
        return
    yield _reaching(kept, Leaf.BASIC_LIMIT, Leaf.TSC_CRYSTAL)
    crystal_khz = _KHZ_FROM_NS // clocks.apic_bus_ns
    numerator, denominator = ratio(tsc_khz, crystal_khz)
    yield _entry(Leaf.TSC_CRYSTAL, denominator, numerator, crystal_khz * 1000, 0)


def ratio(tsc_khz: int, crystal_khz: int) -> tuple[int, int]:
    """TSC to crystal, as numerator and denominator: the best that times the crystal fit 32 bits."""
    most = (2**32 - 1) // crystal_khz
    inverse = Fraction(crystal_khz, tsc_khz).limit_denominator(most)
    return inverse.denominator, inverse.numerator


def _invariant(clocks: Clocks, kept: Mapping[tuple[int, int], CpuidEntry]) -> Iterable[CpuidEntry]:
    """The leaf with the flag, where it is to be set and KVM has no such leaf."""
    if clocks.invariant_tsc and (Leaf.POWER_MANAGEMENT, 0) not in kept:
        yield _reaching(kept, Leaf.EXTENDED_LIMIT, Leaf.POWER_MANAGEMENT)
        yield _entry(Leaf.POWER_MANAGEMENT, 0, 0, 0, 0)


def _reaching(kept: Mapping[tuple[int, int], CpuidEntry], limit: Leaf, highest: Leaf) -> CpuidEntry:
    """The leaf that tells a range's limit, such that the range reaches to ``highest``."""
    entry = kept.get((limit, 0), _entry(limit, 0, 0, 0, 0))
    registers = entry.registers
    return replace(entry, registers=registers._replace(eax=max(registers.eax, highest)))


def _flags_told(entry: CpuidEntry, clocks: Clocks) -> CpuidEntry:
    r = entry.registers
    if entry.leaf == Leaf.FEATURES:
        ecx = _with(r.ecx | Leaf1Ecx.HYPERVISOR, Leaf1Ecx.TSC_DEADLINE, clocks.tsc_deadline)
        return replace(entry, registers=r._replace(ecx=ecx))
    if entry.leaf == Leaf.POWER_MANAGEMENT:
        edx = _with(r.edx, Extended7Edx.INVARIANT_TSC, clocks.invariant_tsc)
        return replace(entry, registers=r._replace(edx=edx))
    return entry


def _with(value: int, bit: int, wanted: bool | None) -> int:
    if wanted is None:
        return value
    return value | bit if wanted else value & ~bit


def _entry(leaf: int, eax: int, ebx: int, ecx: int, edx: int) -> CpuidEntry:
    return CpuidEntry(int(leaf), 0, CpuidFlags(0), Registers(int(eax), ebx, ecx, edx))
