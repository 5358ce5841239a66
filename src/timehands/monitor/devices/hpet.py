"""An HPET: a main counter of 100 MHz in guest time, and three timers that interrupt by the IOAPIC.

The counter stands while it is not enabled, and while the guest is paused. Timers are one-shot or
periodic, of 32 or 64 bits, edge- or level-triggered, on the IOAPIC's pins 16 to 23. Legacy
replacement routes are not offered (LEG_RT_CAP is clear): the i8254 and the RTC keep their
interrupts, and no message-signalled interrupts (FSB).

As with our i8254 interrupts come 200 us apart at least, and those that the host was too late for
are made up for, but not more than a second's.

Source: IA-PC HPET Specification 1.0a (Intel, October 2004), 2.3 and 2.4.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, IntFlag
from typing import Any

from timehands.monitor.time import Alarms, GuestTime

ADDRESS, BYTES = 0xFED0_0000, 0x400
HZ, PERIOD_FS = 100_000_000, 10_000_000
TIMERS = 3
#: The pins that a timer may have: 16 to 23, which nothing else of ours uses.
ROUTES = 0x00FF_0000
_NS = 10  # of a tick
#: The least period that keeps its time: 200 us.
LEAST_TICKS = 200_000 // _NS
#: A match that is farther off, in ticks, is not waited for: 182 years.
_FAR = 1 << 59
_MASK_32, _MASK_64 = (1 << 32) - 1, (1 << 64) - 1
_VENDOR, _REVISION = 0x8086, 1
#: Revision, number of timers less one, a counter of 64 bits, vendor, period.
CAPABILITIES = PERIOD_FS << 32 | _VENDOR << 16 | 1 << 13 | TIMERS - 1 << 8 | _REVISION
_ENABLED = 1
_TIMER, _TIMER_BYTES = 0x100, 0x20


class Register(IntEnum):
    """Offsets of the 64-bit registers that are not a timer's."""

    CAPABILITIES = 0x000
    CONFIGURATION = 0x010
    STATUS = 0x020
    COUNTER = 0x0F0


class TimerFlags(IntFlag):
    """A timer's configuration, as far as it can be changed."""

    LEVEL = 1 << 1
    INTERRUPTS = 1 << 2
    PERIODIC = 1 << 3
    SET = 1 << 6
    BITS_32 = 1 << 8
    ROUTE = 0x1F << 9


#: What a guest can change in a timer's configuration and that stays.
CHANGES = 0x1F << 9 | 1 << 8 | 0b1110
#: Capabilities: periodic, of 64 bits, and its routes.
_TIMER_CAPABILITIES = 1 << 4 | 1 << 5 | ROUTES << 32


@dataclass(slots=True)
class Timer:
    """One timer: its configuration without what it is able to do, comparator, and period.

    ``setting``: the next write to the comparator is a time, not a period. ``due``: its next match,
    as a count of the main counter that never wraps.
    """

    configuration: int = 0
    comparator: int = _MASK_64
    period: int = 0
    setting: bool = False
    due: int = 0

    @property
    def route(self) -> int:
        """Its pin."""
        return self.configuration >> 9 & 0x1F

    @property
    def mask(self) -> int:
        """The bits that are compared."""
        return _MASK_32 if self.configuration & TimerFlags.BITS_32 else _MASK_64

    @property
    def repeats(self) -> bool:
        """Whether it is a periodic one that has its period."""
        return self.has(TimerFlags.PERIODIC) and self.period > 0

    def has(self, flag: TimerFlags) -> bool:
        """Whether it is configured so."""
        return bool(self.configuration & flag)

    def configure(self, value: int) -> None:
        """What the guest writes. A pin that it cannot have stays what it was."""
        kept = self.configuration
        self.configuration = value & CHANGES
        if not ROUTES >> self.route & 1:
            self.configuration = self.configuration & ~TimerFlags.ROUTE | kept & TimerFlags.ROUTE
        self.setting = bool(value & TimerFlags.SET) and self.has(TimerFlags.PERIODIC)
        self.comparator &= self.mask
        self.period &= self.mask

    def compare(self, value: int, written: int) -> None:
        """What the guest writes to the comparator: a time, or the period, or (at first) both.

        ``written``: the bits that it writes; the others stay.
        """
        if not self.repeats or self.setting:
            self.comparator = (self.comparator & ~written | value) & self.mask
        if self.has(TimerFlags.PERIODIC):
            self.period = (self.period & ~written | value) & self.mask
        self.setting = False

    def aim(self, count: int) -> None:
        """Its next match is the first from ``count`` on."""
        self.due = count + (self.comparator - count & self.mask)

    def go_on(self, count: int) -> None:
        """It matched. A periodic one goes on, 200 us later at least, with what is left to make up
        for of the last second; another one matches when the counter comes round."""
        if not self.repeats:
            self.due += self.mask + 1
            return
        steps = max(1, -(-LEAST_TICKS // self.period), (count - HZ - self.due) // self.period)
        self.due += steps * self.period
        self.comparator = self.due & self.mask


class Hpet:
    """The block. ``line`` is called with a pin and its level."""

    def __init__(
        self, clock: GuestTime, alarms: Alarms, line: Callable[[int, int], object]
    ) -> None:
        self._clock, self._alarms, self._line = clock, alarms, line
        self._lock = threading.Lock()
        self._configuration, self._status = 0, 0
        self._base = 0  # the counter while it stands; else less the ticks of guest time
        self._timers = [Timer() for _ in range(TIMERS)]
        self._armed = 0  # changes whenever timers are armed anew
        self._up: set[int] = set()  # pins that are held

    def state(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        with self._lock:
            return {
                "configuration": self._configuration,
                "status": self._status,
                "count": self._count(),
                "timers": [asdict(timer) for timer in self._timers],
            }

    def restore(
        self, *, configuration: int, status: int, count: int, timers: Sequence[Timer]
    ) -> None:
        """Go on with a snapshot's state, at the guest time that is now. Holds its pins again."""
        with self._lock:
            self._configuration = configuration & _ENABLED
            self._status = status & (1 << TIMERS) - 1
            self._timers = [replace(timer) for timer in timers]
            self._set_count(count)
            self._arm()
            self._drive()

    def read(self, offset: int, size: int) -> int:
        """A register, or the half of one that begins there."""
        with self._lock:
            return self._read(offset & ~7) >> 8 * (offset & 7) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """A register, or a half of one: 4 or 8 bytes, aligned; all else is passed over."""
        if size not in (4, 8) or offset % size:
            return
        with self._lock:
            mask = (1 << 8 * size) - 1 << 8 * (offset & 7)
            self._write(offset & ~7, value << 8 * (offset & 7) & mask, mask)
            self._drive()

    def _read(self, register: int) -> int:
        if register == Register.CAPABILITIES:
            return CAPABILITIES
        if register == Register.STATUS:
            return self._status
        if register == Register.CONFIGURATION:
            return self._configuration
        if register == Register.COUNTER:
            return self._count() & _MASK_64
        timer, part = self._timer(register)
        if timer is None:
            return 0
        return (timer.configuration | _TIMER_CAPABILITIES, timer.comparator, 0, 0)[part // 8]

    def _timer(self, register: int) -> tuple[Timer | None, int]:
        number, part = divmod(register - _TIMER, _TIMER_BYTES)
        return (self._timers[number] if 0 <= number < TIMERS else None), part

    def _write(self, register: int, value: int, mask: int) -> None:
        if register == Register.CONFIGURATION and mask & _ENABLED:
            count = self._count()
            self._configuration = value & _ENABLED
            self._set_count(count)
        elif register == Register.STATUS:
            self._status &= ~value
        elif register == Register.COUNTER:
            count = self._count() & _MASK_64 & ~mask | value
            self._set_count(count)
            for timer in self._timers:
                timer.aim(count)
        else:
            self._write_timer(register, value, mask)
        if register != Register.STATUS:
            self._arm()

    def _write_timer(self, register: int, value: int, mask: int) -> None:
        timer, part = self._timer(register)
        if timer is None:
            return
        if part == 8:
            timer.compare(value, mask)
        elif part == 0 and mask & _MASK_32:
            timer.configure(value)
        timer.aim(self._count())

    # The counter

    def _ticks(self) -> int:
        return self._clock.now_ns() // _NS

    def _count(self) -> int:
        """The main counter, as if it never wrapped."""
        return self._base + (self._ticks() if self._configuration & _ENABLED else 0)

    def _set_count(self, value: int) -> None:
        self._base = value - (self._ticks() if self._configuration & _ENABLED else 0)

    # The timers

    def _arm(self) -> None:
        """Set the alarms of all timers, by the counter as it is now."""
        self._armed += 1
        for number in range(TIMERS):
            self._arm_one(number)

    def _arm_one(self, number: int) -> None:
        """One that is late rings at once."""
        timer = self._timers[number]
        ticks = max(0, timer.due - self._count())
        if not self._goes(timer) or ticks > _FAR:
            self._alarms.clear((self, number))
            return
        armed, at = self._armed, self._ticks() + ticks
        self._alarms.set((self, number), at * _NS, lambda _ns: self._rang(number, armed))

    def _goes(self, timer: Timer) -> bool:
        """One that interrupts nobody may still set its status, for guests that poll it."""
        asked = timer.has(TimerFlags.INTERRUPTS | TimerFlags.LEVEL)
        return bool(self._configuration & _ENABLED) and asked

    def _rang(self, number: int, armed: int) -> None:
        """A match, unless the guest programmed the block meanwhile."""
        with self._lock:
            if armed != self._armed:
                return
            timer = self._timers[number]
            timer.go_on(self._count())
            self._arm_one(number)
            if timer.has(TimerFlags.LEVEL):
                self._status |= 1 << number
                self._drive()
            elif ROUTES >> timer.route & 1 and timer.route not in self._up:  # else it is up already
                self._line(timer.route, 1)
                self._line(timer.route, 0)

    def _drive(self) -> None:
        """Hold the pins whose level-triggered timers have not been acknowledged, and no others."""
        wanted = {
            timer.route
            for number, timer in enumerate(self._timers)
            if self._status >> number & 1 and self._holds(timer)
        }
        for route in self._up - wanted:
            self._line(route, 0)
        for route in wanted - self._up:
            self._line(route, 1)
        self._up = wanted

    def _holds(self, timer: Timer) -> bool:
        level = timer.has(TimerFlags.LEVEL) and timer.has(TimerFlags.INTERRUPTS)
        return level and bool(ROUTES >> timer.route & 1)
