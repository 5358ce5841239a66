"""A guest's memory in a sparse file, its pieces one after the other, with holes for zero pages.

Its SHA-256 is that of each run of pages that are not zero, preceded by its offset in the file and
its length (64 bits each, little endian): the same with or without holes. A run ends with its MiB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENXIO
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.errors import SnapshotDamaged
from timehands.kvm.memory import GuestMemory, MemorySlot
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
        for offset, slot, at in _chunks(memory):
            for start, run in _runs(slot.map[at : at + _CHUNK]):
                _count(digest, offset + start, run)
                _write_all(file.fileno(), run, offset + start)
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
        data_at = 0
        for offset, slot, at in _chunks(memory):
            if data_at <= offset:
                data_at = _next_data(file.fileno(), offset, size)
            if data_at >= offset + _CHUNK:
                continue
            chunk = os.pread(file.fileno(), min(_CHUNK, slot.size - at), offset)
            for start, run in _runs(chunk):
                _count(digest, offset + start, run)
                slot.map[at + start : at + start + len(run)] = run
    if digest.hexdigest() != wanted:
        said = f"{NAME} is not what was written: its SHA-256 is not that of the snapshot"
        raise SnapshotDamaged(said, path=path.parent)


def _chunks(memory: GuestMemory) -> Iterator[tuple[int, MemorySlot, int]]:
    """All of it: an offset in the file, the slot that holds it, and the offset therein."""
    start = 0
    for slot in memory:
        for at in range(0, slot.size, _CHUNK):
            yield start + at, slot, at
        start += slot.size


def _runs(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """The runs of pages that are not zero."""
    if chunk == _ZERO_CHUNK:
        return
    start: int | None = None
    for at in range(0, len(chunk), PAGE_SIZE):
        zero = chunk[at : at + PAGE_SIZE] == _ZERO_PAGE
        if zero and start is not None:
            yield start, chunk[start:at]
            start = None
        elif not zero and start is None:
            start = at
    if start is not None:
        yield start, chunk[start:]


def _count(digest: _Hash, offset: int, run: bytes) -> None:
    digest.update(offset.to_bytes(8, "little") + len(run).to_bytes(8, "little"))
    digest.update(run)


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _next_data(file: int, at: int, end: int) -> int:
    """Where the next bytes are that are no hole; the end when there are none."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == ENXIO:
            return end + _CHUNK
        return at  # a file system without holes
