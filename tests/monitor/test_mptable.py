"""The MP table, read back by the chapter and verse of its specification."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.mptable import mp_table

#: The length of an entry, by its type (MultiProcessor Specification 1.4, table 4-3).
LENGTHS = {0: 20, 1: 8, 2: 8, 3: 8, 4: 8}


def number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def entries(data: bytes, address: int) -> list[bytes]:
    """The table's entries, found from the floating pointer, all sums and lengths being right."""
    pointer, table = data[:16], data[16:]
    assert pointer[:4] == b"_MP_"
    assert number(pointer, 4, 4) == address + 16
    assert (pointer[8], pointer[9]) == (1, 4)  # paragraphs; revision 1.4
    assert sum(pointer) % 256 == 0
    assert table[:4] == b"PCMP"
    assert number(table, 4, 2) == len(table)
    assert sum(table) % 256 == 0
    assert number(table, 36, 4) == 0xFEE00000
    result, at = list[bytes](), 44
    while at < len(table):
        result.append(table[at : at + LENGTHS[table[at]]])
        at += len(result[-1])
    assert number(table, 34, 2) == len(result)
    return result


@given(st.integers(1, 254), st.sampled_from([0x9FC00, 0xF0000]))
def test_sums_lengths_and_counts_agree(vcpus: int, address: int) -> None:
    found = entries(mp_table(vcpus, address), address)
    assert Counter(e[0] for e in found) == {0: vcpus, 1: 1, 2: 1, 3: 15, 4: 2}


@pytest.mark.parametrize("vcpus", [1, 2, 64])
def test_processors_have_the_ids_of_their_lapics_and_the_first_one_boots(vcpus: int) -> None:
    processors = [e for e in entries(mp_table(vcpus), 0x9FC00) if e[0] == 0]
    assert [e[1] for e in processors] == list(range(vcpus))
    assert [e[3] for e in processors] == [3] + [1] * (vcpus - 1)


def test_each_isa_interrupt_has_a_pin_of_the_ioapic() -> None:
    found = entries(mp_table(4), 0x9FC00)
    (ioapic,) = (e for e in found if e[0] == 2)
    assert (ioapic[1], ioapic[3], number(ioapic, 4, 4)) == (4, 1, 0xFEC00000)
    routed = {e[5]: e[7] for e in found if e[0] == 3}
    assert all(e[6] == ioapic[1] for e in found if e[0] == 3)
    assert routed == {0: 2} | {irq: irq for irq in range(1, 16) if irq != 2}


def test_virtual_wire_and_nmi_come_to_the_lapics() -> None:
    local = [e for e in entries(mp_table(2), 0x9FC00) if e[0] == 4]
    assert [(e[1], e[6], e[7]) for e in local] == [(3, 0, 0), (1, 0xFF, 1)]


def test_it_fits_below_the_end_of_low_memory() -> None:
    assert len(mp_table(40)) <= 1024
