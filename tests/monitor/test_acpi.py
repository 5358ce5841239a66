"""ACPI's tables, read back by the specification, and found as kernels find them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.acpi import acpi_tables
from timehands.monitor.devices.virtio.places import VirtioPlace, places
from timehands.monitor.layout import HIGH_MEMORY, MP_TABLE, RSDP


def number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def table(data: bytes, start: int, address: int, signature: bytes) -> bytes:
    """The table at an address, its length and sum being right."""
    at = address - start
    found = data[at : at + number(data, at + 4, 4)]
    assert found[:4] == signature
    assert sum(found) % 256 == 0
    assert len(found) == number(found, 4, 4)
    return found


def tables(data: bytes, start: int) -> dict[bytes, bytes]:
    """Those that are found from the root, by their signature."""
    assert data[:8] == b"RSD PTR "
    assert sum(data[:20]) % 256 == 0
    assert sum(data[:36]) % 256 == 0
    assert (data[15], number(data, 20, 4)) == (2, 36)
    xsdt = table(data, start, number(data, 24, 8), b"XSDT")
    pointers = [number(xsdt, at, 8) for at in range(36, len(xsdt), 8)]
    named = {data[at - start : at - start + 4]: at for at in pointers}
    assert len(named) == len(pointers)
    return {name: table(data, start, at, name) for name, at in named.items()}


def madt(vcpus: int, start: int = RSDP) -> bytes:
    """The MADT, found from the root. There is nothing else."""
    (found,) = tables(acpi_tables(vcpus, start), start).items()
    assert found[0] == b"APIC"
    return found[1]


def entries(found: bytes) -> list[bytes]:
    result, at = list[bytes](), 44
    while at < len(found):
        result.append(found[at : at + found[at + 1]])
        at += len(result[-1])
    assert at == len(found)
    return result


@given(st.integers(1, 254), st.sampled_from([RSDP, 0xF0000]))
def test_every_processor_is_listed_with_its_lapic(vcpus: int, start: int) -> None:
    found = madt(vcpus, start)
    assert number(found, 36, 4) == 0xFEE00000
    assert number(found, 40, 4) == 1  # 8259s, too
    lapics = [e for e in entries(found) if e[0] == 0]
    assert [(e[3], number(e, 4, 4)) for e in lapics] == [(n, 1) for n in range(vcpus)]


def test_the_i8254_is_on_pin_2_of_the_ioapic_and_nmis_come_to_all() -> None:
    (ioapic,), (override,), (nmi,) = (
        [e for e in entries(madt(3)) if e[0] == kind] for kind in (1, 2, 4)
    )
    assert (ioapic[2], number(ioapic, 4, 4), number(ioapic, 8, 4)) == (3, 0xFEC00000, 0)
    assert (override[2], override[3], number(override, 4, 4)) == (0, 0, 2)
    assert (nmi[2], nmi[5]) == (0xFF, 1)


@pytest.mark.parametrize("vcpus", [1, 64])
def test_they_lie_in_the_bios_area_behind_the_mp_table(vcpus: int) -> None:
    assert MP_TABLE + 0x1000 < RSDP
    assert RSDP % 16 == 0
    assert RSDP + len(acpi_tables(vcpus)) <= HIGH_MEMORY


DEVICES = places("disk", "entropy")
WITH_DEVICES = acpi_tables(2, devices=DEVICES)


def test_with_devices_there_is_more_of_it_and_acpi_is_on_from_the_start() -> None:
    found = tables(WITH_DEVICES, RSDP)
    assert found.keys() == {b"APIC", b"FACP"}
    fadt = found[b"FACP"]
    assert len(fadt) == 244
    assert (number(fadt, 46, 2), number(fadt, 48, 4)) == (9, 0)  # its interrupt, and no SMI
    # PM1's registers, their lengths; no PM timer, no GPEs.
    assert [number(fadt, at, 4) for at in range(56, 88, 4)] == [0x600, 0, 0x604, 0, 0, 0, 0, 0]
    assert list(fadt[88:94]) == [4, 2, 0, 0, 0, 0]
    flags = number(fadt, 112, 4)
    assert flags & 0x30 == 0x30 and not flags & 1 << 20  # no buttons in PM1; not hardware-reduced
    assert number(fadt, 109, 2) & 0b11 == 0b01  # legacy devices, no 8042
    facs = WITH_DEVICES[number(fadt, 36, 4) - RSDP :][:64]
    assert (facs[:4], number(facs, 4, 4), number(fadt, 36, 4) % 64) == (b"FACS", 64, 0)
    assert number(fadt, 40, 4) == number(fadt, 140, 8)


def test_its_own_interrupt_is_level_triggered_and_active_high() -> None:
    overrides = [e for e in entries(tables(WITH_DEVICES, RSDP)[b"APIC"]) if e[0] == 2]
    assert [(e[3], number(e, 4, 4), number(e, 8, 2)) for e in overrides] == [(0, 2, 0), (9, 9, 0xD)]


def definition_block(devices: tuple[VirtioPlace, ...]) -> bytes:
    """What the DSDT holds."""
    data = acpi_tables(1, devices=devices)
    fadt = tables(data, RSDP)[b"FACP"]
    return table(data, RSDP, number(fadt, 40, 4), b"DSDT")[36:]


def package_length(data: bytes, at: int) -> tuple[int, int]:
    """Where what follows a length begins, and where it ends (ACPI 6.5, 20.2.4)."""
    more = data[at] >> 6
    low = data[at] & (0x0F if more else 0x3F)
    return at + 1 + more, at + (low | number(data, at + 1, more) << 4)


def test_the_devices_are_named_as_linux_looks_for_them() -> None:
    """Byte for byte; iasl shows them as two devices with a page of memory and a level interrupt."""
    block = definition_block(DEVICES)
    assert block[:11] == bytes.fromhex("08 5f53355f 12 06 04 00 00 00")
    assert block[12:13] == b"\x10"
    begins, ends = package_length(block, 13)
    assert (block[begins : begins + 5], ends) == (b"\\_SB_", len(block))
    begins += 5
    for at, place in enumerate(DEVICES):
        assert block[begins : begins + 2] == b"\x5b\x82"
        inner, begins = package_length(block, begins + 2)
        resources = (
            b"\x86\x09\x00\x01"
            + place.address.to_bytes(4, "little")
            + b"\x00\x10\x00\x00"
            + bytes([0x89, 6, 0, 1, 1, place.irq, 0, 0, 0, 0x79, 0])
        )
        assert block[inner:begins] == (
            b"VR0%d" % at
            + b"\x08_HID\x0dLNRO0005\0"
            + b"\x08_UID\x0a"
            + bytes([at])
            + b"\x08_CRS\x11"
            + bytes([len(resources) + 3, 0x0A, len(resources)])
            + resources
        )
    assert begins == ends


@given(st.integers(1, 40))
def test_lengths_fit_for_any_number_of_devices(count: int) -> None:
    devices = places(*["disk"] * count)
    block = definition_block(devices)
    at, ends = package_length(block, 13)
    at += 5
    for _ in devices:
        _, at = package_length(block, at + 2)
    assert at == ends == len(block)


def test_an_hpet_is_described_when_there_is_one() -> None:
    """IA-PC HPET Specification 1.0a, 3.2.4."""
    found = tables(acpi_tables(2, with_hpet=True), RSDP)
    assert set(found) == {b"APIC", b"HPET"}
    block = found[b"HPET"]
    assert len(block) == 56
    assert number(block, 36, 4) == 0x8086_2201  # three timers, 64 bits, no legacy routes
    assert (block[40], block[41], number(block, 44, 8)) == (0, 64, 0xFED0_0000)
    assert (block[52], number(block, 53, 2)) == (0, 20_000)


def test_all_tables_are_found_together() -> None:
    found = tables(acpi_tables(2, devices=DEVICES, with_hpet=True), RSDP)
    assert set(found) == {b"APIC", b"FACP", b"HPET"}
