"""Two 8259s of ours, the second behind the first one's input 2, as on a PC.

A chip is edge-triggered but for the inputs that its ELCR names. The cascade is a level: the first
chip sees the second one's output as it is now, so nothing is lost between them.

Source: Intel 8259A data sheet (December 1988); 82371AB (PIIX4) data sheet, 8.5.4 (ELCR).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

FIRST, SECOND, PORTS = 0x20, 0xA0, 2
ELCR, ELCR_PORTS = 0x4D0, 2
IRQS = 16
_CASCADE = 2
#: What the chips tell when nobody interrupts any more.
_SPURIOUS = 7
#: Inputs that can be level-triggered: not the i8254, the keyboard, the cascade, the RTC, the FPU.
CAN_BE_LEVEL = (0xF8, 0xDE)
_ICW1, _OCW3 = 0x10, 0x08


class Await(IntEnum):
    """The word that a chip expects at its second port: ICW2 to ICW4, or the mask."""

    MASK = 0
    BASE = 1
    CASCADE = 2
    MODE = 3


class End(IntEnum):
    """What OCW2 asks for, by its bits 5 to 7."""

    ROTATE_AUTO_OFF = 0
    ANY = 1
    NOTHING = 2
    ONE = 3
    ROTATE_AUTO_ON = 4
    ANY_ROTATE = 5
    LOWEST = 6
    ONE_ROTATE = 7


@dataclass(slots=True)
class Chip:
    """One 8259. ``irr``, ``isr``, ``mask``, ``lines``, ``elcr``: a bit for each input.

    ``lowest``: the input of the lowest priority; ``base``: its first vector; ``nested``: special
    fully nested mode.
    """

    irr: int = 0
    isr: int = 0
    mask: int = 0
    lines: int = 0
    elcr: int = 0
    base: int = 0
    lowest: int = 7
    awaits: Await = Await.MASK
    single: bool = False
    wants_mode: bool = False
    auto_end: bool = False
    rotates: bool = False
    nested: bool = False
    special_mask: bool = False
    shows_isr: bool = False
    polled: bool = False

    def set(self, number: int, level: int) -> None:
        """An input's level. A request that began stays until it is taken, unless it is a level."""
        bit = 1 << number
        if not level:
            self.lines &= ~bit
            self.irr &= ~(bit & self.elcr)
        elif self.elcr & bit or not self.lines & bit:
            self.irr |= bit
            self.lines |= bit

    def wants(self) -> int | None:
        """The input that its output is up for."""
        asks = self._first(self.irr & ~self.mask)
        if asks is None:
            return None
        served = self.isr & ~self.mask if self.special_mask else self.isr
        if self.nested:
            served &= ~(1 << _CASCADE)
        before = self._first(served)
        if before is not None and self._rank(before) <= self._rank(asks):
            return None
        return asks

    def take(self, number: int) -> None:
        """The processor acknowledged this input."""
        bit = 1 << number
        self.irr &= ~(bit & ~self.elcr)
        if not self.auto_end:
            self.isr |= bit
        elif self.rotates:
            self.lowest = number

    def write_command(self, value: int) -> None:
        """The first port: ICW1, OCW2 or OCW3."""
        if value & _ICW1:
            self._begin(value)
        elif value & _OCW3:
            self.polled = bool(value & 4)
            if value & 2:
                self.shows_isr = bool(value & 1)
            if value & 0x40:
                self.special_mask = bool(value & 0x20)
        else:
            self._end(End(value >> 5), value & 7)

    def write_data(self, value: int) -> None:
        """The second port: the mask, or what is awaited after ICW1."""
        if self.awaits is Await.MASK:
            self.mask = value
            return
        if self.awaits is Await.BASE:
            self.base = value & 0xF8
        elif self.awaits is Await.MODE:
            self.nested, self.auto_end = bool(value & 0x10), bool(value & 2)
        self.awaits = self._next()

    def read(self, offset: int) -> int:
        """A port: the mask, IRR or ISR."""
        if offset:
            return self.mask
        return self.isr if self.shows_isr else self.irr

    def poll(self) -> int:
        """What a read after the poll command gives, which acknowledges."""
        self.polled = False
        number = self.wants()
        if number is None:
            return 0
        self.take(number)
        return 0x80 | number

    def _begin(self, value: int) -> None:
        """ICW1. What is level-triggered and up asks again; what was an edge is forgotten."""
        self.irr &= self.elcr
        self.isr = self.mask = self.base = 0
        self.lowest, self.awaits = 7, Await.BASE
        self.single, self.wants_mode = bool(value & 2), bool(value & 1)
        self.auto_end = self.rotates = self.nested = False
        self.special_mask = self.shows_isr = self.polled = False

    def _next(self) -> Await:
        if self.awaits is Await.BASE and not self.single:
            return Await.CASCADE
        return Await.MODE if self.awaits is not Await.MODE and self.wants_mode else Await.MASK

    def _end(self, how: End, number: int) -> None:
        if how in (End.ROTATE_AUTO_ON, End.ROTATE_AUTO_OFF):
            self.rotates = how is End.ROTATE_AUTO_ON
        elif how is End.LOWEST:
            self.lowest = number
        elif how is not End.NOTHING:
            served = number if how in (End.ONE, End.ONE_ROTATE) else self._first(self.isr)
            if served is not None:
                self.isr &= ~(1 << served)
                if how in (End.ANY_ROTATE, End.ONE_ROTATE):
                    self.lowest = served

    def _rank(self, number: int) -> int:
        """0 for the highest priority."""
        return number - self.lowest - 1 & 7

    def _first(self, bits: int) -> int | None:
        """The input of the highest priority among these."""
        numbers = [number for number in range(8) if bits >> number & 1]
        return min(numbers, key=self._rank, default=None)


class Pics:
    """Both. ``rose`` is called when their output goes up: the processor is to look."""

    def __init__(self, rose: Callable[[], None]) -> None:
        self._rose = rose
        self._lock = threading.Lock()
        self._chips = (Chip(), Chip())
        self._up = False
        self.first, self.second = Ports(self, 0), Ports(self, 1)
        self.elcr = Elcr(self)

    @property
    def up(self) -> bool:
        """Whether the output is up."""
        return self._up

    def chips(self) -> tuple[Chip, Chip]:
        """The state, to be kept in a snapshot."""
        with self._lock:
            return replace(self._chips[0]), replace(self._chips[1])

    def restore(self, first: Chip, second: Chip) -> None:
        """Go on with this state."""
        with self._lock:
            self._chips = replace(first), replace(second)
            self._update()

    def set(self, irq: int, level: int) -> None:
        """The level of an interrupt line, 0 to 15. The cascade's is nobody's."""
        if irq == _CASCADE:
            return
        with self._lock:
            self._chips[irq >> 3].set(irq & 7, level)
            self._update()

    def deliver(self, give: Callable[[int], bool]) -> bool:
        """Hand the vector that is due to ``give``, and acknowledge it when that took it."""
        with self._lock:
            number = self._chips[0].wants()
            if number is None or not give(self._vector(number)):
                return False
            second = self._chips[1].wants() if number == _CASCADE else None
            if second is not None:
                self._chips[1].take(second)
            self._chips[0].take(number)
            self._update()
            return True

    def read_port(self, chip: int, offset: int) -> int:
        """A byte from a chip's port."""
        with self._lock:
            one = self._chips[chip]
            if not one.polled:
                return one.read(offset)
            value = one.poll()
            self._update()
            return value

    def write_port(self, chip: int, offset: int, value: int) -> None:
        """A byte to a chip's port."""
        with self._lock:
            one = self._chips[chip]
            (one.write_data if offset else one.write_command)(value & 0xFF)
            self._update()

    def read_elcr(self, chip: int) -> int:
        """Which inputs are level-triggered."""
        return self._chips[chip].elcr

    def write_elcr(self, chip: int, value: int) -> None:
        """Let these inputs be level-triggered, of those that can."""
        with self._lock:
            self._chips[chip].elcr = value & CAN_BE_LEVEL[chip]
            self._update()

    def _vector(self, number: int) -> int:
        first, second = self._chips
        if number != _CASCADE:
            return first.base | number
        behind = second.wants()
        return second.base | (_SPURIOUS if behind is None else behind)

    def _update(self) -> None:
        """The cascade, then the output."""
        first, second = self._chips
        bit = 1 << _CASCADE
        first.irr = first.irr & ~bit | (0 if second.wants() is None else bit)
        before, self._up = self._up, first.wants() is not None
        if self._up and not before:
            self._rose()


class Ports:
    """The two ports of one of the chips."""

    def __init__(self, pics: Pics, chip: int) -> None:
        self._pics, self._chip = pics, chip

    def read(self, offset: int, _size: int) -> int:
        """IRR, ISR, a poll, or the mask."""
        return self._pics.read_port(self._chip, offset)

    def write(self, offset: int, _size: int, value: int) -> None:
        """A command, or the mask."""
        self._pics.write_port(self._chip, offset, value)


class Elcr:
    """Ports 0x4D0 and 0x4D1: which inputs are level-triggered."""

    def __init__(self, pics: Pics) -> None:
        self._pics = pics

    def read(self, offset: int, _size: int) -> int:
        """A bit for each input of a chip."""
        return self._pics.read_elcr(offset)

    def write(self, offset: int, _size: int, value: int) -> None:
        """A bit for each input of a chip."""
        self._pics.write_elcr(offset, value)
