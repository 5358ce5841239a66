"""CPUID answers as KVM takes and gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ctypes import sizeof
from dataclasses import dataclass

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import SUBLEAVES, CpuidTable
from timehands.kvm.numbers import MAX_CPUID_ENTRIES, CpuidFlags
from timehands.kvm.structs import Cpuid2, CpuidEntry2


@dataclass(frozen=True, slots=True)
class CpuidEntry:
    """One answer: of ``leaf``, and of ``subleaf`` when the flags say that it matters."""

    leaf: int
    subleaf: int
    flags: CpuidFlags
    registers: Registers


def entries_from(buffer: bytearray) -> tuple[CpuidEntry, ...]:
    """The answers in a buffer that KVM filled."""
    count = Cpuid2.from_buffer_copy(buffer).nent
    fits = (len(buffer) - sizeof(Cpuid2)) // sizeof(CpuidEntry2)
    raw = (CpuidEntry2 * min(count, fits)).from_buffer_copy(buffer, sizeof(Cpuid2))
    return tuple(
        CpuidEntry(
            each.function,
            each.index,
            CpuidFlags(each.flags),
            Registers(each.eax, each.ebx, each.ecx, each.edx),
        )
        for each in raw
    )


def buffer_of(entries: Iterable[CpuidEntry]) -> bytearray:
    """The answers as KVM_SET_CPUID2 takes them. Raises `ValueError` for more than 256."""
    raw = [CpuidEntry2(e.leaf, e.subleaf, e.flags, *e.registers) for e in entries]
    if len(raw) > MAX_CPUID_ENTRIES:
        raise ValueError(f"KVM takes {MAX_CPUID_ENTRIES} CPUID answers at most, not {len(raw)}")
    return bytearray(b"".join([bytes(Cpuid2(len(raw))), *map(bytes, raw)]))


def table_of(entries: Iterable[CpuidEntry]) -> CpuidTable:
    """The answers as a table that the rest of Timehands reads."""
    return CpuidTable({(entry.leaf, entry.subleaf): entry.registers for entry in entries})


def entries_of(table: CpuidTable) -> tuple[CpuidEntry, ...]:
    """The answers of a table as KVM takes them: subleaves matter where SUBLEAVES says so."""
    return tuple(_entries(table))


def _entries(table: CpuidTable) -> Iterator[CpuidEntry]:
    for (leaf, subleaf), registers in table.items():
        indexed = CpuidFlags.SIGNIFICANT_INDEX if leaf in SUBLEAVES else CpuidFlags(0)
        if indexed or subleaf == 0:
            yield CpuidEntry(leaf, subleaf, indexed, registers)
