"""The MP table: how a kernel without ACPI learns of its processors and interrupts.

Source: Intel MultiProcessor Specification 1.4, chapter 4. The entry count and the table's length
agree with what follows, which not every monitor takes care of (FreeBSD and NetBSD have an option
MPTABLE_LINUX_BUG_COMPAT for those that do not).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from timehands.monitor.layout import I8254_PIN, IOAPIC, LAPIC, MP_TABLE

APIC_VERSION = 0x14
IOAPIC_VERSION = 0x11
ISA_IRQS = 16
_ISA_BUS = 0
_ENABLED = 1
_BOOT_PROCESSOR = 2
#: Interrupt types: vectored, NMI, ExtINT.
_INT, _NMI, _EXTINT = 0, 1, 3
_ALL_LAPICS = 0xFF
_FLOATING_BYTES = 16
_HEADER = struct.Struct("<4sHBB8s12sIHHIHBB")
#: CPUID 1 EAX and EDX of the processors; kernels do not read them since they can run CPUID.
_SIGNATURE, _FEATURES = 0x600, 0x201


def mp_table(vcpus: int, address: int = MP_TABLE) -> bytes:
    """The floating pointer and the table after it, to be placed at ``address`` (16-byte aligned).

    ``vcpus``: 1 to 254; their LAPIC ids count from 0 and the IOAPIC's id follows.
    """
    entries = [*_processors(vcpus), _bus(), _ioapic(vcpus), *_interrupts(vcpus)]
    body = b"".join(entries)
    table = address + _FLOATING_BYTES
    header = _HEADER.pack(
        b"PCMP",
        _HEADER.size + len(body),
        4,
        0,
        b"TIMEHAND",
        b"MONITOR     ",
        0,
        0,
        len(entries),
        LAPIC,
        0,
        0,
        0,
    )
    return _floating(table) + _with_sum(header + body, 7)


def _floating(table: int) -> bytes:
    """The pointer that kernels search for: one paragraph long, revision 1.4, virtual wire mode."""
    return _with_sum(struct.pack("<4sIBBB5s", b"_MP_", table, 1, 4, 0, bytes(5)), 10)


def _with_sum(data: bytes, at: int) -> bytes:
    """The same bytes with the one at ``at`` such that they add up to 0 modulo 256."""
    patched = bytearray(data)
    patched[at] = -sum(patched) & 0xFF
    return bytes(patched)


def _processors(vcpus: int) -> Iterator[bytes]:
    for number in range(vcpus):
        flags = _ENABLED | (_BOOT_PROCESSOR if number == 0 else 0)
        yield struct.pack("<BBBBIIQ", 0, number, APIC_VERSION, flags, _SIGNATURE, _FEATURES, 0)


def _bus() -> bytes:
    return struct.pack("<BB6s", 1, _ISA_BUS, b"ISA   ")


def _ioapic(number: int) -> bytes:
    return struct.pack("<BBBBI", 2, number, IOAPIC_VERSION, _ENABLED, IOAPIC)


def _interrupts(ioapic: int) -> Iterator[bytes]:
    """ISA interrupts go to the pins of their number, but the i8254's; then the LAPICs'."""
    yield struct.pack("<BBHBBBB", 3, _INT, 0, _ISA_BUS, 0, ioapic, I8254_PIN)
    for irq in range(1, ISA_IRQS):
        if irq != I8254_PIN:
            yield struct.pack("<BBHBBBB", 3, _INT, 0, _ISA_BUS, irq, ioapic, irq)
    yield struct.pack("<BBHBBBB", 4, _EXTINT, 0, _ISA_BUS, 0, 0, 0)
    yield struct.pack("<BBHBBBB", 4, _NMI, 0, _ISA_BUS, 0, _ALL_LAPICS, 1)
