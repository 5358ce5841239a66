"""Vectors of reading pvclock's pages, and of its wall clock."""

from __future__ import annotations

from dataclasses import replace

from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.clocks.pvclock.wallclock import compose, now_ns, split
from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value

#: Records that a real KVM wrote (Linux 6.18.44, guest TSC 2,499,998 kHz).
GENUINE = (
    TimeInfo(2, 7656153286830, 1148131, 3435976585, -1, 1),
    TimeInfo(4, 7656153286830, 1148131, 3435976585, -1, 3),
    TimeInfo(6, 7656159434186, 5_000_000_000, 3435976585, -1, 3),
)
RATES_KHZ = (999_999, 1_000_000, 2_000_001, 2_499_998, 3_000_000, 4_000_001)
YEAR_NS = 365 * 86_400 * 10**9


def read_subject() -> Subject:
    """What a page says at a TSC, and which pages are not to be believed."""
    return Subject(
        "pvclock_read",
        "The 32 bytes of struct pvclock_vcpu_time_info: their fields, and the time that they give "
        "at a TSC.",
        (_parse(), _read(), _accept(), _last_value()),
    )


def _parse() -> Group:
    dice = Dice("pvclock_read parse")
    random = [TimeInfo.parse(bytes(dice.bits(8) for _ in range(32))) for _ in range(20)]
    low = TimeInfo(0, 0, 0, 0, -128, 0)
    high = TimeInfo(0xFFFF_FFFF, U64, U64, 0xFFFF_FFFF, 127, 0xFF, 0xFFFF_FFFF, 0xFFFF)
    return Group(
        "parse",
        "The fields, little endian; tsc_shift is signed. Bytes 4 to 7, 30 and 31 are padding.",
        {"page": "bytes"},
        {
            "version": "u32",
            "tsc_timestamp": "u64",
            "system_time": "u64",
            "tsc_to_system_mul": "u32",
            "tsc_shift": "s8",
            "flags": "u8",
        },
        [_fields(info) for info in (*GENUINE, low, high, *random)],
    )


def _fields(info: TimeInfo) -> tuple[Value, ...]:
    return (
        info.build(), info.version, info.tsc_timestamp, info.system_time,
        info.tsc_to_system_mul, info.tsc_shift, info.flags,
    )  # fmt: skip


def _read() -> Group:
    dice = Dice("pvclock_read read")
    chosen = [(info, info.tsc_timestamp + d) for info in GENUINE for d in (0, 1, 2, 2_499_998, -1)]
    for khz in RATES_KHZ:
        info = TimeInfo(2, dice.length(50), dice.length(50), *time_scale(khz), 1)
        hour = 3_600_000 * khz
        for cycles in (0, 1, 2, 3, khz, khz * 1000, hour, 24 * hour, 365 * 24 * hour):
            chosen.append((info, info.tsc_timestamp + cycles))
    wraps = TimeInfo(2, U64 - 5, U64 - 1000, *time_scale(1_000_000), 1)
    chosen += [(wraps, tsc) for tsc in (U64 - 5, U64, 0, 994, 995, 5000)]
    return Group(
        "read",
        "system_time + scale_delta(tsc - tsc_timestamp), all modulo 2^64. A TSC before the "
        "timestamp gives a difference of almost 2^64, as in Linux and FreeBSD.",
        {"page": "bytes", "tsc": "u64"},
        {"ns": "u64"},
        [(info.build(), tsc & U64, nanoseconds(info, tsc)) for info, tsc in chosen],
    )


def _accept() -> Group:
    good = GENUINE[0]
    cases: list[tuple[Value, ...]] = [
        (good.build(), 2, "accept", "the version is even and the same"),
        (good.build(), 4, "retry", "the version changed while the page was read"),
        (replace(good, version=3).build(), 3, "retry", "the version is odd, though the same"),
        (replace(good, version=3).build(), 4, "retry", "odd first, even then"),
        (good.build(), 3, "retry", "an update began while the page was read"),
        (replace(good, version=0xFFFF_FFFF).build(), 0xFFFF_FFFF, "retry", "odd"),
        (replace(good, version=0xFFFF_FFFE).build(), 0xFFFF_FFFE, "accept", "even, the last one"),
        (replace(good, version=0xFFFF_FFFE).build(), 0, "retry", "the version wrapped"),
        (replace(good, version=0).build(), 0, "accept", "0 is even: the page may be in use"),
        (replace(good, flags=0).build(), 2, "accept", "not stable: good for this vCPU"),
        (replace(good, flags=3).build(), 2, "accept", "the guest was stopped: the time is good"),
        (bytes(32), 0, "broken", "never written: the multiplier is 0, do not divide by it"),
        (replace(good, tsc_to_system_mul=0).build(), 2, "broken", "the multiplier is 0"),
        (replace(good, tsc_shift=64).build(), 2, "broken", "a shift that C does not define"),
        (replace(good, tsc_shift=-128).build(), 2, "broken", "a shift that C does not define"),
    ]
    return Group(
        "accept",
        "What a reader does with a page whose version field held again_version when it was read "
        "the second time: accept; retry, which the protocol demands; broken, when retrying will "
        "not help: no provider writes such a page, and a careful reader does not use it.",
        {"page": "bytes", "again_version": "u32"},
        {"verdict": "text", "why": "text"},
        cases,
    )


def _last_value() -> Group:
    dice = Dice("pvclock_read last")
    stable, unstable = GENUINE[0], replace(GENUINE[0], flags=0)
    cases: list[tuple[Value, ...]] = []
    for offers in (True, False):
        for info in (stable, unstable):
            for ahead in (-5, 0, 5, dice.below(10**9)):
                tsc = info.tsc_timestamp + 10_000
                now = nanoseconds(info, tsc)
                trusted = offers and info.stable
                result = now if trusted else max(now, now + ahead)
                last = result if not trusted else now + ahead
                cases.append((info.build(), tsc, now + ahead, offers, result, last))
    return Group(
        "last_value",
        "With the last time that any vCPU returned (last): where the page is not stable, or the "
        "hypervisor does not offer the flag (feature bit 24, cpuid_stable), nobody may return less "
        "than last; new_last is kept then.",
        {"page": "bytes", "tsc": "u64", "last": "u64", "cpuid_stable": "bool"},
        {"ns": "u64", "new_last": "u64"},
        cases,
    )


def wall_subject() -> Subject:
    """The date by pvclock."""
    return Subject(
        "pvclock_wall_clock",
        "struct pvclock_wall_clock, 12 bytes: the date at which the clock was 0. Now is that and "
        "the clock together. Times are ns since 1970-01-01 00:00:00 UTC.",
        (_compose(), _now()),
    )


def _compose() -> Group:
    dice = Dice("wall compose")
    dates = [0, 1, 10**9 - 1, 10**9, 1_795_232_565_721_313_481, (1 << 32) * 10**9 - 1]
    chosen = [(date, min(date, up), 2 * n) for n, date in enumerate(dates) for up in (0, 1, 10**9)]
    chosen += [((1 << 32) * 10**9, 0, 0), ((1 << 32) * 10**9 + YEAR_NS, YEAR_NS + 7, 5)]
    chosen += [
        (1_795_232_565 * 10**9 + dice.below(10**12), dice.below(10**12), dice.bits(32))
        for _ in range(24)
    ]
    return Group(
        "compose",
        "The record that a provider writes over one of version old_version, from the date and the "
        "clock read at one moment; sec is cut to 32 bits, sec_hi is what Xen keeps besides.",
        {"realtime_ns": "u64", "system_time_ns": "u64", "old_version": "u32"},
        {"record": "bytes", "version": "u32", "sec": "u32", "nsec": "u32", "sec_hi": "u32"},
        [_compose_case(*case) for case in chosen],
    )


def _compose_case(realtime_ns: int, system_ns: int, version: int) -> tuple[Value, ...]:
    wall = compose(realtime_ns, system_ns, version)
    sec_hi = split((realtime_ns - system_ns) & U64).sec_hi
    fields = (wall.version, wall.sec, wall.nsec, sec_hi)
    return (realtime_ns, system_ns, version, wall.build(), *fields)


def _now() -> Group:
    dice = Dice("wall now")
    records = [(WallClock(2, 1_795_232_565, 721_313_481), 0), (WallClock(4, 0, 0), 0)]
    records += [(WallClock(2, 0xFFFF_FFFF, 999_999_999), 0), (WallClock(2, 5, 1), 1)]
    records += [(WallClock(2, dice.bits(32), dice.below(10**9)), 0) for _ in range(8)]
    times = (0, 1, 278_686_519, 10**9, 86_400 * 10**9 + 999_999_999)
    return Group(
        "now",
        "The date: the record (with sec_hi times 2^32 s, 0 but for Xen) and the clock together.",
        {"record": "bytes", "sec_hi": "u32", "system_time_ns": "u64"},
        {"now_ns": "u64"},
        [
            (wall.build(), sec_hi, ns, now_ns(wall, ns, sec_hi) & U64)
            for wall, sec_hi in records
            for ns in times
        ],
    )
