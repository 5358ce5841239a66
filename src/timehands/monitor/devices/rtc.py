"""The MC146818 on a guest's ports 0x70 and 0x71, interrupt 8: the host's date plus an offset.

The date goes on while the guest is paused, as a battery would have it. The interrupts (periodic,
alarm, update ended) are alarms of guest time, set only when a guest asks for them; their flags
rise without that too, for guests that poll. What the guest writes to the time registers moves the
offset: there is no other state than that and the registers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from timehands.clocks.rtc import (
    ALARM_ANY,
    Alarm,
    Register,
    RegisterA,
    RegisterB,
    RegisterC,
    RegisterD,
    RtcTime,
    counts,
    day_of_week_register,
    periodic_hz,
    update_in_progress,
)
from timehands.monitor.time import Alarms, GuestTime

INDEX, PORTS, IRQ = 0x70, 2, 8
NS = 1_000_000_000
RAM_BYTES = 128
_DAY = 86_400
#: How register B says that hours and numbers are written.
_FORMAT = RegisterB.HOURS_24 | RegisterB.BINARY
_TIME = (Register.SECONDS, Register.MINUTES, Register.HOURS, Register.DAY, Register.MONTH,
         Register.YEAR, Register.CENTURY)  # fmt: skip
_ALARM = (Register.SECONDS_ALARM, Register.MINUTES_ALARM, Register.HOURS_ALARM)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799  # 9999-12-31
#: The flags of register C, at the places of their enable bits in register B.
_INTERRUPTS = RegisterC.UPDATE_ENDED | RegisterC.ALARM | RegisterC.PERIODIC


class Rtc:
    """The chip.

    ``offset_ns``: how far its date is ahead of the host's. ``line`` raises (1) and lowers (0) its
    interrupt.
    """

    def __init__(
        self, clock: GuestTime, alarms: Alarms, offset_ns: int, line: Callable[[int], None]
    ) -> None:
        self._clock, self._alarms, self._line = clock, alarms, line
        self._lock = threading.Lock()
        self._offset_ns = offset_ns
        self._index = 0
        self._ram = bytearray(RAM_BYTES)
        self._ram[Register.A] = RegisterA.DIVIDER_32768 | 6
        self._ram[Register.B] = RegisterB.HOURS_24
        self._ram[Register.D] = RegisterD.VALID
        self._polled_ns = self._now_ns()  # the date at which register C was read last
        self._armed = 0  # changes whenever alarms are set anew

    def step(self, by_ns: int) -> None:
        """Move the date."""
        with self._lock:
            self._move(by_ns)

    def state(self) -> dict[str, int | str]:
        """What a snapshot keeps."""
        return {"offset_ns": self._offset_ns, "index": self._index, "ram": self._ram.hex()}

    def restore(self, offset_ns: int, index: int, ram: bytes) -> None:
        """Go on with a snapshot's state."""
        with self._lock:
            self._move(offset_ns - self._offset_ns)
            self._index = index & 0x7F
            self._ram[:] = ram[:RAM_BYTES].ljust(RAM_BYTES, b"\0")
            self._arm()

    def read(self, offset: int, _size: int) -> int:
        """Port 0x70 reads as all ones; 0x71 is the register that was chosen."""
        if offset == 0:
            return 0xFF
        with self._lock:
            return self._read(self._index)

    def write(self, offset: int, _size: int, value: int) -> None:
        """Port 0x70 chooses a register (bit 7 masks NMIs); 0x71 writes it."""
        with self._lock:
            if offset == 0:
                self._index = value & 0x7F
            else:
                self._write(self._index, value & 0xFF)

    def _read(self, register: int) -> int:
        if register in _TIME or register == Register.DAY_OF_WEEK:
            return self._time_register(register)
        if register == Register.A:
            busy = self._counts() and update_in_progress(self._now_ns() % NS, 0)
            return self._ram[register] | (RegisterA.UPDATE_IN_PROGRESS if busy else 0)
        if register == Register.C:
            value, self._ram[register] = int(self._ram[register] | self._noticed()), 0
            self._line(0)
            return value
        return self._ram[register]

    def _time_register(self, register: int) -> int:
        if not self._counts():
            return self._ram[register]
        date = self._date()
        if register == Register.DAY_OF_WEEK:
            return day_of_week_register(date)
        return _fields(RtcTime.of(date, self._ram[Register.B]))[register]

    def _write(self, register: int, value: int) -> None:
        if register in (Register.C, Register.D):
            return
        before = self._counts()
        if before and register in _TIME:
            self._freeze()
            self._ram[register] = value
            self._thaw()
            return
        if before:
            self._freeze()
        if register in _ALARM:  # what rang by now was the old one
            self._ram[Register.C] |= self._noticed()
        self._ram[register] = value & 0x7F if register == Register.A else value
        if register in (Register.A, Register.B):
            if self._counts() and not before:
                self._thaw()
            self._arm()

    def _counts(self) -> bool:
        return counts(self._ram[Register.A], self._ram[Register.B])

    def _now_ns(self) -> int:
        return time.time_ns() + self._offset_ns

    def _date(self) -> datetime:
        seconds = min(max(self._now_ns() // NS, 0), _LAST_SECOND)
        return _EPOCH + timedelta(seconds=seconds)

    def _freeze(self) -> None:
        """The time as it is now into the registers."""
        for register, value in _fields(RtcTime.of(self._date(), self._ram[Register.B])).items():
            self._ram[register] = value

    def _thaw(self) -> None:
        """The date that the registers hold is the date from now on; none that is: nothing."""
        date = self._held().as_utc()
        if date is not None:
            seconds = (date - _EPOCH) // timedelta(seconds=1)
            self._move(seconds * NS - time.time_ns() - self._offset_ns)

    def _move(self, by_ns: int) -> None:
        """A date that was set is no reason for a flag."""
        self._offset_ns += by_ns
        self._polled_ns += by_ns

    def _held(self) -> RtcTime:
        second, minute, hour, day, month, year, century = (self._ram[r] for r in _TIME)
        return RtcTime(second, minute, hour, day, month, year, century, self._ram[Register.B])

    # Flags and interrupts

    def _noticed(self) -> RegisterC:
        """The flags, of those that cause no interrupt, that rose since register C was last read."""
        before, self._polled_ns = self._polled_ns, self._now_ns()
        now, enabled, flags = self._polled_ns, self._ram[Register.B], RegisterC(0)
        hz = periodic_hz(self._ram[Register.A])
        if hz and before * hz // NS < now * hz // NS:
            flags |= RegisterC.PERIODIC
        if self._counts() and before // NS < now // NS:
            flags |= RegisterC.UPDATE_ENDED
            if _rang(self._alarm(), enabled, before // NS, now // NS):
                flags |= RegisterC.ALARM
        return flags & ~RegisterC(enabled & _INTERRUPTS)

    def _raise(self, flags: RegisterC) -> None:
        self._ram[Register.C] |= flags
        if flags & self._ram[Register.B]:
            self._ram[Register.C] |= RegisterC.INTERRUPT
            self._line(1)

    def _arm(self) -> None:
        """Set the alarms that the registers ask for. The enable bits are those of the flags."""
        self._armed += 1
        enabled = RegisterB(self._ram[Register.B])
        self._alarms.clear((self, "periodic"))
        self._alarms.clear((self, "second"))
        if enabled & RegisterB.PERIODIC_INTERRUPT and periodic_hz(self._ram[Register.A]):
            self._arm_periodic(self._clock.now_ns())
        if enabled & (RegisterB.UPDATE_INTERRUPT | RegisterB.ALARM_INTERRUPT) and self._counts():
            self._arm_second()

    def _arm_periodic(self, after_ns: int) -> None:
        hz = periodic_hz(self._ram[Register.A]) or 1
        armed = self._armed
        at_ns = -(-(after_ns * hz // NS + 1) * NS // hz)
        self._alarms.set((self, "periodic"), at_ns, lambda at: self._periodic(at, armed))

    def _periodic(self, at_ns: int, armed: int) -> None:
        """Ticks that the host was too late for are made up for, but not more than a second's."""
        with self._lock:
            if armed == self._armed:
                self._raise(RegisterC.PERIODIC)
                self._arm_periodic(max(at_ns, self._clock.now_ns() - NS))

    def _arm_second(self) -> None:
        """At the date's next second: how far that is off is found anew each time."""
        armed, second = self._armed, self._now_ns() // NS + 1
        at_ns = self._clock.now_ns() + second * NS - self._now_ns()
        self._alarms.set((self, "second"), at_ns, lambda _at: self._second(second, armed))

    def _second(self, second: int, armed: int) -> None:
        with self._lock:
            if armed != self._armed:
                return
            if self._now_ns() // NS >= second:
                flags = RegisterC.UPDATE_ENDED
                self._raise(flags | RegisterC.ALARM if self._alarm_rings() else flags)
            self._arm_second()

    def _alarm(self) -> Alarm:
        return Alarm(*(self._ram[register] for register in _ALARM))

    def _alarm_rings(self) -> bool:
        return self._alarm().rings(RtcTime.of(self._date(), self._ram[Register.B]))


def _rang(alarm: Alarm, register_b: int, before: int, now: int) -> bool:
    """Whether the alarm's time came in the seconds after ``before`` until ``now`` (since 1970).

    Looks at a minute at a time, at a day's minutes at most: how long nobody asked does not matter.
    """
    hours, minutes, seconds = _alarm_times(alarm, register_b & _FORMAT)
    first = max(before + 1, now + 1 - _DAY)
    for minute in range(first // 60, now // 60 + 1):
        if minute % 60 in minutes and minute // 60 % 24 in hours:
            start = minute * 60
            if any(first <= start + second <= now for second in seconds):
                return True
    return False


@lru_cache(16)
def _alarm_times(
    alarm: Alarm, register_b: int
) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """The hours, minutes and seconds at which it rings."""
    times = [RtcTime.of(_EPOCH + timedelta(hours=n), register_b) for n in range(24)]
    hours = (n for n, time in enumerate(times) if alarm.hour in _any_or(time.hour))
    times = [RtcTime.of(_EPOCH + timedelta(seconds=61 * n), register_b) for n in range(60)]
    minutes = (n for n, time in enumerate(times) if alarm.minute in _any_or(time.minute))
    seconds = (n for n, time in enumerate(times) if alarm.second in _any_or(time.second))
    return frozenset(hours), frozenset(minutes), frozenset(seconds)


def _any_or(now: int) -> tuple[int, ...]:
    """What an alarm register may hold to fit a time register."""
    return (now, *range(ALARM_ANY, 0x100))


def _fields(date: RtcTime) -> dict[int, int]:
    values = (date.second, date.minute, date.hour, date.day, date.month, date.year, date.century)
    return dict(zip(_TIME, values, strict=True))
