"""All CPUID answers of one CPU, and which of them may be believed.

A CPU answers every leaf. Above the limit of a range the answer means nothing: Intel's CPUs, and
QEMU after them, answer with the data of the highest basic leaf, AMD's with zeros (Intel SDM volume
2A, CPUID; QEMU target/i386/cpu.c, cpu_x86_cpuid). So a leaf counts only when its range claims it,
and a hypervisor range counts only when the CPU says that there is a hypervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from timehands.clocks.cpuid.layouts import NOTHING, HypervisorRange, Registers
from timehands.clocks.cpuid.numbers import (
    HYPERVISOR_BASES,
    KVM,
    RANGE_LENGTH,
    XEN,
    Leaf,
    Leaf1Ecx,
)

Key = tuple[int, int]

#: Leaves whose answer depends on the subleaf, with the last subleaf that is worth asking for.
SUBLEAVES: Mapping[int, int] = {
    0x4: 7, 0x7: 3, 0xB: 3, 0xD: 63, 0xF: 1, 0x10: 3, 0x12: 3, 0x14: 1, 0x17: 3, 0x18: 7, 0x1B: 3,
    0x1D: 2, 0x1F: 5, 0x20: 1, 0x23: 5, 0x24: 1, 0x8000001D: 7, 0x80000020: 3, 0x80000026: 5,
}  # fmt: skip
BASIC_MOST = 0x40
_U32 = 1 << 32


class CpuidTable(Mapping[Key, Registers]):
    """The answers by (leaf, subleaf), all of them, believed or not.

    `leaf` is the way to ask for one that may be believed; indexing gives the raw answer. Raises
    `ValueError` when a key or a register is not an unsigned 32-bit integer.
    """

    def __init__(self, answers: Mapping[Key, Registers]) -> None:
        for key, registers in answers.items():
            if not all(0 <= number < _U32 for number in (*key, *registers)):
                raise ValueError(f"CPUID works with unsigned 32-bit numbers, not {key} {registers}")
        self._answers = {key: Registers(*answers[key]) for key in sorted(answers)}

    def __getitem__(self, key: Key) -> Registers:
        return self._answers[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<CpuidTable of {len(self)} answers, basic leaves to {self.basic_limit:#x}>"

    @property
    def basic_limit(self) -> int:
        """The highest basic leaf (leaf 0, EAX); -1 when the table has no leaf 0."""
        registers = self.get((0, 0))
        return registers.eax if registers else -1

    @property
    def extended_limit(self) -> int:
        """The highest extended leaf, or 0x7fffffff when there is none.

        Source: Linux arch/x86/kernel/cpu/common.c, get_cpu_cap: the upper half must be 0x8000.
        """
        registers = self.get((Leaf.EXTENDED_LIMIT, 0), NOTHING)
        return registers.eax if registers.eax >> 16 == 0x8000 else Leaf.EXTENDED_LIMIT - 1

    @property
    def says_hypervisor(self) -> bool:
        """Whether the CPU says that it runs under a hypervisor (leaf 0x1, ECX bit 31)."""
        if self.basic_limit < Leaf.FEATURES:
            return False
        return bool(self.get((Leaf.FEATURES, 0), NOTHING).ecx & Leaf1Ecx.HYPERVISOR)

    @cached_property
    def hypervisors(self) -> tuple[HypervisorRange, ...]:
        """The ranges of hypervisor leaves, by base; none when the CPU denies a hypervisor."""
        if not self.says_hypervisor:
            return ()
        answers = ((base, self.get((base, 0), NOTHING)) for base in HYPERVISOR_BASES)
        ranges = (hypervisor_range(base, registers) for base, registers in answers)
        return tuple(found for found in ranges if found)

    def leaf(self, leaf: int, subleaf: int = 0) -> Registers | None:
        """The answer, if the table has it and its range claims the leaf."""
        registers = self.get((leaf, subleaf))
        return None if registers is None or self._limit_doubt(leaf) else registers

    def doubt(self, leaf: int, subleaf: int = 0) -> str:
        """Why the answer of a leaf is not to be believed; empty when it is."""
        registers = self.get((leaf, subleaf))
        if reason := self._limit_doubt(leaf):
            twin = self._twin(leaf, registers)
            return f"{reason}: the answer is the data of leaf {twin:#x}" if twin else reason
        return "not in this table" if registers is None else ""

    def _limit_doubt(self, leaf: int) -> str:
        if leaf in range(HYPERVISOR_BASES.start, HYPERVISOR_BASES.stop):
            return self._hypervisor_doubt(leaf)
        if leaf >= Leaf.EXTENDED_LIMIT:
            limit = self.extended_limit
            return "" if leaf <= limit else f"above the extended range's limit {limit:#x}"
        limit = max(self.basic_limit, 0)
        return "" if leaf <= limit else f"above the basic range's limit {limit:#x}"

    def _hypervisor_doubt(self, leaf: int) -> str:
        if not self.says_hypervisor:
            return "the CPU says that there is no hypervisor (leaf 0x1 ECX bit 31 is clear)"
        base = leaf & ~(RANGE_LENGTH - 1)
        found = next((r for r in self.hypervisors if r.base == base), None)
        if found is None:
            return f"no hypervisor names itself at {base:#x}"
        return "" if leaf <= found.limit else f"above the range's limit {found.limit:#x}"

    def _twin(self, leaf: int, registers: Registers | None) -> int | None:
        """The highest basic leaf, when its data is what the leaf out of range shows too."""
        top = self.basic_limit
        if registers is None or registers == NOTHING or leaf == top:
            return None
        return top if registers == self.get((top, 0)) else None


def read_table(cpuid: Callable[[int, int], Registers]) -> CpuidTable:
    """Ask a CPU for every leaf of its ranges, and for 0x40000010 even out of range.

    ``cpuid`` executes the instruction with (leaf, subleaf). Bounded: at most about 20,000 calls,
    whatever the CPU answers.
    """
    answers: dict[Key, Registers] = {}
    _read_range(cpuid, 0, cpuid(0, 0).eax, BASIC_MOST, answers)
    for base in HYPERVISOR_BASES:
        answer = cpuid(base, 0)
        if found := hypervisor_range(base, answer):
            _read_range(cpuid, base, found.limit, RANGE_LENGTH, answers)
            if found.signature == XEN and found.limit >= base + 3:
                answers.update({(base + 3, sub): cpuid(base + 3, sub) for sub in (1, 2)})
        elif base == Leaf.HYPERVISOR_LIMIT:
            answers[base, 0] = answer
    answers[Leaf.TIMING, 0] = cpuid(Leaf.TIMING, 0)
    _read_range(
        cpuid, Leaf.EXTENDED_LIMIT, cpuid(Leaf.EXTENDED_LIMIT, 0).eax, RANGE_LENGTH, answers
    )
    return CpuidTable(answers)


def hypervisor_range(base: int, registers: Registers) -> HypervisorRange | None:
    """The range that a base leaf announces, or None when it announces none.

    A range has a printable name, and a limit in its own 0x100 leaves. An old KVM gives the limit 0
    and means base + 1 (Linux Documentation/virt/kvm/x86/cpuid.rst).
    """
    name = _signature(registers)
    if not name or len(name) < 4:
        return None
    limit = base + 1 if registers.eax == 0 and name == KVM else registers.eax
    if not base <= limit < base + RANGE_LENGTH:
        return None
    return HypervisorRange(base, limit, name)


def _signature(registers: Registers) -> str | None:
    raw = b"".join(word.to_bytes(4, "little") for word in registers[1:])
    name = raw.rstrip(b"\0")
    return name.decode("ascii") if all(0x20 <= byte <= 0x7E for byte in name) else None


def _read_range(
    cpuid: Callable[[int, int], Registers],
    base: int,
    limit: int,
    most: int,
    answers: dict[Key, Registers],
) -> None:
    for leaf in range(base, min(limit, base + most - 1) + 1):
        answers[leaf, 0] = cpuid(leaf, 0)
        for subleaf in range(1, SUBLEAVES.get(leaf, 0) + 1):
            registers = cpuid(leaf, subleaf)
            if registers != NOTHING:
                answers[leaf, subleaf] = registers
