"""What is wrong with a page: verdicts with stable codes, for any bytes, never an exception.

The codes and what they mean to guests are in `timehands.clocks.pvclock.verdicts`; pages over time
are judged by `timehands.clocks.pvclock.history`.
"""

from __future__ import annotations

from collections.abc import Iterator

from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.numbers import (
    MASK_64,
    NS_PER_S,
    TIME_INFO_SIZE,
    UNKNOWN_FLAGS,
    WALL_CLOCK_SIZE,
    Flags,
)
from timehands.clocks.pvclock.reading import cycles_since, nanoseconds
from timehands.clocks.pvclock.rounding import (
    implied_hz,
    kvm_tsc_khz,
    product_horizon_64,
    shift_horizon,
)
from timehands.clocks.pvclock.scale import scale_delta, xen_time_scale
from timehands.clocks.pvclock.verdicts import Verdict

#: The shifts that KVM and Xen can give: Xen's for 2^64 - 1 Hz and 1 Hz; KVM's are among them.
SHIFTS = range(xen_time_scale(MASK_64).shift, xen_time_scale(1).shift + 1)
#: TSC frequencies of x86 processors, in Hz.
PLAUSIBLE_HZ = range(100_000_000, 10_000_000_001)
#: 2000-01-01 00:00:00 UTC.
YEAR_2000 = 946_684_800
_HALF = 1 << 63


def check_time_info(data: bytes, tsc: int | None = None) -> tuple[Verdict, ...]:
    """Verdicts on the page at the beginning of ``data``, and on reading it at a guest's TSC (u64).

    In the order of their codes; empty when nothing is to be said.
    """
    if len(data) < TIME_INFO_SIZE:
        return (Verdict("PV101", f"{len(data)} of {TIME_INFO_SIZE} bytes"),)
    return tuple(_judge(TimeInfo.parse(data), tsc))


def check_wall_clock(data: bytes, sec_hi: int = 0) -> tuple[Verdict, ...]:
    """Verdicts on the wall clock at the beginning of ``data``; ``sec_hi`` is Xen's."""
    if len(data) < WALL_CLOCK_SIZE:
        return (Verdict("PV151", f"{len(data)} of {WALL_CLOCK_SIZE} bytes"),)
    return tuple(_judge_wall(WallClock.parse(data), sec_hi))


def _judge(info: TimeInfo, tsc: int | None) -> Iterator[Verdict]:
    if info.version == 0:
        yield Verdict("PV102", "the version is 0")
    if info.being_written:
        yield Verdict("PV103", f"the version is {info.version:,}, which is odd")
    yield from _judge_scale(info)
    yield from _judge_rest(info)
    if tsc is not None:
        yield from _judge_at(info, tsc & MASK_64)


def _judge_scale(info: TimeInfo) -> Iterator[Verdict]:
    mul, shift, hz = *info.scale, implied_hz(info.scale)
    if hz is None:
        yield Verdict("PV104", "tsc_to_system_mul is 0")
    if shift not in SHIFTS:
        yield Verdict("PV105", f"tsc_shift is {shift}")
    if abs(shift) >= 64:
        yield Verdict("PV106", f"tsc_shift is {shift}")
    if hz is None:
        return
    if mul < 1 << 31:
        lost = 32 - mul.bit_length()
        yield Verdict("PV107", f"tsc_to_system_mul is {mul:#x}: bits of precision lost: {lost}")
    if int(hz) not in PLAUSIBLE_HZ:
        yield Verdict("PV108", f"the factors stand for {hertz(int(hz))}")
    elif kvm_tsc_khz(info.scale) is None:
        yield Verdict("PV109", f"mul {mul:,} and shift {shift} come from no whole kHz")


def _judge_rest(info: TimeInfo) -> Iterator[Verdict]:
    if unknown := info.flags & UNKNOWN_FLAGS:
        yield Verdict("PV110", f"flags are {info.flags:#04x}, of which {unknown:#04x} is undefined")
    if info.flags & Flags.COUNTS_FROM_ZERO:
        yield Verdict("PV111", f"flags are {info.flags:#04x}")
    if info.pad0 or info.pad:
        yield Verdict("PV112", f"pad0 is {info.pad0:#x}, pad is {info.pad:#x}")
    if info.flags & Flags.GUEST_STOPPED:
        yield Verdict("PV113", f"flags are {info.flags:#04x}")
    if not info.stable:
        yield Verdict("PV114", f"flags are {info.flags:#04x}")
    if info.system_time >= _HALF:
        yield Verdict("PV118", f"system_time is {info.system_time:,} ns")


def _judge_at(info: TimeInfo, tsc: int) -> Iterator[Verdict]:
    cycles = cycles_since(info, tsc)
    if cycles >= _HALF:
        back = (-cycles) & MASK_64
        ahead_ns = (nanoseconds(info, tsc) - info.system_time) & MASK_64
        text = f"{back:,} cycles before the page's; unclamped it reads {ahead_ns:,} ns ahead of it"
        yield Verdict("PV115", text, ahead_ns)
        return
    shifted, product = shift_horizon(info.scale), product_horizon_64(info.scale)
    if shifted and cycles >= shifted.cycles:
        yield Verdict(
            "PV116", f"{cycles:,} cycles after the update; the limit is {shifted.cycles:,}"
        )
    elif product and cycles >= product.cycles:
        yield Verdict(
            "PV117", f"{cycles:,} cycles after the update; the limit is {product.cycles:,}"
        )
    passed_ns = scale_delta(cycles, *info.scale)
    if info.system_time + passed_ns > MASK_64:
        yield Verdict("PV119", f"{info.system_time:,} ns and {passed_ns:,} ns")


def _judge_wall(wall: WallClock, sec_hi: int) -> Iterator[Verdict]:
    if wall.version == 0:
        yield Verdict("PV152", "the version is 0")
    if wall.version & 1:
        yield Verdict("PV153", f"the version is {wall.version:,}, which is odd")
    if wall.nsec >= NS_PER_S:
        yield Verdict("PV154", f"nsec is {wall.nsec:,}")
    if wall.sec < YEAR_2000 and not sec_hi:
        yield Verdict("PV155", f"sec is {wall.sec:,}")
    if sec_hi:
        yield Verdict("PV156", f"the upper half of sec is {sec_hi:,}")


def hertz(hz: int) -> str:
    """A frequency for people: ``2,499,998,000 Hz``, or a power of ten where that says more."""
    if hz == 0:
        return "less than 1 Hz"
    return f"{hz:,} Hz" if hz < 10**15 else f"about 10^{len(str(hz)) - 1} Hz"
