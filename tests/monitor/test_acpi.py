"""ACPI's tables, read back by the specification, and found as kernels find them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.acpi import acpi_tables
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


def madt(vcpus: int, start: int = RSDP) -> bytes:
    """The MADT, found from the root."""
    data = acpi_tables(vcpus, start)
    assert data[:8] == b"RSD PTR "
    assert sum(data[:20]) % 256 == 0
    assert sum(data[:36]) % 256 == 0
    assert (data[15], number(data, 20, 4)) == (2, 36)
    xsdt = table(data, start, number(data, 24, 8), b"XSDT")
    (pointer,) = (number(xsdt, at, 8) for at in range(36, len(xsdt), 8))
    return table(data, start, pointer, b"APIC")


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
