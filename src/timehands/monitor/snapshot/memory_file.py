"""A guest's memory in a sparse file, its pieces one after the other, with holes for zero pages.

Its SHA-256 is that of each page that is not zero, preceded by its offset in the file (64 bits,
little endian): the same with or without holes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.errors import SnapshotDamaged
from timehands.kvm.memory import GuestMemory
from timehands.kvm.numbers import PAGE_SIZE

if TYPE_CHECKING:
    from hashlib import _Hash

NAME = "memory.bin"
#: Looked at in one go: what is zero is passed over faster.
_CHUNK = 1 << 20
_ZERO_CHUNK, _ZERO_PAGE = bytes(_CHUNK), bytes(PAGE_SIZE)


def write(memory: GuestMemory, path: Path) -> str:
    """Write the file, which must not be there yet. Returns its SHA-256. Raises `OSError`."""
    digest = sha256()
    with path.open("xb", buffering=0) as file:
        os.truncate(file.fileno(), sum(slot.size for slot in memory))
        for offset, page in _pages(_chunks_of(memory)):
            _count(digest, offset, page)
            written = 0
            while written < len(page):
                written += os.pwrite(file.fileno(), page[written:], offset + written)
    return digest.hexdigest()


def read(memory: GuestMemory, path: Path, wanted: str) -> None:
    """Fill ``memory``, all zero as yet, from the file. Raises `SnapshotDamaged`, `OSError`."""
    size = sum(slot.size for slot in memory)
    digest = sha256()
    with path.open("rb", buffering=0) as file:
        there = os.fstat(file.fileno()).st_size
        if there != size:
            said = f"{NAME} has {there:,} bytes, and the guest's memory {size:,}"
            raise SnapshotDamaged(said, path=path.parent)
        for offset, page in _pages(_chunks_in(file.fileno(), size)):
            _count(digest, offset, page)
            _put(memory, offset, page)
    if digest.hexdigest() != wanted:
        said = f"{NAME} is not what was written: its SHA-256 is not that of the snapshot"
        raise SnapshotDamaged(said, path=path.parent)


def _count(digest: _Hash, offset: int, page: bytes) -> None:
    digest.update(offset.to_bytes(8, "little"))
    digest.update(page)


def _pages(chunks: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The pages that are not zero, with their offsets in the file."""
    for start, chunk in chunks:
        if chunk == _ZERO_CHUNK:
            continue
        for at in range(0, len(chunk), PAGE_SIZE):
            page = chunk[at : at + PAGE_SIZE]
            if page != _ZERO_PAGE:
                yield start + at, page


def _chunks_of(memory: GuestMemory) -> Iterator[tuple[int, bytes]]:
    start = 0
    for slot in memory:
        for at in range(0, slot.size, _CHUNK):
            yield start + at, slot.map[at : at + _CHUNK]
        start += slot.size


def _chunks_in(file: int, size: int) -> Iterator[tuple[int, bytes]]:
    """What is no hole, from page to page."""
    at = 0
    while at < size and (start := _next_data(file, at)) is not None:
        at = start // PAGE_SIZE * PAGE_SIZE
        end = min(os.lseek(file, start, os.SEEK_HOLE), size)
        while at < end:
            chunk = os.pread(file, min(_CHUNK, -(-end // PAGE_SIZE) * PAGE_SIZE - at), at)
            if not chunk:  # somebody cuts it meanwhile: the SHA-256 will tell
                return
            yield at, chunk
            at += len(chunk)


def _next_data(file: int, at: int) -> int | None:
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError:  # ENXIO: there is none
        return None


def _put(memory: GuestMemory, offset: int, page: bytes) -> None:
    for slot in memory:
        if offset < slot.size:
            slot.map[offset : offset + len(page)] = page
            return
        offset -= slot.size
