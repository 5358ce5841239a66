"""The memory's file: sparse, checked, the same with holes or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timehands.errors import SnapshotDamaged
from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.numbers import PAGE_SIZE, MemoryFlags
from timehands.monitor.layout import MIB
from timehands.monitor.snapshot import memory_file

PAGES = 3 * MIB // PAGE_SIZE


def memory() -> GuestMemory:
    """3 MiB in two slots, the second one far up."""
    result = GuestMemory()
    result.add(make_slot(0, 0, MIB + PAGE_SIZE, MemoryFlags.NONE))
    result.add(make_slot(1, 1 << 32, 2 * MIB - PAGE_SIZE, MemoryFlags.NONE))
    return result


def all_of(of: GuestMemory) -> bytes:
    """Its slots, one after the other."""
    return b"".join(slot.map[:] for slot in of)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Where the file is to be."""
    path = tmp_path / memory_file.NAME
    yield path
    path.unlink(missing_ok=True)


def fill(of: GuestMemory, pages: dict[int, int]) -> None:
    """A byte into each of these pages."""
    first, second = of
    for page, byte in pages.items():
        slot = first if page * PAGE_SIZE < first.size else second
        at = page * PAGE_SIZE - (0 if slot is first else first.size)
        slot.map[at + page % PAGE_SIZE] = byte


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    pages=st.dictionaries(st.integers(0, PAGES - 1), st.integers(1, 255), max_size=8),
    whole=st.booleans(),
)
def test_what_is_written_is_read(file: Path, pages: dict[int, int], whole: bool) -> None:
    file.unlink(missing_ok=True)
    before, after = memory(), memory()
    fill(before, pages)
    digest = memory_file.write(before, file)
    assert file.stat().st_blocks * 512 <= len(pages) * PAGE_SIZE + 16 * PAGE_SIZE
    if whole:  # as copied by something that knows no holes
        file.write_bytes(file.read_bytes())
    memory_file.read(after, file, digest)
    assert all_of(after) == all_of(before) == file.read_bytes()
    before.free()
    after.free()


@pytest.mark.parametrize("by", [-PAGE_SIZE, -1, 1, PAGE_SIZE, 1 << 40])
def test_a_file_of_another_size_is_damaged(file: Path, by: int) -> None:
    of = memory()
    digest = memory_file.write(of, file)
    with file.open("r+b") as open_file:
        open_file.truncate(3 * MIB + by)
    with pytest.raises(SnapshotDamaged, match="bytes"):
        memory_file.read(of, file, digest)
    of.free()


@pytest.mark.parametrize("at", [0, MIB - 1, MIB + PAGE_SIZE, 3 * MIB - 1])
def test_a_flipped_bit_is_seen(file: Path, at: int) -> None:
    of, after = memory(), memory()
    fill(of, {0: 1, PAGES - 1: 2})
    digest = memory_file.write(of, file)
    with file.open("r+b") as open_file:
        open_file.seek(at)
        byte = open_file.read(1)[0]
        open_file.seek(at)
        open_file.write(bytes([byte ^ 0x10]))
    with pytest.raises(SnapshotDamaged, match="SHA-256"):
        memory_file.read(after, file, digest)
    of.free()
    after.free()


def test_pages_that_changed_places_are_seen(file: Path) -> None:
    one, other, after = memory(), memory(), memory()
    fill(one, {3: 7})
    other.write(4 * PAGE_SIZE, one.read(3 * PAGE_SIZE, PAGE_SIZE))
    digest = memory_file.write(one, file.with_name("one"))
    memory_file.write(other, file)
    with pytest.raises(SnapshotDamaged, match="SHA-256"):
        memory_file.read(after, file, digest)
    for each in (one, other, after):
        each.free()
