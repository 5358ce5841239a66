"""An IOAPIC of ours: 24 pins whose interrupts are messages to the LAPICs.

A level-triggered pin whose interrupt was sent waits for its EOI (remote IRR), which comes from the
LAPIC that took it. As in KVM's own, writing such an entry as edge-triggered ends the wait, too
(kernels do so for IOAPICs of version 0x11, which have no register for it), and the polarity of a
pin is of no account: devices say what is on and what is off.

Source: Intel 82093AA data sheet, 3.0 (registers); Intel SDM volume 3A, 11.11 (messages).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from timehands.monitor.layout import IOAPIC

ADDRESS, BYTES = IOAPIC, 0x20
PINS, VERSION = 24, 0x11
#: Bits of a redirection entry.
LEVEL, REMOTE_IRR, MASKED = 1 << 15, 1 << 14, 1 << 16
#: What a guest can write of it: not the delivery status and remote IRR.
CHANGES = 0xFF << 56 | 0x1_AFFF
_SELECT, _WINDOW = 0x00, 0x10
_ID, _VERSION, _ARBITRATION, _ENTRIES = 0, 1, 2, 0x10
_MESSAGES, _ASSERTED = 0xFEE0_0000, 1 << 14
_LOW = (1 << 32) - 1
Message = tuple[int, int]
#: A route that leads nowhere: an edge-triggered message, which is of no account (see `routes`).
_NOWHERE: Message = (_MESSAGES, 0)


def message(entry: int) -> Message:
    """The address and data by which a redirection entry interrupts."""
    logical, destination = entry >> 11 & 1, entry >> 56 & 0xFF
    return _MESSAGES | destination << 12 | logical << 2, entry & (LEVEL | 0x7FF) | _ASSERTED


class Ioapic:
    """The chip.

    ``send`` is called with the address and data of each interrupt. ``route`` is told the messages
    of all pins whenever one changed that is level-triggered, for KVM to know whose EOI is wanted.
    """

    def __init__(
        self,
        send: Callable[[int, int], object],
        route: Callable[[Sequence[Message]], None],
    ) -> None:
        self._send, self._route = send, route
        self._lock = threading.Lock()
        self._select, self._id, self._lines = 0, 0, 0
        self._entries = [MASKED] * PINS
        self._routed = self.routes()

    def state(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        with self._lock:
            return {
                "select": self._select,
                "id": self._id,
                "lines": self._lines,
                "entries": tuple(self._entries),
            }

    def restore(self, *, select: int, id: int, lines: int, entries: Sequence[int]) -> None:
        """Go on with a snapshot's state. What was sent is not sent again."""
        with self._lock:
            self._select, self._id, self._lines = select, id, lines
            self._entries = [entry & (CHANGES | REMOTE_IRR) for entry in entries]
            self._tell_routes()

    def routes(self) -> tuple[Message, ...]:
        """A message for each pin, masked or not: one may be masked while its EOI is awaited."""
        return tuple(message(entry) if entry & LEVEL else _NOWHERE for entry in self._entries)

    def set(self, pin: int, level: int) -> None:
        """The level of a pin. An edge that comes while it is masked is lost, as in the chip."""
        bit = 1 << pin
        with self._lock:
            rises = bool(level) and not self._lines & bit
            self._lines = self._lines | bit if level else self._lines & ~bit
            entry = self._entries[pin]
            if entry & LEVEL:
                self._serve(pin)
            elif rises and not entry & MASKED:
                self._send(*message(entry))

    def end(self, vector: int) -> None:
        """A LAPIC ended the interrupt of this vector. A pin that is still up interrupts again."""
        with self._lock:
            for pin, entry in enumerate(self._entries):
                if entry & REMOTE_IRR and entry & 0xFF == vector:
                    self._entries[pin] = entry & ~REMOTE_IRR
                    self._serve(pin)

    def read(self, offset: int, size: int) -> int:
        """The register select, or the register that it selects: 4 bytes each."""
        with self._lock:
            value = self._read() if offset & ~3 == _WINDOW else 0
            if offset & ~3 == _SELECT:
                value = self._select
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def write(self, offset: int, _size: int, value: int) -> None:
        """The register select, or the register that it selects; all else is passed over."""
        with self._lock:
            if offset == _SELECT:
                self._select = value & 0xFF
            elif offset == _WINDOW:
                self._write(value & _LOW)

    def _read(self) -> int:
        if self._select in (_ID, _ARBITRATION):
            return self._id << 24
        if self._select == _VERSION:
            return PINS - 1 << 16 | VERSION
        pin, high = divmod(self._select - _ENTRIES, 2)
        if not 0 <= pin < PINS:
            return 0
        return self._entries[pin] >> 32 * high & _LOW

    def _write(self, value: int) -> None:
        pin, high = divmod(self._select - _ENTRIES, 2)
        if self._select == _ID:
            self._id = value >> 24 & 0x0F
        elif 0 <= pin < PINS:
            mask = CHANGES & _LOW << 32 * high
            self._entries[pin] = self._entries[pin] & ~mask | value << 32 * high & mask
            if not self._entries[pin] & LEVEL:
                self._entries[pin] &= ~REMOTE_IRR
            self._tell_routes()
            self._serve(pin)

    def _tell_routes(self) -> None:
        """KVM takes its time for this, so only when there is something new."""
        routes = self.routes()
        if routes != self._routed:
            self._routed = routes
            self._route(routes)

    def _serve(self, pin: int) -> None:
        """Interrupt by a pin that is up, level-triggered, and neither masked nor waiting."""
        entry = self._entries[pin]
        if self._lines >> pin & 1 and entry & (LEVEL | REMOTE_IRR | MASKED) == LEVEL:
            self._entries[pin] = entry | REMOTE_IRR
            self._send(*message(entry))
