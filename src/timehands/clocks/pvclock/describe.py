"""A pvclock page in words: what it means, what frequency it stands for, what is odd about it.

Words only; the numbers are in `timehands.clocks.pvclock.numbers`. Any bytes can be described.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from timehands.clocks.pvclock.check import check_time_info, check_wall_clock, hertz
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
    drift_ns_per_day,
    implied_hz,
    kvm_tsc_khz,
    ns_per_cycle,
    truncation_ns,
)
from timehands.clocks.pvclock.scale import freebsd_tsc_hz, linux_tsc_khz
from timehands.clocks.pvclock.verdicts import Verdict
from timehands.clocks.pvclock.wallclock import now_ns, record_ns

FLAG_WORDS: Mapping[Flags, str] = {
    Flags.TSC_STABLE: "TSC_STABLE (one clock on all vCPUs, if CPUID offers bit 24)",
    Flags.GUEST_STOPPED: "GUEST_STOPPED (was paused, not cleared by the guest yet)",
    Flags.COUNTS_FROM_ZERO: "COUNTS_FROM_ZERO (used by nobody)",
}
_HALF = 1 << 63


class Fact(NamedTuple):
    """One line: what it is about, and what there is to say."""

    label: str
    text: str


def describe(page: bytes, tsc: int | None = None) -> list[Fact]:
    """What a page means, and what is odd about it; at a guest's TSC (u64) what a read gives."""
    facts = list(time_info_facts(page, tsc))
    return facts + [_odd(verdict) for verdict in check_time_info(page, tsc)]


def describe_wall_clock(record: bytes, system_ns: int | None = None, sec_hi: int = 0) -> list[Fact]:
    """What a wall clock means, and what is odd about it; with kvmclock (ns) also the date now."""
    facts = list(wall_clock_facts(record, system_ns, sec_hi))
    return facts + [_odd(verdict) for verdict in check_wall_clock(record, sec_hi)]


def time_info_facts(page: bytes, tsc: int | None = None) -> Iterator[Fact]:
    """What a page means, without what is odd about it. Nothing when it is too short."""
    if len(page) < TIME_INFO_SIZE:
        return
    info = TimeInfo.parse(page)
    yield Fact("version", version_words(info.version))
    yield Fact("updated", f"at TSC {info.tsc_timestamp:,} the time was {seconds(info.system_time)}")
    yield from _scale_facts(info)
    yield Fact("flags", f"{info.flags:#04x}: {flag_words(info.flags)}")
    if tsc is not None:
        yield from _reading_facts(info, tsc & MASK_64)


def wall_clock_facts(
    record: bytes, system_ns: int | None = None, sec_hi: int = 0
) -> Iterator[Fact]:
    """What a wall clock means, without what is odd about it. Nothing when it is too short."""
    if len(record) < WALL_CLOCK_SIZE:
        return
    wall = WallClock.parse(record)
    yield Fact("version", version_words(wall.version))
    yield Fact("epoch", f"{date(record_ns(wall, sec_hi))}: the date at which kvmclock was 0")
    if system_ns is not None:
        yield Fact(
            "now", f"{date(now_ns(wall, system_ns, sec_hi))} with kvmclock at {seconds(system_ns)}"
        )


def version_words(version: int) -> str:
    """What a version says."""
    if version == 0:
        return "0: never written"
    return f"{version:,}: {'being written' if version & 1 else 'complete'}"


def flag_words(flags: int) -> str:
    """The names of the flags that are set, and what they mean."""
    words = [text for flag, text in FLAG_WORDS.items() if flags & flag]
    if unknown := flags & UNKNOWN_FLAGS:
        words.append(f"undefined bits {unknown:#04x}")
    return ", ".join(words) or "none"


def seconds(ns: int) -> str:
    """A time in ns as seconds, nothing lost: ``5.000000000 s``."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // NS_PER_S:,}.{ns % NS_PER_S:09} s"


def date(ns: int) -> str:
    """A time in ns since 1970 as a date in UTC, nothing lost."""
    whole, rest = divmod(ns, NS_PER_S)
    try:
        moment = datetime.fromtimestamp(whole, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds(ns)} after 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest:09} UTC"


def decimal(value: Fraction, places: int = 3) -> str:
    """A fraction rounded to so many places, by whole numbers only, zeros at the end left out."""
    scaled = round(value * 10**places)
    sign, scaled = ("-", -scaled) if scaled < 0 else ("", scaled)
    whole, rest = divmod(scaled, 10**places)
    shown = f"{rest:0{places}}".rstrip("0") if places else ""
    return f"{sign}{whole:,}{'.' if shown else ''}{shown}"


def _scale_facts(info: TimeInfo) -> Iterator[Fact]:
    mul, shift, hz = *info.scale, implied_hz(info.scale)
    yield Fact("factors", f"mul {mul:,} ({mul:#010x}), shift {shift}")
    if hz is None:
        yield Fact("frequency", "none: time stands still")
        return
    khz = kvm_tsc_khz(info.scale)
    shown = f"{decimal(hz)} Hz" if 1 <= hz < 10**15 else hertz(int(hz))
    source = f", KVM's for {khz:,} kHz" if khz else ""
    yield Fact("frequency", f"{shown}{source}")
    linux, freebsd = linux_tsc_khz(info.scale), freebsd_tsc_hz(info.scale)
    yield Fact("", f"Linux reads {linux:,} kHz, FreeBSD {freebsd:,} Hz")
    if khz:
        drift = decimal(drift_ns_per_day(info.scale, khz * 1000) / 1000)
        lost = decimal(truncation_ns(info.scale))
        a_cycle = decimal(ns_per_cycle(info.scale), 6)
        yield Fact("rounding", f"{drift} us a day; a read loses at most {lost} ns")
        yield Fact("", f"a cycle counts {a_cycle} ns")


def _reading_facts(info: TimeInfo, tsc: int) -> Iterator[Fact]:
    cycles = cycles_since(info, tsc)
    ns = nanoseconds(info, tsc)
    yield Fact("a read", f"at TSC {tsc:,} gives {seconds(ns)}")
    if cycles >= _HALF:
        yield Fact("", f"{(-cycles) & MASK_64:,} cycles before the update")
    else:
        passed = (ns - info.system_time) & MASK_64
        yield Fact("", f"{cycles:,} cycles ({seconds(passed)}) after the update")


def _odd(verdict: Verdict) -> Fact:
    return Fact("odd", f"{verdict.code} {verdict.title}: {verdict.text}")
