"""The devices: i8254, RTC, and interrupts that a timer should not give."""

from __future__ import annotations

import time
from collections.abc import Callable

from timehands.clocks.rtc import Register, RegisterA
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import Mutant, become
from timehands.monitor.devices.i8254 import I8254, SPEAKER
from timehands.monitor.devices.rtc import NS, Rtc
from timehands.monitor.microvm import Microvm

_CONTROL, _GATE, _OUT = 0x43, 0x01, 0x20
_READ_BACK, _MODE, _MODE_2, _MODE_3 = 3, 0x0E, 0x04, 0x06
_TIME = (Register.SECONDS, Register.MINUTES, Register.HOURS, Register.DAY, Register.MONTH,
         Register.YEAR)  # fmt: skip
_LAPIC, _TIMER_VECTOR = 0xFEE0_0000, 0x40
_HOURS_NS = 9 * 3600 * NS
#: Steps of register A's rate: each is half of the one before.
_EIGHT_TIMES = 3


def _i8254(kind: type[I8254]) -> Bend:
    return lambda guest: become(guest.i8254, kind)


def _rtc(kind: type[Rtc]) -> Bend:
    return lambda guest: become(guest.rtc, kind)


class _OneMhz(I8254):
    def _tick(self) -> int:
        return self._clock.now_ns() // 1_000


class _NoLatch(I8254):
    def write_port(self, port: int, value: int) -> None:
        if port != _CONTROL or value & 0x30 or value >> 6 == _READ_BACK:
            super().write_port(port, value)


class _NoReadBack(I8254):
    def write_port(self, port: int, value: int) -> None:
        if port != _CONTROL or value >> 6 != _READ_BACK:
            super().write_port(port, value)


def _for_mode(wanted: int, made: int) -> type[I8254]:
    class Other(I8254):
        def write_port(self, port: int, value: int) -> None:
            if port == _CONTROL and value & 0x30 and value & _MODE == wanted:
                value = value & ~_MODE | made
            super().write_port(port, value)

    return Other


class _GateOpen(I8254):
    def write_port(self, port: int, value: int) -> None:
        super().write_port(port, value | _GATE if port == SPEAKER else value)


class _NoOutput(I8254):
    def read_port(self, port: int) -> int:
        value = super().read_port(port)
        return value & ~_OUT if port == SPEAKER else value


class _Century(Rtc):
    def _read(self, register: int) -> int:
        return 0x19 if register == Register.CENTURY else super()._read(register)


class _Binary(Rtc):
    """Binary numbers, while register B says BCD."""

    def _read(self, register: int) -> int:
        value = super()._read(register)
        return (value >> 4) * 10 + (value & 0xF) if register in _TIME else value


class _NeverUpdating(Rtc):
    def _read(self, register: int) -> int:
        value = super()._read(register)
        return value & ~RegisterA.UPDATE_IN_PROGRESS if register == Register.A else value


class _TooOften(Rtc):
    def _write(self, register: int, value: int) -> None:
        if register == Register.A and value & 0xF > _EIGHT_TIMES:
            value -= _EIGHT_TIMES
        super()._write(register, value)


def _twice_as_fast(guest: Microvm) -> None:
    began_ns = time.time_ns()

    class Fast(Rtc):
        def _now_ns(self) -> int:
            return super()._now_ns() + time.time_ns() - began_ns

    become(guest.rtc, Fast)


def _local_time(guest: Microvm) -> None:
    if not guest.time.now_ns():
        guest.rtc.step(_HOURS_NS)


def _again_and_again(every_ns: int, do: Callable[[Microvm], object]) -> Bend:
    def bend(guest: Microvm) -> None:
        def ring(_at_ns: int) -> None:
            do(guest)
            guest.alarms.set(do, guest.time.now_ns() + every_ns, ring)

        guest.alarms.set(do, guest.time.now_ns(), ring)

    return bend


def _pulse(guest: Microvm) -> None:
    guest.irq_line(0, 1)
    guest.irq_line(0, 0)


def _stray(guest: Microvm) -> None:
    guest.vm.signal_msi(_LAPIC, _TIMER_VECTOR)


MUTANTS = (
    Mutant(
        "lapic-timer-stray",
        "the LAPIC timer's interrupt comes every 2 ms, also while it is masked or stopped",
        "lapic.masked",
        _again_and_again(2_000_000, _stray),
    ),
    Mutant(
        "i8254-at-1-mhz",
        "the i8254 counts microseconds",
        "i8254.rate",
        _i8254(_OneMhz),
    ),
    Mutant(
        "i8254-no-latch",
        "the i8254 does not hold a latched count",
        "i8254.latch",
        _i8254(_NoLatch),
    ),
    Mutant(
        "i8254-no-read-back",
        "the i8254 has no read-back command",
        "i8254.read_back",
        _i8254(_NoReadBack),
    ),
    Mutant(
        "i8254-mode-2-as-3",
        "the i8254 counts by 2 in mode 2",
        "i8254.mode_2",
        _i8254(_for_mode(_MODE_2, _MODE_3)),
    ),
    Mutant(
        "i8254-mode-3-as-2",
        "the i8254 counts by 1 in mode 3",
        "i8254.mode_3",
        _i8254(_for_mode(_MODE_3, _MODE_2)),
    ),
    Mutant(
        "i8254-no-gate",
        "the gate of channel 2 does nothing",
        "i8254.gate_starts",
        _i8254(_GateOpen),
    ),
    Mutant(
        "i8254-no-output",
        "port 0x61 never shows channel 2's output",
        "i8254.mode_0",
        _i8254(_NoOutput),
        "QEMU microvm: Linux says that it cannot calibrate against the PIT",
    ),
    Mutant(
        "i8254-interrupts-in-bursts",
        "interrupt 0 comes every 0.5 ms besides, as ticks that are made up for",
        "i8254.interrupt",
        _again_and_again(500_000, _pulse),
    ),
    Mutant("rtc-century", "the RTC's century is 19", "rtc.date", _rtc(_Century)),
    Mutant(
        "rtc-binary-for-bcd",
        "the RTC gives binary numbers, and says BCD",
        "rtc.date",
        _rtc(_Binary),
    ),
    Mutant("rtc-local-time", "the RTC tells the time of Tokyo", "rtc.date", _local_time),
    Mutant(
        "rtc-never-updating",
        "the RTC's update flag is never set",
        "rtc.update",
        _rtc(_NeverUpdating),
    ),
    Mutant(
        "rtc-twice-as-fast",
        "the RTC's seconds take half a second",
        "rtc.goes_on",
        _twice_as_fast,
    ),
    Mutant(
        "rtc-flag-too-often",
        "the RTC's periodic flag comes at eight times the rate that is chosen",
        "rtc.periodic",
        _rtc(_TooOften),
    ),
)
