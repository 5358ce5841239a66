"""Ports and addresses of a guest, and the devices that answer there.

A device sees offsets from its own start. What no device answers reads as all ones, as on a PC, and
swallows what is written. An access that is wider than a device of bytes becomes accesses to the
ports that follow, a byte each, as the ISA bus does it: each goes to the device of bytes that is
there. A device that takes more at once never sees a part of an access that starts before it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

#: So many addresses are remembered with what answers there: guests use few.
_KEPT = 256
#: No access is wider, in bytes.
MAX_ACCESS = 8


class Device(Protocol):
    """Answers accesses of 1, 2, 4 or 8 bytes. Called from the thread of the vCPU that accesses.

    A device locks what it shares between vCPUs, never blocks, and takes any offset within its
    range, any size and any value: a guest may do what it likes.
    """

    def read(self, offset: int, size: int) -> int:
        """The value that the guest reads; bits above ``8 * size`` are dropped."""

    def write(self, offset: int, size: int, value: int) -> None:
        """The guest wrote ``value``, of ``size`` bytes."""


@dataclass(frozen=True, slots=True)
class Range:
    """A device's place on a bus. ``widest``: as many bytes as it takes at once."""

    start: int
    size: int
    device: Device
    widest: int = MAX_ACCESS

    @property
    def end(self) -> int:
        """The first port or address after it."""
        return self.start + self.size


class Bus:
    """Devices by port or address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ranges: list[Range] = []
        self._starts: list[int] = []
        #: What answers at an address.
        self.find = lru_cache(_KEPT)(self._find)

    @property
    def devices(self) -> tuple[Device, ...]:
        """What answers somewhere, by place."""
        return tuple(place.device for place in self._ranges)

    def add(self, start: int, size: int, device: Device, *, widest: int = MAX_ACCESS) -> None:
        """Place a device; ``widest`` is 1 for one of bytes, else it takes all that comes.

        Raises `ValueError` when another one is there.
        """
        place = Range(start, size, device, widest)
        for other in self._ranges:
            if place.start < other.end and other.start < place.end:
                raise ValueError(f"{self.name} {start:#x} is taken already")
        self._ranges.append(place)
        self._ranges.sort(key=lambda each: each.start)
        self._starts = [each.start for each in self._ranges]
        self.find.cache_clear()

    def _find(self, address: int) -> Range | None:
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address < self._ranges[at].end:
            return self._ranges[at]
        return None

    def read(self, address: int, size: int) -> int:
        """What the guest reads there."""
        place = self.find(address)
        if place is not None and size <= place.widest:
            return place.device.read(address - place.start, size) & (1 << 8 * size) - 1
        return sum(self._read_byte(address + at) << 8 * at for at in range(size))

    def write(self, address: int, size: int, value: int) -> None:
        """What the guest writes there."""
        place = self.find(address)
        if place is not None and size <= place.widest:
            place.device.write(address - place.start, size, value)
            return
        for at in range(size):
            byte = self.find(address + at)
            if byte is not None and byte.widest == 1:
                byte.device.write(address + at - byte.start, 1, value >> 8 * at & 0xFF)

    def _read_byte(self, address: int) -> int:
        place = self.find(address)
        if place is None or place.widest != 1:
            return 0xFF
        return place.device.read(address - place.start, 1) & 0xFF
