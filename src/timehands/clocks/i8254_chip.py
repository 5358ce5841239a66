"""The i8254 behind its ports: three channels, control words, latches, and bytes in order.

`Chip` is a value: each access gives a new one (and reads the byte, too). Ticks are those of
`timehands.clocks.i8254_counter`.

Sources: Intel 8254 data sheet, "Programming the 8254", "Counter Latch Command", "Read-Back
Command".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from timehands.clocks.i8254 import (
    CONTROL_PORT,
    GATE_2,
    OUT_2,
    PORTS,
    Access,
    ControlWord,
    ReadBack,
    Status,
)
from timehands.clocks.i8254_counter import Counter, bcd_digits, bcd_number


@dataclass(frozen=True, slots=True)
class Channel:
    """One counter and its port. ``low_written`` and ``low_read``: half way through two bytes.

    ``latched`` is a count (as its 16 bits are read), ``status`` a status byte, that wait to be
    read.
    """

    counter: Counter = field(default_factory=Counter)
    access: Access = Access.BOTH
    low_written: int | None = None
    low_read: bool = False
    latched: int | None = None
    status: int | None = None

    def control(self, word: ControlWord, tick: int) -> Channel:
        """A control word for this channel: a latch command, or a new mode."""
        if word.access is Access.LATCH:
            return self.latch_count(tick)
        return Channel(self.counter.control(word.mode, word.bcd, tick), word.access)

    def latch_count(self, tick: int) -> Channel:
        """Hold the count until it is read; a second latch before that does nothing."""
        return self if self.latched is not None else replace(self, latched=self._bits(tick))

    def latch_status(self, tick: int) -> Channel:
        """Hold the status until it is read; a second latch before that does nothing."""
        if self.status is not None:
            return self
        counter = self.counter
        status = Status(
            counter.output(tick), counter.null_count(tick), self.access, counter.mode, counter.bcd
        )
        return replace(self, status=status.build())

    def write(self, value: int, tick: int) -> Channel:
        """A byte written to the channel's port."""
        value &= 0xFF
        if self.access is Access.LOW:
            return self._written(value, tick)
        if self.access is Access.HIGH:
            return self._written(value << 8, tick)
        if self.low_written is None:
            return replace(self, counter=self.counter.first_byte(tick), low_written=value)
        return replace(self, low_written=None)._written(value << 8 | self.low_written, tick)

    def read(self, tick: int) -> tuple[int, Channel]:
        """A byte read from the port: the latched status, the latched count, or the count itself."""
        if self.status is not None:
            return self.status, replace(self, status=None)
        bits = self._bits(tick) if self.latched is None else self.latched
        if self.access is Access.LOW:
            return bits & 0xFF, replace(self, latched=None)
        if self.access is Access.HIGH:
            return bits >> 8, replace(self, latched=None)
        if not self.low_read:
            return bits & 0xFF, replace(self, low_read=True)
        return bits >> 8, replace(self, low_read=False, latched=None)

    def _written(self, bits: int, tick: int) -> Channel:
        count = bcd_number(bits) if self.counter.bcd else bits
        return replace(self, counter=self.counter.write(count, tick))

    def _bits(self, tick: int) -> int:
        count = self.counter.value(tick)
        return bcd_digits(count) if self.counter.bcd else count


@dataclass(frozen=True, slots=True)
class Chip:
    """The three channels. Channel 2's gate is low until port 0x61 raises it; the others are high.

    ``at_once``: load counts as emulators do (see `timehands.clocks.i8254_counter`).
    """

    channels: tuple[Channel, Channel, Channel]

    @classmethod
    def new(cls, *, at_once: bool = False) -> Chip:
        """After power-up; what it counts before it is programmed is left open by the data sheet."""
        up = Channel(Counter(at_once=at_once))
        return cls((up, up, Channel(Counter(gate=False, at_once=at_once))))

    def write(self, port: int, value: int, tick: int) -> Chip:
        """OUT to 0x40 to 0x43, or to 0x61 (its bit 0 only); other ports are not the chip's."""
        if port in PORTS:
            number = PORTS.index(port)
            return self._with(number, self.channels[number].write(value, tick))
        if port == CONTROL_PORT:
            return self._control(value & 0xFF, tick)
        if port == 0x61:
            return self.set_gate(2, bool(value & GATE_2), tick)
        return self

    def read(self, port: int, tick: int) -> tuple[int, Chip]:
        """IN from 0x40 to 0x42, or from 0x61 (bits 0 and 5 only); 0xff elsewhere, also 0x43."""
        if port in PORTS:
            number = PORTS.index(port)
            value, channel = self.channels[number].read(tick)
            return value, self._with(number, channel)
        if port == 0x61:
            counter = self.channels[2].counter
            return counter.gate * GATE_2 | counter.output(tick) * OUT_2, self
        return 0xFF, self

    def set_gate(self, number: int, level: bool, tick: int) -> Chip:
        """A gate input changes."""
        channel = self.channels[number]
        changed = replace(channel, counter=channel.counter.set_gate(level, tick))
        return self._with(number, changed)

    def output(self, number: int, tick: int) -> bool:
        """The level of a channel's output; channel 0's is interrupt 0."""
        return self.channels[number].counter.output(tick)

    def next_rise(self, number: int, tick: int) -> int | None:
        """When a channel's output rises next, after ``tick``; None when it does not."""
        return self.channels[number].counter.next_rise(tick)

    def _control(self, value: int, tick: int) -> Chip:
        word = ControlWord.parse(value)
        if word is not None:
            return self._with(word.channel, self.channels[word.channel].control(word, tick))
        command = ReadBack.parse(value)
        chip = self
        for number in command.channels if command else ():
            channel = chip.channels[number]
            channel = channel.latch_count(tick) if command and command.count else channel
            channel = channel.latch_status(tick) if command and command.status else channel
            chip = chip._with(number, channel)
        return chip

    def _with(self, number: int, channel: Channel) -> Chip:
        first, second, third = (
            channel if n == number else old for n, old in enumerate(self.channels)
        )
        return Chip((first, second, third))
