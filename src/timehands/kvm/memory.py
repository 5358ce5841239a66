"""Guest memory: slots of our own memory that the guest sees at physical addresses."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from ctypes import addressof, c_char
from dataclasses import dataclass, field

from timehands.kvm.numbers import PAGE_SIZE, MemoryFlags


@dataclass(frozen=True, slots=True)
class MemorySlot:
    """``size`` bytes that the guest sees at ``address``; both whole pages. Filled with zeros."""

    slot: int
    address: int
    size: int
    flags: MemoryFlags = MemoryFlags.NONE
    map: mmap.mmap = field(repr=False, compare=False, kw_only=True)

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.address + self.size

    @property
    def host_address(self) -> int:
        """Where it is in our memory."""
        return addressof(c_char.from_buffer(self.map))


def make_slot(slot: int, address: int, size: int, flags: MemoryFlags) -> MemorySlot:
    """A slot of fresh memory, not yet given to KVM. Raises `ValueError` unless of whole pages."""
    if size <= 0 or address < 0 or (address | size) % PAGE_SIZE:
        raise ValueError(f"guest memory is whole pages, not {size:#x} bytes at {address:#x}")
    kinds = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    return MemorySlot(slot, address, size, flags, map=mmap.mmap(-1, size, flags=kinds))


class GuestMemory:
    """The guest's physical memory: all slots of a machine.

    Reads and writes may cross slots that touch. What is in no slot raises `ValueError`: nothing
    outside the guest's memory is ever read or written.
    """

    def __init__(self) -> None:
        self._slots: list[MemorySlot] = []

    def __iter__(self) -> Iterator[MemorySlot]:
        return iter(self._slots)

    def add(self, slot: MemorySlot) -> None:
        """Take a slot in. Raises `ValueError` when it overlaps another."""
        for other in self._slots:
            if slot.address < other.end and other.address < slot.end:
                raise ValueError(f"memory at {slot.address:#x} overlaps that at {other.address:#x}")
        self._slots.append(slot)
        self._slots.sort(key=lambda each: each.address)

    def remove(self, slot: MemorySlot) -> None:
        """Take a slot out again and free its memory."""
        self._slots.remove(slot)
        unmap(slot.map)

    def free(self) -> None:
        """Give all memory back. Views that are still held stay valid until they are dropped."""
        while self._slots:
            unmap(self._slots.pop().map)

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at a physical address."""
        return b"".join(slot.map[at : at + part] for slot, at, part in self._parts(address, size))

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Put bytes at a physical address: all of them, or none."""
        done = 0
        for slot, at, part in list(self._parts(address, len(data))):
            slot.map[at : at + part] = bytes(data[done : done + part])
            done += part

    def _parts(self, address: int, size: int) -> Iterator[tuple[MemorySlot, int, int]]:
        """The slots that hold these bytes, with the offset and the number of bytes in each."""
        if size < 0:
            raise ValueError(f"cannot access {size} bytes")
        at, end = address, address + size
        for slot in self._slots:
            if at < end and slot.address <= at < slot.end:
                part = min(end, slot.end) - at
                yield slot, at - slot.address, part
                at += part
        if at < end:
            raise ValueError(f"no guest memory at {at:#x}")


def unmap(memory: mmap.mmap) -> None:
    """Give a mapping back: now, or when the last view of it is dropped."""
    with suppress(BufferError):
        memory.close()
