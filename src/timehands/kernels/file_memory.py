"""A kernel file as memory: what its data holds before it runs."""

from __future__ import annotations

from bisect import bisect_right

from timehands.kernels.elf import ElfImage
from timehands.kernels.memory import MAX_READ, Unreadable


class FileMemory:
    """Reads a kernel's own segments by virtual address, with zeroes where the file has none.

    Args:
        elf: the unpacked kernel, with its contents.
    """

    def __init__(self, elf: ElfImage) -> None:
        self._data = elf.data
        self._segments = sorted(elf.loaded, key=lambda one: one.vaddr)
        self._starts = [one.vaddr for one in self._segments]

    def read(self, address: int, length: int) -> bytes:
        """Exactly ``length`` bytes of one segment. Raises `Unreadable` outside all."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or not 0 <= length <= MAX_READ:
            raise Unreadable(address, length)
        segment = self._segments[index]
        at = address - segment.vaddr
        if at + length > segment.memsz:
            raise Unreadable(address, length)
        there = min(max(segment.filesz - at, 0), length)
        found = bytes(self._data[segment.offset + at : segment.offset + at + there])
        return found + bytes(length - len(found))
