"""The i8254 interval timer (PIT): its rate, its control words, and what its counts mean in ns.

How a channel counts is in `timehands.clocks.i8254_counter`, what its ports do in
`timehands.clocks.i8254_chip`.

Sources: Intel 8254 data sheet; the crystal of 14.31818 MHz is divided by 12 (Linux
include/linux/timex.h, PIT_TICK_RATE; QEMU include/hw/timer/i8254.h, PIT_FREQ); Linux
arch/x86/kvm/i8254.h, KVM_PIT_FREQ; FreeBSD sys/x86/isa/clock.c, DELAY's arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

PIT_HZ = 1_193_182
#: KVM's i8254 counts 0.84 ppm slower than the chip's (KVM_PIT_FREQ): 72 ms a day.
KVM_PIT_HZ = 1_193_181
NS_PER_S = 1_000_000_000
#: A channel counts 16 bits: at its slowest it wraps after 65,536 ticks, 54.9 ms.
MODULUS = 1 << 16
#: ... or four decimal digits, when asked to count in BCD.
BCD_MODULUS = 10_000

#: Three channels, one control word port.
PORTS = (0x40, 0x41, 0x42)
CONTROL_PORT = 0x43
#: Port 0x61: bit 0 is the gate of channel 2, bit 5 shows its output.
GATE_2 = 1 << 0
OUT_2 = 1 << 5


class Mode(IntEnum):
    """How a channel counts. Codes 6 and 7 are modes 2 and 3."""

    TERMINAL_COUNT = 0
    ONE_SHOT = 1
    RATE_GENERATOR = 2
    SQUARE_WAVE = 3
    SOFTWARE_STROBE = 4
    HARDWARE_STROBE = 5

    @property
    def periodic(self) -> bool:
        """Modes 2 and 3 reload by themselves."""
        return self in (Mode.RATE_GENERATOR, Mode.SQUARE_WAVE)

    @property
    def triggered(self) -> bool:
        """Modes 1 and 5 start at a rising gate only."""
        return self in (Mode.ONE_SHOT, Mode.HARDWARE_STROBE)


class Access(IntEnum):
    """Bits 5:4 of a control word: which bytes the channel's port takes and gives."""

    LATCH = 0
    LOW = 1
    HIGH = 2
    BOTH = 3


#: Bits 7:6 of a control word that is a read-back command.
READ_BACK = 3


@dataclass(frozen=True, slots=True)
class ControlWord:
    """What a byte written to port 0x43 asks of one channel (not a read-back command)."""

    channel: int
    access: Access
    mode: Mode
    bcd: bool

    @classmethod
    def parse(cls, value: int) -> ControlWord | None:
        """From the byte; None when it is a read-back command."""
        if value >> 6 & 3 == READ_BACK:
            return None
        code = value >> 1 & 7
        mode = Mode(code & 3 if code > 5 else code)
        return cls(value >> 6 & 3, Access(value >> 4 & 3), mode, bool(value & 1))

    def build(self) -> int:
        """The byte."""
        return self.channel << 6 | self.access << 4 | self.mode << 1 | self.bcd


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A read-back command: for these channels latch the count, the status, or both."""

    channels: tuple[int, ...]
    count: bool
    status: bool

    @classmethod
    def parse(cls, value: int) -> ReadBack | None:
        """From the byte; None when it is another control word. Bits 5 and 4 mean "do not"."""
        if value >> 6 & 3 != READ_BACK:
            return None
        channels = tuple(n for n in range(3) if value & 2 << n)
        return cls(channels, not value & 1 << 5, not value & 1 << 4)

    def build(self) -> int:
        """The byte."""
        chosen = sum(2 << channel for channel in self.channels)
        return READ_BACK << 6 | (not self.count) << 5 | (not self.status) << 4 | chosen


@dataclass(frozen=True, slots=True)
class Status:
    """The status byte of a read-back. ``null_count``: the last count written is not loaded yet."""

    output: bool
    null_count: bool
    access: Access
    mode: Mode
    bcd: bool

    @classmethod
    def parse(cls, value: int) -> Status:
        """From the byte."""
        code = value >> 1 & 7
        mode = Mode(code & 3 if code > 5 else code)
        access = Access(value >> 4 & 3)
        return cls(bool(value & 0x80), bool(value & 0x40), access, mode, bool(value & 1))

    def build(self) -> int:
        """The byte."""
        flags = self.output << 7 | self.null_count << 6
        return flags | self.access << 4 | self.mode << 1 | self.bcd


def ticks_to_ns(ticks: int) -> int:
    """The time of so many ticks in ns, rounded down."""
    return ticks * NS_PER_S // PIT_HZ


def ns_to_ticks(ns: int) -> int:
    """How many whole ticks have passed after ``ns``."""
    return ns * PIT_HZ // NS_PER_S


def nearest_reload(period_ns: int) -> int | None:
    """The count whose period is nearest to ``period_ns``; None when it is below 2 or over 65536."""
    count = (2 * period_ns * PIT_HZ + NS_PER_S) // (2 * NS_PER_S)
    return count if 2 <= count <= MODULUS else None


def freebsd_delay_ticks(us: int) -> int:
    """The ticks that FreeBSD's i8254_delay waits for ``us`` microseconds (0 or more).

    Below 256 us by a fixed-point factor of 1.193207, rounded to nearest; from there on rounded up.
    """
    if us < 256:
        return (us * 39_099 + (1 << 15) - 1) >> 15
    return -(-us * PIT_HZ // 1_000_000)
