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
