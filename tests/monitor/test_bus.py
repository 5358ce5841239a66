"""Ports and addresses: who answers where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.bus import Bus


class Note:
    """A device that answers with its name and remembers what was written."""

    def __init__(self, name: int) -> None:
        self.name, self.written = name, list[tuple[int, int, int]]()

    def read(self, offset: int, size: int) -> int:
        return self.name << 16 | offset << 8 | size

    def write(self, offset: int, size: int, value: int) -> None:
        self.written.append((offset, size, value))


PLACES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8)


@given(PLACES, st.integers(0, 80))
def test_each_address_is_answered_by_the_device_that_was_placed_there(
    places: list[tuple[int, int]], address: int
) -> None:
    bus, owner = Bus("port"), dict[int, tuple[int, int]]()
    for name, (start, size) in enumerate(places):
        taken = range(start, start + size)
        if owner.keys() & set(taken):
            with pytest.raises(ValueError, match="is taken already"):
                bus.add(start, size, Note(name))
        else:
            bus.add(start, size, Note(name))
            owner.update({at: (name, at - start) for at in taken})
    if address in owner:
        name, offset = owner[address]
        assert bus.read(address, 4) == name << 16 | offset << 8 | 4
    else:
        assert bus.read(address, 4) == 0xFFFF_FFFF
        assert bus.find(address) is None


@pytest.mark.parametrize(("size", "ones"), [(1, 0xFF), (2, 0xFFFF), (8, 0xFFFF_FFFF_FFFF_FFFF)])
def test_where_nobody_answers_all_bits_are_set(size: int, ones: int) -> None:
    assert Bus("address").read(0x1234, size) == ones


def test_an_answer_is_cut_to_the_size_that_was_asked_for() -> None:
    bus = Bus("port")
    bus.add(0x10, 4, Note(7))
    assert bus.read(0x11, 1) == 1
    assert bus.read(0x11, 2) == 0x0102


def test_a_write_comes_with_its_offset_and_is_lost_where_nobody_is() -> None:
    bus, note = Bus("port"), Note(1)
    bus.add(0x10, 4, note)
    for port in (0x0F, 0x10, 0x13, 0x14):
        bus.write(port, 1, port)
    assert note.written == [(0, 1, 0x10), (3, 1, 0x13)]


class Bytes:
    """A device of bytes: ports with a content."""

    def __init__(self, content: bytes) -> None:
        self.content, self.log = bytearray(content), list[tuple[int, int]]()

    def read(self, offset: int, size: int) -> int:
        assert size == 1
        return self.content[offset]

    def write(self, offset: int, size: int, value: int) -> None:
        assert size == 1
        self.content[offset] = value
        self.log.append((offset, value))


def test_a_word_to_an_index_port_is_an_index_and_a_value() -> None:
    bus, chip = Bus("port"), Bytes(b"\x11\x22")
    bus.add(0x70, 2, chip, widest=1)
    bus.write(0x70, 2, 0x5A0F)
    assert chip.log == [(0, 0x0F), (1, 0x5A)]
    assert bus.read(0x70, 2) == 0x5A0F
    assert bus.read(0x70, 4) == 0xFFFF5A0F
    bus.write(0x71, 2, 0x7733)
    assert chip.log[2:] == [(1, 0x33)]


def test_a_wide_access_reaches_all_devices_of_bytes_in_it() -> None:
    bus, low, high = Bus("port"), Bytes(b"\1"), Bytes(b"\2\3")
    bus.add(0x60, 1, low, widest=1)
    bus.add(0x62, 2, high, widest=1)
    assert bus.read(0x60, 4) == 0x0302FF01
    assert bus.read(0x5F, 2) == 0x01FF
    bus.write(0x5F, 4, 0x44332211)
    assert (low.log, high.log) == ([(0, 0x22)], [(0, 0x44)])


def test_a_device_that_takes_more_sees_nothing_of_accesses_that_start_before_it() -> None:
    """The reset control at 0xCF9, when a kernel looks for PCI by a long word at 0xCF8."""
    bus, wide = Bus("port"), Note(1)
    bus.add(0xCF9, 1, wide)
    bus.write(0xCF8, 4, 0x80000600)
    assert bus.read(0xCF8, 4) == 0xFFFFFFFF
    assert wide.written == []
    bus.write(0xCF9, 2, 0x0604)
    assert wide.written == [(0, 2, 0x0604)]


@given(PLACES, st.integers(0, 80), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**64 - 1))
def test_bytes_are_where_they_were_written(
    places: list[tuple[int, int]], address: int, size: int, value: int
) -> None:
    bus, there = Bus("port"), set[int]()
    for start, length in places:
        if not there & set(range(start, start + length)):
            bus.add(start, length, Bytes(bytes(length)), widest=1)
            there |= set(range(start, start + length))
    value &= (1 << 8 * size) - 1
    bus.write(address, size, value)
    for at in range(size):
        wanted = value >> 8 * at & 0xFF if address + at in there else 0xFF
        assert bus.read(address + at, 1) == wanted
