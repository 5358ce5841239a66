"""Our own i8254 on a guest's ports: the chip's arithmetic is that of `timehands.clocks`.

Channel 0 raises interrupt 0 at each rise of its output. Port 0x61 gates channel 2 and shows it.

As with KVM's own (arch/x86/kvm/i8254.c, create_pit_timer) interrupts come 200 us apart at least: a
guest that asks for more must not keep the host busy. Those that the host was too late for are made
up for, but not more than a second's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from timehands.clocks.i8254 import PIT_HZ
from timehands.clocks.i8254_chip import Chip
from timehands.monitor.time import Alarms, GuestTime

IRQ = 0
PORT, PORTS = 0x40, 4
SPEAKER = 0x61
_NS = 1_000_000_000
_SPEAKER_DATA = 0x02
_APART = -(-PIT_HZ * 200 // 1_000_000)


class I8254:
    """The chip. ``pulse`` is called at each rise of channel 0's output."""

    def __init__(self, clock: GuestTime, alarms: Alarms, pulse: Callable[[], None]) -> None:
        self._clock, self._alarms, self._pulse = clock, alarms, pulse
        self._lock = threading.Lock()
        self._chip = Chip.new(at_once=True)
        self._speaker = 0
        self._due: int | None = None  # the rise that is waited for

    def read(self, offset: int, _size: int) -> int:
        """Ports 0x40 to 0x43."""
        return self.read_port(PORT + offset)

    def write(self, offset: int, _size: int, value: int) -> None:
        """Ports 0x40 to 0x43."""
        self.write_port(PORT + offset, value)

    def read_port(self, port: int) -> int:
        """A byte from one of the chip's ports, or from 0x61."""
        with self._lock:
            value, self._chip = self._chip.read(port, self._tick())
        return value | self._speaker if port == SPEAKER else value

    def write_port(self, port: int, value: int) -> None:
        """A byte to one of the chip's ports, or to 0x61."""
        with self._lock:
            tick, before = self._tick(), self._chip.channels[0].counter
            self._chip = self._chip.write(port, value & 0xFF, tick)
            if port == SPEAKER:
                self._speaker = value & _SPEAKER_DATA
            if self._chip.channels[0].counter is not before:  # else one that is due stays so
                self._arm(tick)

    @property
    def chip(self) -> Chip:
        """The state, to be kept in a snapshot."""
        return self._chip

    @property
    def speaker(self) -> int:
        """The bit of port 0x61 that the chip does not know, to be kept as well."""
        return self._speaker

    def restore(self, chip: Chip, speaker: int = 0) -> None:
        """Go on with this state, whose ticks are those of guest time."""
        with self._lock:
            self._chip, self._speaker = chip, speaker & _SPEAKER_DATA
            self._arm(self._tick())

    def _tick(self) -> int:
        return self._clock.now_ns() * PIT_HZ // _NS

    def _arm(self, tick: int) -> None:
        self._due = rise = self._chip.next_rise(0, tick)
        if rise is None:
            self._alarms.clear(self)
        else:
            self._alarms.set(self, -(-rise * _NS // PIT_HZ), lambda _ns: self._rose(rise))

    def _rose(self, rise: int) -> None:
        """Interrupt, and on to the next rise, unless the guest programmed the chip meanwhile."""
        with self._lock:
            if self._due != rise:
                return
            self._arm(max(rise + _APART - 1, self._tick() - PIT_HZ))
        self._pulse()


class Speaker:
    """Port 0x61."""

    def __init__(self, chip: I8254) -> None:
        self._chip = chip

    def read(self, _offset: int, _size: int) -> int:
        """Gate 2, output 2, and what was written to the speaker's bit."""
        return self._chip.read_port(SPEAKER)

    def write(self, _offset: int, _size: int, value: int) -> None:
        """Gate 2, and the speaker's bit."""
        self._chip.write_port(SPEAKER, value)
