"""What a guest is told of its memory is what it has."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor import layout
from timehands.monitor.layout import GIB, MIB, MemoryKind, memory_map, slots

SIZES = st.integers(2 * MIB // 4096, 16 * GIB // 4096).map(lambda pages: pages * 4096)


@given(SIZES)
def test_all_memory_is_told_of_once_and_nothing_else(size: int) -> None:
    stretches = memory_map(size)
    for before, after in itertools.pairwise(stretches):
        assert before.end <= after.address
    told = sum(s.size for s in stretches)
    assert told == size == sum(length for _, length in slots(size))
    for stretch in stretches:
        assert any(a <= stretch.address and stretch.end <= a + n for a, n in slots(size))


@given(SIZES)
def test_no_memory_is_where_devices_are(size: int) -> None:
    for address, length in slots(size):
        assert address + length <= layout.HOLE or address >= layout.HOLE_END


def test_the_mp_table_and_the_bios_area_are_kept_from_the_kernel() -> None:
    reserved = [s for s in memory_map(64 * MIB) if s.kind is MemoryKind.RESERVED]
    assert [(s.address, s.end) for s in reserved] == [(0x9FC00, 0x100000)]


def test_nothing_that_is_put_into_low_memory_lies_on_another_thing() -> None:
    ends = {
        layout.GDT: 0x20,
        layout.START_INFO: 56,
        layout.MODULE_LIST: layout.MEMORY_MAP - layout.MODULE_LIST,
        layout.MEMORY_MAP: 4096,  # also the zero page
        layout.MULTIBOOT_INFO: 0x500,
        layout.COMMAND_LINE: layout.COMMAND_LINE_BYTES,
        layout.MP_TABLE: 1024,
        layout.RSDP: 36,
    }
    places = sorted(ends.items())
    for (start, size), (following, _) in itertools.pairwise(places):
        assert start + size <= following
