"""ACPI as far as it is of use here: which processors there are, and where their interrupts go.

Only RSDP, XSDT and MADT. Without a FADT and a DSDT a kernel learns of its processors (Debian's
cloud kernels know no MP table), goes on without ACPI's interpreter, and keeps the i8254 and the
PICs, which a hardware-reduced ACPI would take from it.

Source: ACPI Specification 6.5, 5.2.5.3 (RSDP), 5.2.6 (header), 5.2.8 (XSDT), 5.2.12 (MADT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from timehands.monitor.layout import IOAPIC, LAPIC, RSDP

#: Who made the tables: 6, 8 and 4 bytes.
_OEM, _TABLE, _MAKER = b"TIMEHD", b"MONITOR ", b"TIME"
_HEADER = struct.Struct("<4sIBB6s8sI4sI")
_RSDP = struct.Struct("<8sB6sBIIQB3s")
_RSDP_FIRST = 20
_PCAT_COMPATIBLE = 1  # there are 8259s, too
_ENABLED = 1
_ALL = 0xFF


def acpi_tables(vcpus: int, address: int = RSDP) -> bytes:
    """RSDP, XSDT and MADT, to be placed at ``address`` (16-byte aligned).

    ``vcpus``: 1 to 254; LAPIC ids count from 0 and the IOAPIC's id follows, as in the MP table.
    """
    xsdt_at = address + 48
    madt_at = xsdt_at + 48
    xsdt = _table(b"XSDT", 1, struct.pack("<Q", madt_at))
    madt = _table(b"APIC", 4, struct.pack("<II", LAPIC, _PCAT_COMPATIBLE) + b"".join(_madt(vcpus)))
    return _rsdp(xsdt_at).ljust(48, b"\0") + xsdt.ljust(48, b"\0") + madt


def _rsdp(xsdt: int) -> bytes:
    data = bytearray(_RSDP.pack(b"RSD PTR ", 0, _OEM, 2, 0, _RSDP.size, xsdt, 0, b""))
    data[8] = -sum(data[:_RSDP_FIRST]) & 0xFF
    data[32] = -sum(data) & 0xFF
    return bytes(data)


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    length = _HEADER.size + len(body)
    header = _HEADER.pack(signature, length, revision, 0, _OEM, _TABLE, 1, _MAKER, 1)
    data = bytearray(header + body)
    data[9] = -sum(data) & 0xFF
    return bytes(data)


def _madt(vcpus: int) -> Iterator[bytes]:
    """LAPICs, the IOAPIC, the i8254 on its pin 2, NMIs on each LAPIC's second input."""
    for number in range(vcpus):
        yield struct.pack("<BBBBI", 0, 8, number, number, _ENABLED)
    yield struct.pack("<BBBBII", 1, 12, vcpus, 0, IOAPIC, 0)
    yield struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
    yield struct.pack("<BBBHB", 4, 6, _ALL, 0, 1)
