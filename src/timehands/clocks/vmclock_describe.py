"""VMClock in words: what a structure says, and what is odd about it.

Words only; the numbers are in `timehands.clocks.vmclock_numbers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum

from timehands.clocks.vmclock import VmClock
from timehands.clocks.vmclock_numbers import (
    MAGIC,
    SIZE,
    VERSION,
    ClockStatus,
    CounterId,
    LeapIndicator,
    Smearing,
    TimeType,
    VmClockFlag,
)

COUNTER_WORDS: Mapping[int, str] = {
    CounterId.ARM_VCNT: "ARM virtual counter",
    CounterId.X86_TSC: "x86 TSC",
    CounterId.INVALID: "no counter: only disruptions are told",
}
TIME_WORDS: Mapping[int, str] = {
    TimeType.UTC: "UTC (not recommended: seconds that occur twice cannot be told apart)",
    TimeType.TAI: "TAI",
    TimeType.MONOTONIC: "monotonic time, of no known epoch",
    TimeType.INVALID_SMEARED: "smeared UTC, which VMClock does not allow",
    TimeType.INVALID_MAYBE_SMEARED: "perhaps smeared UTC, which VMClock does not allow",
}
STATUS_WORDS: Mapping[int, str] = {
    ClockStatus.UNKNOWN: "unknown: do not use the time",
    ClockStatus.INITIALIZING: "not synchronised yet: do not use the time",
    ClockStatus.SYNCHRONIZED: "synchronised",
    ClockStatus.FREERUNNING: "no longer synchronised, still good",
    ClockStatus.UNRELIABLE: "broken: do not use the time",
}
LEAP_WORDS: Mapping[int, str] = {
    LeapIndicator.NONE: "none near",
    LeapIndicator.PRE_POSITIVE: "one will be inserted at the end of the month",
    LeapIndicator.PRE_NEGATIVE: "one will be left out at the end of the month",
    LeapIndicator.POSITIVE: "it is now: 23:59:60",
    LeapIndicator.POST_POSITIVE: "one was inserted at the end of the last month",
    LeapIndicator.POST_NEGATIVE: "one was left out at the end of the last month",
}
SMEARING_WORDS: Mapping[int, str] = {
    Smearing.STRICT: "none",
    Smearing.NOON_LINEAR: "linear, noon to noon",
    Smearing.UTC_SLS: "UTC-SLS",
}


def describe(clock: VmClock) -> tuple[str, ...]:
    """What the structure says, a line for each fact, then what is odd (`doubts`)."""
    hz = clock.counter_hz
    rate = f", {float(hz):,.3f} Hz" if hz is not None else ""
    lines = [
        f"counter      {_word(COUNTER_WORDS, clock.counter_id)}{rate}",
        f"time         {_word(TIME_WORDS, clock.time_type)}",
        f"status       {_word(STATUS_WORDS, clock.clock_status)}",
        f"reference    {clock.time_sec} s + {clock.time_frac_sec:#018x} / 2^64 s "
        f"at counter {clock.counter_value}",
        f"sequence     {clock.seq_count}{' (being written)' if clock.being_written else ''}",
        f"disruptions  marker {clock.disruption_marker:#x}{_coming(clock.flags)}",
        f"leap second  {_word(LEAP_WORDS, clock.leap_indicator)}; "
        f"smearing hint: {_word(SMEARING_WORDS, clock.leap_second_smearing_hint)}",
        f"flags        {_flags(clock.flags)}",
    ]
    if clock.flags & VmClockFlag.VM_GEN_COUNTER_PRESENT:
        lines.append(f"generation   {clock.vm_generation_counter:#x}")
    if clock.flags & VmClockFlag.TAI_OFFSET_VALID:
        lines.append(f"TAI - UTC    {clock.tai_offset_sec} s")
    error = clock.max_error_ns(clock.counter_value)
    if error is not None:
        lines.append(f"error        at most {float(error):,.0f} ns at the reference")
    return (*lines, *(f"odd          {doubt}" for doubt in doubts(clock)))


def doubts(clock: VmClock, region_size: int | None = None) -> tuple[str, ...]:
    """What is wrong or odd, in words; ``region_size`` in bytes, when known. Empty is good."""
    return (*_format_doubts(clock, region_size), *_time_doubts(clock))


def _format_doubts(clock: VmClock, region_size: int | None) -> Iterator[str]:
    if clock.magic != MAGIC:
        yield f"magic is {clock.magic:#010x}, not {MAGIC:#010x} (VCLK): no VMClock"
    if clock.version != VERSION:
        yield f"version {clock.version}: Linux takes {VERSION} only"
    if clock.size < SIZE:
        yield f"size {clock.size} is less than the structure's {SIZE} bytes: fields are missing"
    if region_size is not None and clock.size > region_size:
        yield f"size {clock.size} is more than the region's {region_size} bytes: Linux refuses it"
    if clock.being_written:
        yield "seq_count is odd: an update is under way, or was never ended"
    if clock.pad:
        yield f"padding is {clock.pad:#x}, not 0"
    unknown = clock.flags & ~sum(VmClockFlag)
    if unknown:
        yield f"unknown flags {unknown:#x}"


def _time_doubts(clock: VmClock) -> Iterator[str]:
    for value, words, name in (
        (clock.counter_id, COUNTER_WORDS, "counter_id"),
        (clock.time_type, TIME_WORDS, "time_type"),
        (clock.clock_status, STATUS_WORDS, "clock_status"),
        (clock.leap_indicator, LEAP_WORDS, "leap_indicator"),
        (clock.leap_second_smearing_hint, SMEARING_WORDS, "leap_second_smearing_hint"),
    ):
        if value not in words:
            yield f"{name} {value} is not known"
    if clock.counter_id == CounterId.INVALID:
        return
    if clock.counter_period_frac_sec == 0:
        yield "a counter is named, but its period is 0: time stands still"
    if clock.counter_period_shift > 127:
        yield f"shift {clock.counter_period_shift} of a 128-bit product: in C that is undefined"
    if clock.time_type == TimeType.TAI and not clock.flags & VmClockFlag.TAI_OFFSET_VALID:
        yield "TAI without an offset: no guest can make UTC of it"
    if clock.flags & VmClockFlag.TAI_OFFSET_VALID and clock.tai_offset_sec < 0:
        yield f"TAI - UTC is {clock.tai_offset_sec} s; by the specification it is positive (37)"


def _coming(flags: int) -> str:
    if flags & VmClockFlag.DISRUPTION_IMMINENT:
        return ", one within about an hour"
    return ", one within about a day" if flags & VmClockFlag.DISRUPTION_SOON else ""


def _flags(flags: int) -> str:
    names = [flag.name or "" for flag in VmClockFlag if flags & flag]
    return " ".join(names) or "none"


def _word(words: Mapping[int, str], value: int | IntEnum) -> str:
    return words.get(value, f"unknown ({int(value)})")
