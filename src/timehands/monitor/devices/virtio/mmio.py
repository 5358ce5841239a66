"""The registers by which a driver and a virtio device come together (virtio 1.2, 4.2, version 2).

What the driver asks for is done in the thread of the vCPU that notifies: when that is out of the
guest, nothing is half done. It is bounded: what was offered when it notified, and no more (each
offer is notified, since the device never asks to be left alone).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from timehands.kvm.memory import GuestMemory
from timehands.monitor.devices.virtio.numbers import (
    CONFIG,
    MAGIC,
    VENDOR,
    VERSION,
    DeviceId,
    Feature,
    Interrupt,
    Register,
    Status,
)
from timehands.monitor.devices.virtio.rings import MAX_SIZE, Chain, Queue, Ring, RingBroken

_U32 = 0xFFFF_FFFF
_COMMON = Feature.VERSION_1 | Feature.INDIRECT
_RUNS = Status.FEATURES_OK | Status.DRIVER_OK


class Device(Protocol):
    """What a device does, apart from its registers and rings. It has one queue.

    ``features``: its own, without those of the transport. ``config``: its configuration, which the
    driver reads and cannot change.
    """

    id: DeviceId
    features: int
    config: bytes

    def serve(self, memory: GuestMemory, chain: Chain, features: int) -> int:
        """Do what a chain asks for; returns how many bytes were written to it.

        ``features``: those that the driver took. Raises `RingBroken`, and no other error.
        """


@dataclass(frozen=True, slots=True)
class Registers:
    """What a transport remembers: all that a snapshot has to keep of it."""

    device_features_select: int = 0
    driver_features_select: int = 0
    driver_features: int = 0
    queue_select: int = 0
    interrupts: int = 0
    status: int = 0
    ring: Ring = field(default_factory=Ring)


class Transport:
    """A virtio device on a page of addresses. ``line`` raises (1) and lowers (0) its interrupt.

    Attributes:
        broken: what a driver did for which the device needs a reset, in words; empty while none.
    """

    def __init__(self, device: Device, memory: GuestMemory, line: Callable[[int], None]) -> None:
        self.device = device
        self.broken = ""
        self._memory, self._line = memory, line
        self._lock = threading.Lock()
        self._offered = int(device.features | _COMMON)
        self._level = 0
        self._now = Registers()
        self._readers: dict[int, Callable[[], int]] = {
            Register.MAGIC: lambda: MAGIC,
            Register.VERSION: lambda: VERSION,
            Register.DEVICE_ID: lambda: int(device.id),
            Register.VENDOR_ID: lambda: VENDOR,
            Register.DEVICE_FEATURES: self._offered_word,
            Register.QUEUE_SIZE_MAX: lambda: MAX_SIZE if self._here() else 0,
            Register.QUEUE_READY: lambda: int(self._now.ring.ready and self._here()),
            Register.INTERRUPT_STATUS: lambda: self._now.interrupts,
            Register.STATUS: lambda: self._now.status,
            Register.SHARED_LENGTH_LOW: lambda: _U32,
            Register.SHARED_LENGTH_HIGH: lambda: _U32,
            Register.SHARED_BASE_LOW: lambda: _U32,
            Register.SHARED_BASE_HIGH: lambda: _U32,
        }
        self._writers: dict[int, Callable[[int], None]] = {
            Register.DEVICE_FEATURES_SELECT: lambda v: self._set(device_features_select=v),
            Register.DRIVER_FEATURES_SELECT: lambda v: self._set(driver_features_select=v),
            Register.DRIVER_FEATURES: self._take_features,
            Register.QUEUE_SELECT: lambda v: self._set(queue_select=v),
            Register.QUEUE_SIZE: lambda v: self._set_ring(size=min(v, MAX_SIZE + 1)),
            Register.QUEUE_READY: self._set_ready,
            Register.QUEUE_NOTIFY: self._notified,
            Register.INTERRUPT_ACK: self._acknowledge,
            Register.STATUS: self._set_status,
            Register.DESCRIPTORS_LOW: lambda v: self._set_half("descriptors", 0, v),
            Register.DESCRIPTORS_HIGH: lambda v: self._set_half("descriptors", 32, v),
            Register.DRIVER_RING_LOW: lambda v: self._set_half("available", 0, v),
            Register.DRIVER_RING_HIGH: lambda v: self._set_half("available", 32, v),
            Register.DEVICE_RING_LOW: lambda v: self._set_half("used", 0, v),
            Register.DEVICE_RING_HIGH: lambda v: self._set_half("used", 32, v),
        }

    @property
    def registers(self) -> Registers:
        """What a snapshot keeps."""
        with self._lock:
            return self._now

    def restore(self, registers: Registers) -> None:
        """Go on with a snapshot's state. Raises its line if need be.

        Raises `ValueError` for a ring that cannot be in use.
        """
        if registers.ring.ready and not registers.ring.fits:
            raise ValueError("a ring that cannot be is in use")
        with self._lock:
            self._now = registers
            self._update_line()

    def read(self, offset: int, size: int) -> int:
        """A register of 32 bits, or any part of the configuration; else 0."""
        if offset >= CONFIG:
            at = offset - CONFIG
            return int.from_bytes(self.device.config[at : at + size], "little")
        reader = self._readers.get(offset)
        if size != 4 or reader is None:
            return 0
        with self._lock:
            return reader()

    def write(self, offset: int, size: int, value: int) -> None:
        """A register of 32 bits; anything else is dropped."""
        writer = self._writers.get(offset)
        if size == 4 and writer is not None:
            with self._lock:
                writer(value & _U32)
                self._update_line()

    def _offered_word(self) -> int:
        return _word(self._offered, self._now.device_features_select)

    def _here(self) -> bool:
        """Whether the queue that was chosen is there: the first one is."""
        return self._now.queue_select == 0

    def _set(self, **values: int) -> None:
        self._now = replace(self._now, **values)  # type: ignore[arg-type]

    def _take_features(self, value: int) -> None:
        """A word of those that the driver wants; once they are agreed on, they stay."""
        now = self._now
        shift = 32 * now.driver_features_select
        if shift > 32 or now.status & Status.FEATURES_OK:
            return
        others = now.driver_features & ~(_U32 << shift)
        self._now = replace(now, driver_features=others | value << shift)

    def _set_ring(self, **values: int) -> None:
        """Not while it is in use, and not one that is not there."""
        now = self._now
        if self._here() and not now.ring.ready:
            self._now = replace(now, ring=replace(now.ring, **values))  # type: ignore[arg-type]

    def _set_half(self, part: str, shift: int, value: int) -> None:
        whole: int = getattr(self._now.ring, part)
        self._set_ring(**{part: whole & ~(_U32 << shift) | value << shift})

    def _set_ready(self, value: int) -> None:
        """A ring that does not fit stays out of use, as the driver finds when it reads this."""
        now = self._now
        if not self._here():
            return
        if not value & 1:
            self._now = replace(now, ring=replace(now.ring, ready=False))
        elif not now.ring.ready and now.ring.fits:
            self._now = replace(now, ring=replace(now.ring, ready=True, taken=0, returned=0))

    def _set_status(self, value: int) -> None:
        """0 resets. Features are agreed on only if all of them were offered, and VERSION_1 taken.

        What a driver offered before it was ready is used then.
        """
        if value == 0:
            self._now, self.broken = Registers(), ""
            return
        now, new = self._now, Status(value & 0xFF) & ~Status.NEEDS_RESET
        if new & Status.FEATURES_OK and not self._features_fit():
            new &= ~Status.FEATURES_OK
        self._now = replace(now, status=int(new | now.status & Status.NEEDS_RESET))
        if not now.status & Status.DRIVER_OK and new & Status.DRIVER_OK:
            self._serve()

    def _features_fit(self) -> bool:
        wanted = self._now.driver_features
        return not wanted & ~self._offered and bool(wanted & Feature.VERSION_1)

    def _acknowledge(self, value: int) -> None:
        self._set(interrupts=int(self._now.interrupts & ~value))

    def _notified(self, value: int) -> None:
        if value == 0:
            self._serve()

    def _serve(self) -> None:
        """Do what is offered, unless something is wrong with it."""
        now = self._now
        stops = now.status & (Status.NEEDS_RESET | Status.FAILED)
        if now.status & _RUNS != _RUNS or stops or not now.ring.ready:
            return
        queue = Queue(self._memory, bool(now.driver_features & Feature.INDIRECT), now.ring)
        try:
            served = self._serve_all(queue)
            if served and queue.wants_interrupt():
                self._set(interrupts=int(self._now.interrupts | Interrupt.USED))
        except RingBroken as error:
            self._break(str(error))
        self._now = replace(self._now, ring=queue.ring)

    def _serve_all(self, queue: Queue) -> bool:
        served = False
        for chain in queue.take():
            written = self.device.serve(self._memory, chain, self._now.driver_features)
            queue.give_back(chain, written)
            served = True
        return served

    def _break(self, words: str) -> None:
        """The driver is told, by a change of configuration, that it has to begin anew (2.1.2)."""
        self.broken = words
        self._set(
            status=int(self._now.status | Status.NEEDS_RESET),
            interrupts=int(self._now.interrupts | Interrupt.CONFIG),
        )

    def _update_line(self) -> None:
        level = int(self._now.interrupts != 0)
        if level != self._level:
            self._level = level
            self._line(level)


def _word(value: int, select: int) -> int:
    """Bits 0 to 31, or 32 to 63; there are no more."""
    return value >> 32 * select & _U32 if select < 2 else 0
