"""What a guest wrote to a disk and is to be dropped: a file without a name, as large as needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

SECTOR = 512
#: Sectors that are kept together: a page, which is what most kernels write at least.
_GROUP = 8

#: Reads so many sectors from a first one on.
Read = Callable[[int, int], bytes]


class Overlay:
    """Lies over a disk whose sectors ``below`` reads. Raises `OSError` when its file is full."""

    def __init__(self, below: Read) -> None:
        self._below = below
        self._file = tempfile.TemporaryFile(prefix="timehands-disk-", buffering=0)  # noqa: SIM115
        self._changed: set[int] = set()  # groups that are here, whole

    @property
    def wrote(self) -> bool:
        """Whether anything was written."""
        return bool(self._changed)

    def read(self, sector: int, count: int) -> bytes:
        """So many sectors, as written here or else below."""
        data = self._below(sector, count)
        groups = range(sector // _GROUP, (sector + count - 1) // _GROUP + 1)
        changed = self._changed.intersection(groups)
        if not changed:
            return data
        patched, end = bytearray(data), sector + count
        for group in changed:
            low, high = max(group * _GROUP, sector), min((group + 1) * _GROUP, end)
            new = read_at(self._file.fileno(), low * SECTOR, (high - low) * SECTOR)
            patched[(low - sector) * SECTOR : (high - sector) * SECTOR] = new
        return bytes(patched)

    def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. What else is in their first and last group comes from below."""
        first, last = sector // _GROUP, (sector + len(data) // SECTOR - 1) // _GROUP
        for group in {first, last} - self._changed:
            low = group * _GROUP
            write_at(self._file.fileno(), low * SECTOR, self._below(low, _GROUP))
        write_at(self._file.fileno(), sector * SECTOR, data)
        self._changed.update(range(first, last + 1))

    def close(self) -> None:
        """Drop it."""
        self._file.close()


def read_at(fd: int, offset: int, size: int) -> bytes:
    """So many bytes; zeros where the file ends. Raises `OSError`."""
    data = os.pread(fd, size, offset)
    while len(data) < size and (part := os.pread(fd, size - len(data), offset + len(data))):
        data += part
    return data.ljust(size, b"\0")


def write_at(fd: int, offset: int, data: bytes) -> None:
    """All of it. Raises `OSError`."""
    left = memoryview(data)
    while left:
        done = os.pwrite(fd, left, offset)
        left, offset = left[done:], offset + done
