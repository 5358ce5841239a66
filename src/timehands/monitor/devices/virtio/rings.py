"""Split rings: what a driver offers to its device in the guest's memory, and what it gets back.

All of it is the guest's, and may change at any time: each field is read once, and what was read is
checked. Nothing outside the guest's memory is read or written (`GuestMemory` sees to that), and a
chain of descriptors has no more of them than the ring. Source: virtio 1.2, 2.7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from timehands.kvm.memory import GuestMemory
from timehands.monitor.devices.virtio.numbers import NO_INTERRUPT, DescriptorFlag

#: How many descriptors a ring has at most.
MAX_SIZE = 128
_DESCRIPTOR = struct.Struct("<QIHH")
_USED = struct.Struct("<II")
_U16 = 0xFFFF
#: Of the rings: flags and index come before the entries.
_HEADER, _AVAILABLE_ENTRY, _USED_ENTRY = 4, 2, _USED.size


class RingBroken(ValueError):
    """The driver did what no driver may: says what. The device needs a reset after that."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Where a queue is, and how far the device has come with it.

    ``descriptors``, ``available`` and ``used`` are physical addresses. ``taken`` and ``returned``
    count chains, modulo 2^16.
    """

    size: int = 0
    ready: bool = False
    descriptors: int = 0
    available: int = 0
    used: int = 0
    taken: int = 0
    returned: int = 0

    @property
    def fits(self) -> bool:
        """Whether it can be used: a power of two of descriptors, and all parts aligned."""
        return (
            0 < self.size <= MAX_SIZE
            and self.size & (self.size - 1) == 0
            and self.descriptors % 16 == self.available % 2 == self.used % 4 == 0
        )


class Buffer(NamedTuple):
    """A piece of the guest's memory; it need not be there."""

    address: int
    size: int


class Descriptor(NamedTuple):
    """An entry of a table (2.7.5), as it was when it was read."""

    address: int
    size: int
    flags: int
    next: int


@dataclass(frozen=True, slots=True)
class Chain:
    """What the driver offers at a time: what the device may read, and then what it may write."""

    head: int
    readable: tuple[Buffer, ...]
    writable: tuple[Buffer, ...]

    @property
    def readable_bytes(self) -> int:
        """How much there is to read."""
        return sum(buffer.size for buffer in self.readable)

    @property
    def writable_bytes(self) -> int:
        """How much can be written."""
        return sum(buffer.size for buffer in self.writable)


def read(memory: GuestMemory, chain: Chain) -> bytes:
    """All that there is to read. Raises `RingBroken`. Ask for `Chain.readable_bytes` first."""
    return b"".join(_get(memory, buffer.address, buffer.size) for buffer in chain.readable)


def write(memory: GuestMemory, chain: Chain, offset: int, data: bytes) -> None:
    """Put data at an offset of what can be written. Raises `RingBroken`, also if it is too long."""
    left = memoryview(data)
    for buffer in chain.writable:
        part = left[: max(0, buffer.size - offset)]
        if part:
            _put(memory, buffer.address + offset, part)
            left, offset = left[len(part) :], 0
        else:
            offset -= buffer.size
    if left:
        raise RingBroken("there is no room for an answer")


class Queue:
    """A ring in a guest's memory. All methods raise `RingBroken`."""

    def __init__(self, memory: GuestMemory, indirect: bool, ring: Ring) -> None:
        """``indirect``: whether the driver may use tables of descriptors."""
        self._memory, self._indirect = memory, indirect
        self.ring = ring

    def take(self) -> Iterator[Chain]:
        """The chains that are offered now. What is offered meanwhile is notified by itself."""
        ring = self.ring
        waiting = self._index(ring.available) - ring.taken & _U16
        if waiting > ring.size:
            raise RingBroken(f"{waiting} chains are offered in a ring of {ring.size}")
        for _ in range(waiting):
            taken = self.ring.taken
            self.ring = replace(self.ring, taken=taken + 1 & _U16)
            entry = ring.available + _HEADER + _AVAILABLE_ENTRY * (taken % ring.size)
            yield self._chain(int.from_bytes(_get(self._memory, entry, 2), "little"))

    def give_back(self, chain: Chain, written: int) -> None:
        """A chain was used, ``written`` bytes of it were written. The index comes last."""
        ring = self.ring
        returned = ring.returned + 1 & _U16
        entry = ring.used + _HEADER + _USED_ENTRY * (ring.returned % ring.size)
        _put(self._memory, entry, _USED.pack(chain.head, written))
        _put(self._memory, ring.used + 2, returned.to_bytes(2, "little"))
        self.ring = replace(ring, returned=returned)

    def wants_interrupt(self) -> bool:
        """Whether the driver wants to be told of used buffers."""
        flags = int.from_bytes(_get(self._memory, self.ring.available, 2), "little")
        return not flags & NO_INTERRUPT

    def _index(self, part: int) -> int:
        return int.from_bytes(_get(self._memory, part + 2, 2), "little")

    def _chain(self, head: int) -> Chain:
        buffers: tuple[list[Buffer], list[Buffer]] = ([], [])
        for each in self._walk(head):
            writes = bool(each.flags & DescriptorFlag.WRITE)
            if buffers[1] and not writes:
                raise RingBroken("what can be read comes after what can be written")
            buffers[writes].append(Buffer(each.address, each.size))
        return Chain(head, tuple(buffers[0]), tuple(buffers[1]))

    def _walk(self, head: int) -> Iterator[Descriptor]:
        """A chain's descriptors, those of an indirect table in its place."""
        ring = self.ring
        left = ring.size
        for each in self._table(ring.descriptors, ring.size, head):
            if not each.flags & DescriptorFlag.INDIRECT:
                yield each
                left -= 1
                continue
            for inner in self._indirect_table(each):
                left -= 1
                if left < 0:
                    raise RingBroken(f"a chain has more than {ring.size} descriptors")
                yield inner

    def _indirect_table(self, outer: Descriptor) -> Iterator[Descriptor]:
        count, rest = divmod(outer.size, _DESCRIPTOR.size)
        if not self._indirect or outer.flags & DescriptorFlag.NEXT or rest or not count:
            raise RingBroken("a table of descriptors where none can be")
        for each in self._table(outer.address, count, 0):
            if each.flags & DescriptorFlag.INDIRECT:
                raise RingBroken("a table of descriptors within another")
            yield each

    def _table(self, address: int, count: int, first: int) -> Iterator[Descriptor]:
        """Descriptors of a table, from one to the next, but no more than it has."""
        number = first
        for _ in range(count):
            if number >= count:
                raise RingBroken(f"descriptor {number} of {count}")
            place = address + number * _DESCRIPTOR.size
            each = Descriptor(*_DESCRIPTOR.unpack(_get(self._memory, place, _DESCRIPTOR.size)))
            yield each
            if not each.flags & DescriptorFlag.NEXT:
                return
            number = each.next
        raise RingBroken("a chain of descriptors in a loop")


def _get(memory: GuestMemory, address: int, size: int) -> bytes:
    try:
        return memory.read(address, size)
    except ValueError as error:
        raise RingBroken(str(error)) from None


def _put(memory: GuestMemory, address: int, data: bytes | memoryview) -> None:
    try:
        memory.write(address, data)
    except ValueError as error:
        raise RingBroken(str(error)) from None
