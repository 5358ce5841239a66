"""What is written to a disk and dropped is read again, and the disk below stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.devices.virtio.overlay import SECTOR, Overlay

SECTORS = 40


def below(sector: int, count: int) -> bytes:
    """A disk on which each sector has its number, and zeros behind its end."""
    return b"".join(
        bytes([each + 1 if each < SECTORS else 0]) * SECTOR
        for each in range(sector, sector + count)
    )


@pytest.fixture
def overlay() -> Iterator[Overlay]:
    """One over `below`."""
    made = Overlay(below)
    yield made
    made.close()


def test_what_was_not_written_is_that_below(overlay: Overlay) -> None:
    assert overlay.read(0, SECTORS) == below(0, SECTORS)
    assert overlay.read(3, 0) == b""
    assert not overlay.wrote


WRITES = st.lists(
    st.tuples(st.integers(0, SECTORS - 1), st.integers(1, 20), st.integers(0, 255)), max_size=8
)


@given(writes=WRITES, sector=st.integers(0, SECTORS - 1), count=st.integers(1, SECTORS))
def test_it_is_a_disk_that_keeps_what_is_written(
    writes: list[tuple[int, int, int]], sector: int, count: int
) -> None:
    overlay, plain = Overlay(below), bytearray(below(0, 2 * SECTORS))
    try:
        for first, length, value in writes:
            data = bytes([value]) * SECTOR * length
            overlay.write(first, data)
            plain[first * SECTOR : first * SECTOR + len(data)] = data
        assert overlay.wrote is bool(writes)
        assert overlay.read(sector, count) == plain[sector * SECTOR : (sector + count) * SECTOR]
    finally:
        overlay.close()
