"""VMClock: real time as a formula of the processor's counter, for guests of any hypervisor.

``time = reference + (counter - counter_value) * period``, in units of 2^-64 s, where the period is
``counter_period_frac_sec / 2^(64 + counter_period_shift)`` s. A reader takes ``seq_count``, retries
while it is odd, reads the counter and the fields, and retries unless ``seq_count`` is the same
(`consistent`).

When ``disruption_marker`` has changed (live migration), all that a guest found out about its
counter by itself is void; when ``vm_generation_counter`` has (snapshot, clone), what was to be
unique is not.

A trap: the specification gives TAI - UTC (37) as ``tai_offset_sec``. Linux's driver takes it with
the other sign: before 2026 it added it to TAI to get UTC, now it subtracts it from UTC to get TAI.
A provider is safe with TAI, which new drivers take as it is; here the sign is the specification's.

Sources: Linux include/uapi/linux/vmclock-abi.h, drivers/ptp/ptp_vmclock.c
(vmclock_get_crosststamp, mul_u64_u64_shr_add_u64, tai_adjust); UAPI Group specification UAPI.13.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from typing import NamedTuple, Self

from timehands.clocks.vmclock_numbers import (
    MAGIC,
    SIZE,
    VERSION,
    ClockStatus,
    CounterId,
    TimeType,
    VmClockFlag,
)
from timehands.errors import FrequencyOutOfRange, RecordTooShort

U64 = (1 << 64) - 1
NS_PER_S = 1_000_000_000
#: Believed by Linux's driver to be written sooner than this, or given up.
MAX_WAIT_NS = 100_000_000

_VMCLOCK = struct.Struct("<IIHBBIQQHBBhBBQQQQQQQQQ")
_BELIEVED = (ClockStatus.SYNCHRONIZED, ClockStatus.FREERUNNING)


class Instant(NamedTuple):
    """A time: whole seconds (u64), and units of 2^-64 s (u64)."""

    sec: int
    frac: int

    @property
    def ns(self) -> int:
        """All of it in ns, rounded down."""
        return self.sec * NS_PER_S + (self.frac * NS_PER_S >> 64)

    @classmethod
    def of_ns(cls, ns: int) -> Self:
        """From ns, rounded up to the next unit, so that `ns` gives them back."""
        sec, rest = divmod(ns, NS_PER_S)
        return cls(sec, -(-(rest << 64) // NS_PER_S))


class Period(NamedTuple):
    """One count as ``frac_sec / 2^(64 + shift)`` s."""

    frac_sec: int
    shift: int

    @property
    def seconds(self) -> Fraction:
        """The same, exactly."""
        return Fraction(self.frac_sec, 1 << 64 + self.shift)


@dataclass(frozen=True, slots=True)
class VmClock:
    """struct vmclock_abi, 112 bytes, little endian: the fields under their names, in their order.

    ``size`` is that of the region (bytes). ``tai_offset_sec`` is signed, all others are not; those
    from ``counter_value`` on are u64.
    """

    magic: int = MAGIC
    size: int = 4096
    version: int = VERSION
    counter_id: int = CounterId.INVALID
    time_type: int = TimeType.TAI
    seq_count: int = 0
    disruption_marker: int = 0
    flags: int = 0
    pad: int = 0
    clock_status: int = ClockStatus.UNKNOWN
    leap_second_smearing_hint: int = 0
    tai_offset_sec: int = 0
    leap_indicator: int = 0
    counter_period_shift: int = 0
    counter_value: int = 0
    counter_period_frac_sec: int = 0
    counter_period_esterror_rate_frac_sec: int = 0
    counter_period_maxerror_rate_frac_sec: int = 0
    time_sec: int = 0
    time_frac_sec: int = 0
    time_esterror_nanosec: int = 0
    time_maxerror_nanosec: int = 0
    vm_generation_counter: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The structure at the beginning of ``data``. Raises `RecordTooShort` (a ValueError)."""
        if len(data) < SIZE:
            raise RecordTooShort("VMClock", SIZE, len(data))
        return cls(*_VMCLOCK.unpack_from(data))

    def build(self) -> bytes:
        """The 112 bytes. Raises `struct.error` when a field is outside of its type."""
        return _VMCLOCK.pack(*astuple(self))

    @property
    def being_written(self) -> bool:
        """The sequence is odd: a reader must try again."""
        return bool(self.seq_count & 1)

    @property
    def period(self) -> Period:
        """The length of one count."""
        return Period(self.counter_period_frac_sec, self.counter_period_shift)

    @property
    def counter_hz(self) -> Fraction | None:
        """The counter's frequency, exactly as the period implies; None when that is 0."""
        seconds = self.period.seconds
        return 1 / seconds if seconds else None

    @property
    def tells_time(self) -> bool:
        """Whether a guest may take the time from it: known format, counter and kind of time."""
        return (
            self.magic == MAGIC
            and self.version == VERSION
            and self.counter_id in (CounterId.ARM_VCNT, CounterId.X86_TSC)
            and self.time_type in (TimeType.UTC, TimeType.TAI, TimeType.MONOTONIC)
            and self.clock_status in _BELIEVED
            and self.counter_period_frac_sec != 0
        )

    def instant(self, counter: int) -> Instant:
        """The time when the counter stood at ``counter`` (u64), in the structure's kind of time.

        Modulo 2^64 s, as in C with 128 bits; a counter before ``counter_value`` is taken as 2^64
        later.
        """
        total = (self._delta(counter) * self.counter_period_frac_sec) >> self.counter_period_shift
        total += self.time_frac_sec
        return Instant((self.time_sec + (total >> 64)) & U64, total & U64)

    def utc(self, counter: int) -> Instant | None:
        """The same as UTC; None when the structure does not say how.

        Leap seconds between the reference time and now are not taken into account.
        """
        instant = self.instant(counter)
        if self.time_type == TimeType.UTC:
            return instant
        if self.time_type != TimeType.TAI or not self.flags & VmClockFlag.TAI_OFFSET_VALID:
            return None
        return Instant((instant.sec - self.tai_offset_sec) & U64, instant.frac)

    def max_error_ns(self, counter: int) -> Fraction | None:
        """How far the time can be off, to either side; None when the provider does not say."""
        wanted = VmClockFlag.TIME_MAXERROR_VALID | VmClockFlag.PERIOD_MAXERROR_VALID
        rate = self.counter_period_maxerror_rate_frac_sec
        return self._error(counter, wanted, self.time_maxerror_nanosec, rate)

    def estimated_error_ns(self, counter: int) -> Fraction | None:
        """How far the provider thinks the time is off; None when it does not say."""
        wanted = VmClockFlag.TIME_ESTERROR_VALID | VmClockFlag.PERIOD_ESTERROR_VALID
        rate = self.counter_period_esterror_rate_frac_sec
        return self._error(counter, wanted, self.time_esterror_nanosec, rate)

    def begin_update(self) -> VmClock:
        """The first store of an update: the sequence becomes odd."""
        return replace(self, seq_count=(self.seq_count + 1 | 1) & 0xFFFF_FFFF)

    def end_update(self) -> VmClock:
        """The last store of an update: the sequence becomes even."""
        return replace(self, seq_count=(self.seq_count + 1) & 0xFFFF_FFFF & ~1)

    def set_time(self, counter: int, instant: Instant, counter_hz: Fraction | int) -> VmClock:
        """The fields that make the time ``instant`` at ``counter``, running with ``counter_hz``."""
        frac_sec, shift = period(counter_hz)
        return replace(
            self,
            counter_value=counter & U64,
            counter_period_frac_sec=frac_sec,
            counter_period_shift=shift,
            time_sec=instant.sec,
            time_frac_sec=instant.frac,
        )

    def _delta(self, counter: int) -> int:
        return (counter - self.counter_value) & U64

    def _error(self, counter: int, wanted: int, time_ns: int, rate: int) -> Fraction | None:
        if self.flags & wanted != wanted:
            return None
        per_count = Period(rate, self.counter_period_shift).seconds
        return time_ns + self._delta(counter) * per_count * NS_PER_S


def consistent(seq_before: int, seq_after: int) -> bool:
    """Whether what was read between two readings of ``seq_count`` belongs together."""
    return seq_before == seq_after and not seq_before & 1


def period(counter_hz: Fraction | int) -> Period:
    """The period of a counter with as many bits as fit, rounded down.

    Raises `FrequencyOutOfRange` below 2 Hz and from 2^63 Hz on.
    """
    if not 2 <= counter_hz < 1 << 63:
        raise FrequencyOutOfRange("counter_hz", int(counter_hz), (1 << 63) - 1)
    shift = int(counter_hz).bit_length() - 1
    frac_sec = int((1 << 64 + shift) / Fraction(counter_hz))
    if frac_sec > U64:
        return Period(int((1 << 63 + shift) / Fraction(counter_hz)), shift - 1)
    return Period(frac_sec, shift)
