"""ACPI as far as it is of use here: which processors there are, and where their interrupts go.

For a guest without virtio devices only RSDP, XSDT and MADT. Without a FADT and a DSDT a kernel
learns of its processors (Debian's cloud kernels know no MP table), and goes on without ACPI's
interpreter. With virtio devices there are a FADT, a FACS and a DSDT that names them. The ACPI is
not a hardware-reduced one, which would take the i8254 and the PICs from the kernel; its registers
are `devices.signals.Power`.

Source: ACPI Specification 6.5, 5.2.5.3 (RSDP), 5.2.6 (header), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.10
(FACS), 5.2.12 (MADT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from timehands.monitor.aml import definitions
from timehands.monitor.devices import hpet, signals
from timehands.monitor.devices.virtio.places import VirtioPlace
from timehands.monitor.layout import I8254_PIN, IOAPIC, LAPIC, RSDP

#: Who made the tables: 6, 8 and 4 bytes.
_OEM, _TABLE, _MAKER = b"TIMEHD", b"MONITOR ", b"TIME"
_HEADER = struct.Struct("<4sIBB6s8sI4sI")
_RSDP = struct.Struct("<8sB6sBIIQB3s")
_RSDP_FIRST = 20
_PCAT_COMPATIBLE = 1  # there are 8259s, too
_ENABLED = 1
_ALL = 0xFF
_SCI = 9
_ALIGNED = 64
#: There is an ISA bus, and no keyboard controller beyond its reset, no VGA, no MSIs.
_BOOT_ARCHITECTURE = 1 | 1 << 2 | 1 << 3
#: WBINVD works, C1 is there; power and sleep buttons and the RTC's alarm are not in PM1.
_FADT_FLAGS = 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6
_FADT_BYTES = 244


def acpi_tables(
    vcpus: int,
    address: int = RSDP,
    devices: Sequence[VirtioPlace] = (),
    *,
    with_hpet: bool = False,
) -> bytes:
    """All tables, to be placed at ``address`` (64-byte aligned), which is the RSDP's.

    ``vcpus``: 1 to 254; LAPIC ids count from 0 and the IOAPIC's id follows, as in the MP table.
    """
    madt = b"".join(_madt(vcpus, with_sci=bool(devices)))
    tables = [_table(b"APIC", 4, struct.pack("<II", LAPIC, _PCAT_COMPATIBLE) + madt)]
    if with_hpet:
        tables.append(_hpet())
    rsdp_bytes, xsdt_bytes = _ALIGNED, 2 * _ALIGNED
    at = address + rsdp_bytes + xsdt_bytes
    others = b""
    if devices:
        facs = struct.pack("<4sI", b"FACS", 64).ljust(32, b"\0") + b"\2".ljust(32, b"\0")
        dsdt = _table(b"DSDT", 2, definitions(devices))
        tables.append(_fadt(facs=at, dsdt=at + len(facs)))
        others = _aligned(facs + dsdt)
    places = [at + len(others)]
    for table in tables[:-1]:
        places.append(places[-1] + len(_aligned(table)))
    xsdt = _table(b"XSDT", 1, struct.pack(f"<{len(places)}Q", *places))
    first = _rsdp(address + rsdp_bytes).ljust(rsdp_bytes, b"\0") + xsdt.ljust(xsdt_bytes, b"\0")
    return first + others + b"".join(map(_aligned, tables))


def _aligned(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // _ALIGNED) * _ALIGNED, b"\0")


def _fadt(facs: int, dsdt: int) -> bytes:
    """Revision 3. ACPI is on from the start: there is no command to switch to it."""
    body = bytearray(_FADT_BYTES - _HEADER.size)

    def put(offset: int, layout: str, value: int) -> None:
        struct.pack_into(f"<{layout}", body, offset - _HEADER.size, value)

    put(36, "I", facs)
    put(40, "I", dsdt)
    put(46, "H", _SCI)
    put(56, "I", signals.POWER)
    put(64, "I", signals.POWER + signals.POWER_EVENT_PORTS)
    put(88, "B", signals.POWER_EVENT_PORTS)
    put(89, "B", signals.POWER_PORTS - signals.POWER_EVENT_PORTS)
    put(96, "H", 0xFFFF)  # no C2
    put(98, "H", 0xFFFF)  # no C3
    put(109, "H", _BOOT_ARCHITECTURE)
    put(112, "I", _FADT_FLAGS)
    put(140, "Q", dsdt)
    return _table(b"FACP", 3, bytes(body))


def _hpet() -> bytes:
    """IA-PC HPET Specification 1.0a, 3.2.4: number 0, at its address in memory."""
    block = hpet.CAPABILITIES & 0xFFFF_FFFF
    address = struct.pack("<BBBBQ", 0, 64, 0, 0, hpet.ADDRESS)
    body = struct.pack("<I", block) + address + struct.pack("<BHB", 0, hpet.LEAST_TICKS, 0)
    return _table(b"HPET", 1, body)


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


def _madt(vcpus: int, *, with_sci: bool) -> Iterator[bytes]:
    """LAPICs, the IOAPIC, the i8254 on its pin, NMIs on each LAPIC's second input.

    ``with_sci``: ACPI's own interrupt, which never comes, is active high and level-triggered.
    """
    for number in range(vcpus):
        yield struct.pack("<BBBBI", 0, 8, number, number, _ENABLED)
    yield struct.pack("<BBBBII", 1, 12, vcpus, 0, IOAPIC, 0)
    yield struct.pack("<BBBBIH", 2, 10, 0, 0, I8254_PIN, 0)
    if with_sci:
        yield struct.pack("<BBBBIH", 2, 10, 0, _SCI, _SCI, 1 | 3 << 2)
    yield struct.pack("<BBBHB", 4, 6, _ALL, 0, 1)
