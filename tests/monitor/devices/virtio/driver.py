"""A driver of a virtio device, and the memory that it shares with it: right, or as wrong as asked.

Written from the specification (virtio 1.2, 2.7 and 4.2) and not with the numbers of what it tests.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from monitor.devices.fakes import Line
from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.numbers import MemoryFlags
from timehands.monitor.devices.virtio.mmio import Device, Transport

MEMORY_BYTES = 1 << 20
#: A second piece of memory that does not touch the first one.
FAR, FAR_BYTES = 1 << 32, 1 << 16
TABLE, AVAILABLE, USED, INNER, DATA = 0x1000, 0x2000, 0x3000, 0x4000, 0x10000
SIZE = 16
NEXT, WRITE, INDIRECT = 1, 2, 4
VERSION_1, USES_INDIRECT = 1 << 32, 1 << 28


class Part(NamedTuple):
    """What a descriptor points to."""

    address: int
    size: int
    flags: int = 0
    next: int | None = None


def some_memory() -> GuestMemory:
    """Two pieces of it, without a KVM."""
    memory = GuestMemory()
    memory.add(make_slot(0, 0, MEMORY_BYTES, MemoryFlags.NONE))
    memory.add(make_slot(1, FAR, FAR_BYTES, MemoryFlags.NONE))
    return memory


class Driver:
    """Has a device's registers, its memory, and the levels that its interrupt line had."""

    def __init__(self, device: Device, *, without: int = 0, size: int = SIZE) -> None:
        """``without``: features that it does not take."""
        self.memory, self.line = some_memory(), Line()
        self.transport = Transport(device, self.memory, self.line)
        self.size = size
        self.offered = self.seen = 0
        self.begin(without)

    def read(self, register: int) -> int:
        return self.transport.read(register, 4)

    def write(self, register: int, value: int) -> None:
        self.transport.write(register, 4, value)

    @property
    def features(self) -> int:
        """Those that are offered."""
        words = []
        for select in (0, 1):
            self.write(0x14, select)
            words.append(self.read(0x10))
        return words[0] | words[1] << 32

    def begin(self, without: int = 0) -> None:
        """Reset it, and go on until it can be used (3.1.1)."""
        self.offered = self.seen = 0
        self.memory.write(AVAILABLE, bytes(6 + 2 * self.size))
        self.memory.write(USED, bytes(6 + 8 * self.size))
        for status in (0, 1, 3):
            self.write(0x70, status)
        self.take(self.features & ~without)
        self.write(0x70, 11)
        self.place_ring()
        self.write(0x70, 15)

    def take(self, features: int) -> None:
        """Say which features it wants."""
        for select in (0, 1):
            self.write(0x24, select)
            self.write(0x20, features >> 32 * select & 0xFFFFFFFF)

    def place_ring(self) -> None:
        """Tell the device where the queue is."""
        self.write(0x30, 0)
        self.write(0x38, self.size)
        for register, address in ((0x80, TABLE), (0x90, AVAILABLE), (0xA0, USED)):
            self.write(register, address & 0xFFFFFFFF)
            self.write(register + 4, address >> 32)
        self.write(0x44, 1)

    def table(self, *parts: Part, at: int = TABLE) -> None:
        """Descriptors in a row, each with the next one, unless its part says otherwise."""
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            flags, following = part.flags, part.next
            if following is None:
                following = number + 1
                flags |= 0 if is_last else NEXT
            else:
                flags |= NEXT
            raw = struct.pack("<QIHH", part.address, part.size, flags, following)
            self.memory.write(at + 16 * number, raw)

    def offer(self, head: int = 0) -> None:
        """Make a chain available."""
        self.memory.write(AVAILABLE + 4 + 2 * (self.offered % self.size), struct.pack("<H", head))
        self.offered = self.offered + 1 & 0xFFFF
        self.memory.write(AVAILABLE + 2, struct.pack("<H", self.offered))

    def notify(self) -> None:
        """Tell the device."""
        self.write(0x50, 0)

    def ask(self, *parts: Part) -> int:
        """Offer a chain of these and notify. Returns how many bytes were written."""
        self.table(*parts)
        self.offer()
        self.notify()
        assert not self.transport.broken, self.transport.broken
        return self.used()

    def used(self) -> int:
        """The next chain that comes back: it has to be the first descriptor's."""
        (index,) = struct.unpack("<H", self.memory.read(USED + 2, 2))
        assert index != self.seen, "nothing was given back"
        entry = self.memory.read(USED + 4 + 8 * (self.seen % self.size), 8)
        self.seen = self.seen + 1 & 0xFFFF
        head, written = struct.unpack("<II", entry)
        assert head == 0
        return int(written)

    @property
    def waits(self) -> int:
        """How many chains came back and were not looked at."""
        (index,) = struct.unpack("<H", self.memory.read(USED + 2, 2))
        return (index - self.seen) & 0xFFFF

    @property
    def needs_reset(self) -> bool:
        """Whether the device says so."""
        return bool(self.read(0x70) & 0x40)
