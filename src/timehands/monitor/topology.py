"""What CPUID tells a guest of its processors: each vCPU is a core of its own in the one package.

KVM answers with the host's topology, which the guest does not have. Sources: Intel SDM volume 2A,
CPUID (leaves 1, 4, 0xB, 0x1F); AMD APM volume 3, E.4 (0x80000008 ECX, 0x8000001E).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.numbers import Leaf
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import CpuidFlags

CACHES, TOPOLOGY, TOPOLOGY_2 = 0x4, 0xB, 0x1F
AMD_SIZES, AMD_TOPOLOGY = 0x8000_0008, 0x8000_001E
#: The kinds of levels in the topology leaves: threads of a core, cores of a package.
_THREADS, _CORES = 1, 2
_MANY_THREADS = 1 << 28
_APIC_ID_SHIFT, _COUNT_SHIFT = 24, 16
_LAST_LEVEL_CACHE = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A vCPU among ``vcpus``. Its LAPIC's id is its number."""

    vcpu: int
    vcpus: int

    @property
    def id_bits(self) -> int:
        """How many bits of a LAPIC id tell the cores apart."""
        return (self.vcpus - 1).bit_length()

    def missing(self, there: Container[tuple[int, int]]) -> Iterable[CpuidEntry]:
        """Second and third levels of a topology that KVM lists only the first of."""
        for leaf in (TOPOLOGY, TOPOLOGY_2):
            for level in (1, 2) if (leaf, 0) in there else ():
                if (leaf, level) not in there:
                    flags = CpuidFlags.SIGNIFICANT_INDEX
                    yield CpuidEntry(leaf, level, flags, Registers(0, 0, 0, 0))

    def told(self, entry: CpuidEntry) -> Registers:
        """The registers of an answer, as this vCPU gives it."""
        r = entry.registers
        if entry.leaf == Leaf.FEATURES:
            return self._features(r)
        if entry.leaf == CACHES:
            return self._cache(r)
        if entry.leaf in (TOPOLOGY, TOPOLOGY_2):
            return self._level(entry.subleaf)
        if entry.leaf == AMD_SIZES:
            return r._replace(ecx=self.vcpus - 1 | self.id_bits << 12 if r.ecx else 0)
        if entry.leaf == AMD_TOPOLOGY:
            return Registers(self.vcpu, self.vcpu & 0xFF, 0, 0)
        return r

    def _features(self, r: Registers) -> Registers:
        """Leaf 1: the id, and how many ids the package has room for (8 bits of each)."""
        count = min(1 << self.id_bits, 255)
        ebx = r.ebx & 0xFFFF | count << _COUNT_SHIFT | (self.vcpu & 0xFF) << _APIC_ID_SHIFT
        many = _MANY_THREADS if self.vcpus > 1 else 0
        return r._replace(ebx=ebx, edx=r.edx & ~_MANY_THREADS | many)

    def _cache(self, r: Registers) -> Registers:
        """Leaf 4: ids that share the cache (only the last level's is shared), ids of cores."""
        if r.eax & 0x1F == 0:
            return r
        ids = (1 << self.id_bits) - 1
        shared = ids if r.eax >> 5 & 7 >= _LAST_LEVEL_CACHE else 0
        return r._replace(eax=r.eax & 0x3FFF | shared << 14 | min(ids, 63) << 26)

    def _level(self, level: int) -> Registers:
        """Leaves 0xB and 0x1F: one thread to a core, all cores in the package, and an end."""
        if level == 0:
            return Registers(0, 1, _THREADS << 8, self.vcpu)
        if level == 1:
            return Registers(self.id_bits, self.vcpus, _CORES << 8 | 1, self.vcpu)
        return Registers(0, 0, level, self.vcpu)
