"""Vectors of VMClock."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value
from timehands.clocks.vmclock import Instant, VmClock, consistent, period
from timehands.clocks.vmclock_numbers import ClockStatus, CounterId, TimeType, VmClockFlag

GOOD = VmClock(
    counter_id=CounterId.X86_TSC,
    time_type=TimeType.TAI,
    seq_count=4,
    disruption_marker=1,
    flags=VmClockFlag.TAI_OFFSET_VALID
    | VmClockFlag.PERIOD_MAXERROR_VALID
    | VmClockFlag.TIME_MAXERROR_VALID
    | VmClockFlag.VM_GEN_COUNTER_PRESENT,
    clock_status=ClockStatus.SYNCHRONIZED,
    tai_offset_sec=37,
    counter_period_maxerror_rate_frac_sec=1 << 43,
    time_maxerror_nanosec=250,
    vm_generation_counter=7,
).set_time(7_656_153_286_830, Instant.of_ns(1_795_232_602_721_313_481), 2_499_998_000)


def vmclock_subject() -> Subject:
    """All of it."""
    return Subject(
        "vmclock",
        "VMClock's structure of 112 bytes, and real time from a counter. Flags are numbered as in "
        "Linux (TIME_MONOTONIC is bit 7).",
        (_parse(), _period(), _read(), _usable(), _sequence()),
    )


def _parse() -> Group:
    dice = Dice("vmclock parse")
    random = [VmClock.parse(bytes(dice.bits(8) for _ in range(112))) for _ in range(8)]
    clocks = (GOOD, VmClock(), replace(GOOD, tai_offset_sec=-37, seq_count=5), *random)
    return Group(
        "parse",
        "Some of the fields; tai_offset_sec is signed (here as the u16 that it is in memory).",
        {"page": "bytes"},
        {
            "magic": "u32",
            "size": "u32",
            "version": "u16",
            "counter_id": "u8",
            "time_type": "u8",
            "seq_count": "u32",
            "disruption_marker": "u64",
            "flags": "u64",
            "clock_status": "u8",
            "tai_offset_sec": "u16",
            "leap_indicator": "u8",
            "counter_period_shift": "u8",
            "counter_value": "u64",
            "counter_period_frac_sec": "u64",
            "time_sec": "u64",
            "time_frac_sec": "u64",
            "time_maxerror_nanosec": "u64",
            "vm_generation_counter": "u64",
        },
        [_fields(clock) for clock in clocks],
    )


def _fields(clock: VmClock) -> tuple[Value, ...]:
    return (
        clock.build(), clock.magic, clock.size, clock.version, int(clock.counter_id),
        int(clock.time_type), clock.seq_count, clock.disruption_marker, int(clock.flags),
        int(clock.clock_status), clock.tai_offset_sec & 0xFFFF, clock.leap_indicator,
        clock.counter_period_shift, clock.counter_value, clock.counter_period_frac_sec,
        clock.time_sec, clock.time_frac_sec, clock.time_maxerror_nanosec,
        clock.vm_generation_counter,
    )  # fmt: skip


def _period() -> Group:
    dice = Dice("vmclock period")
    edges = (2, 3, 999_999_999, 10**9, 10**9 + 1, 1 << 30, 1 << 31, 2_499_998_000, (1 << 63) - 1)
    chosen = [*edges, *(dice.between(10**8, 10**10) for _ in range(24))]
    return Group(
        "period",
        "The period of a counter as counter_period_frac_sec / 2^(64 + counter_period_shift) s, "
        "with the greatest shift that fits in 64 bits, rounded down.",
        {"counter_hz": "u64"},
        {"frac_sec": "u64", "shift": "u8"},
        [(hz, *period(hz)) for hz in chosen],
    )


def _read() -> Group:
    dice = Dice("vmclock read")
    clocks = [
        GOOD,
        replace(GOOD, time_frac_sec=U64),
        replace(GOOD, counter_period_shift=0, counter_period_frac_sec=1 << 33),
        replace(GOOD, counter_period_frac_sec=U64, counter_period_shift=127),
        replace(GOOD, time_type=TimeType.UTC),
        replace(GOOD, time_type=TimeType.MONOTONIC, time_sec=5, flags=0),
        replace(GOOD, tai_offset_sec=-37),
    ]
    later = (0, 1, 2, 3, 2_499_998_000, 86_400 * 2_499_998_000, 1 << 62, U64)
    chosen = [(clock, clock.counter_value + counts) for clock in clocks for counts in later]
    for _ in range(24):
        at = Instant(dice.length(40), dice.bits(64))
        clock = GOOD.set_time(dice.bits(64), at, dice.between(10**8, 10**10))
        chosen.append((clock, clock.counter_value + dice.length(60)))
    return Group(
        "read",
        "time + (counter - counter_value) * period, the counter's difference modulo 2^64: seconds "
        "(modulo 2^64) and units of 2^-64 s; the seconds of UTC (null where it cannot be told) "
        "with TAI - UTC as tai_offset_sec; the greatest error in ns, rounded up (null where it is "
        "not told, or has more than 64 bits).",
        {"page": "bytes", "counter": "u64"},
        {"sec": "u64", "frac": "u64", "utc_sec": "u64?", "max_error_ns": "u64?"},
        [_read_case(clock, counter & U64) for clock, counter in chosen],
    )


def _read_case(clock: VmClock, counter: int) -> tuple[Value, ...]:
    utc = clock.utc(counter)
    error = clock.max_error_ns(counter)
    return (
        clock.build(), counter, *clock.instant(counter), None if utc is None else utc.sec,
        _ceiling(error),
    )  # fmt: skip


def _ceiling(number: Fraction | None) -> int | None:
    if number is None or number > U64:
        return None
    return -(-number.numerator // number.denominator)


def _usable() -> Group:
    changes: list[dict[str, int]] = [
        {}, {"magic": 0}, {"magic": 0x4C43_4B56}, {"version": 0}, {"version": 2},
        {"counter_id": 0xFF}, {"counter_id": 2}, {"time_type": 3}, {"time_type": 4},
        {"time_type": 5}, {"clock_status": 0}, {"clock_status": 1}, {"clock_status": 3},
        {"clock_status": 4}, {"clock_status": 5}, {"counter_period_frac_sec": 0},
        {"time_type": 0}, {"time_type": 2}, {"flags": 0}, {"disruption_marker": U64},
    ]  # fmt: skip
    clocks = [VmClock(), *(replace(GOOD, **change) for change in changes)]
    return Group(
        "usable",
        "Whether the time may be taken from a structure: format and version known, a counter "
        "named, no smeared time, status synchronised or free-running, a period.",
        {"page": "bytes"},
        {"usable": "bool"},
        [(clock.build(), clock.tells_time) for clock in clocks],
    )


def _sequence() -> Group:
    pairs = ((0, 0), (2, 2), (1, 1), (2, 3), (3, 4), (2, 4), (0xFFFF_FFFF, 0), (0xFFFF_FFFE, 0))
    return Group(
        "consistent",
        "Whether what was read between two readings of seq_count may be used.",
        {"before": "u32", "after": "u32"},
        {"consistent": "bool"},
        [(before, after, consistent(before, after)) for before, after in pairs],
    )
