"""Vectors of Hyper-V's reference TSC page."""

from __future__ import annotations

from dataclasses import replace

from timehands.clocks.hyperv import (
    ReferenceTscMsr,
    ReferenceTscPage,
    kvm_page,
    next_sequence,
    page_at,
    tsc_scale,
    units_down,
    units_up,
)
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.scale import time_scale
from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value

RATES_HZ = (
    10_000_001, 100_000_000, 999_999_999, 10**9, 10**9 + 1, 2_100_000_000, 2_499_998_000,
    2_500_000_000, 3 * 10**9, 5 * 10**9, 10**11, U64,
)  # fmt: skip


def hyperv_subject() -> Subject:
    """All of it."""
    return Subject(
        "hyperv",
        "Hyper-V's reference time in units of 100 ns: the TSC page, its MSR, and the page that KVM "
        "makes of its pvclock page.",
        (_scale(), _read(), _kvm(), _msr(), _sequence(), _snapshot()),
    )


def _scale() -> Group:
    dice = Dice("hyperv scale")
    chosen = [*RATES_HZ, *(dice.between(10**8, 10**10) for _ in range(24))]
    return Group(
        "scale",
        "floor(10^7 * 2^64 / tsc_hz).",
        {"tsc_hz": "u64"},
        {"scale": "u64"},
        [(hz, tsc_scale(hz)) for hz in chosen],
    )


def _read() -> Group:
    dice = Dice("hyperv read")
    pages = [
        ReferenceTscPage(1, tsc_scale(10**9), 0),
        ReferenceTscPage(0, tsc_scale(10**9), 0),
        ReferenceTscPage(0xFFFF_FFFF, tsc_scale(10**9), 0),
        ReferenceTscPage(2, U64, U64),
        ReferenceTscPage(3, 0, 5),
        page_at(7656153286830, 11481, tsc_scale(2_499_998_000), 7),
    ]
    chosen = [(page, tsc) for page in pages for tsc in (0, 1, 99, 100, 7656153286830, U64)]
    for _ in range(30):
        scale = tsc_scale(dice.between(10**9, 5 * 10**9))
        chosen.append((ReferenceTscPage(dice.bits(31) + 1, scale, dice.bits(64)), dice.length()))
    return Group(
        "read",
        "((tsc * scale) >> 64) + offset modulo 2^64, from the page's sequence (u32 at 0), scale "
        "(u64 at 8) and offset (s64 at 16); null where the sequence is 0: the page must not be "
        "used.",
        {"page": "bytes", "tsc": "u64"},
        {"units": "u64?"},
        [(page.build(), tsc, page.reference_time(tsc)) for page, tsc in chosen],
    )


def _kvm() -> Group:
    dice = Dice("hyperv kvm")
    info = TimeInfo(2, 7656153286830, 1148131, 3435976585, -1, 1)
    chosen = [
        info,
        replace(info, flags=0),
        replace(info, flags=3),
        replace(info, system_time=-70 & U64),
        replace(info, system_time=99),
        replace(info, tsc_timestamp=U64),
        replace(info, tsc_to_system_mul=100 << 20, tsc_shift=12),
        replace(info, tsc_to_system_mul=(100 << 20) - 1, tsc_shift=12),
        replace(info, tsc_to_system_mul=(1 << 32) - 1, tsc_shift=7),
    ]
    for khz in (1_000_000, 2_100_000, 4_000_001, 19_200, 100_000):
        chosen.append(TimeInfo(4, dice.length(50), dice.length(50), *time_scale(khz), 1))
    cases: list[tuple[Value, ...]] = []
    for page in chosen:
        made = kvm_page(page, 1)
        cases.append((page.build(), made.build() if made else None))
    return Group(
        "kvm_page",
        "The reference TSC page (sequence 1) that KVM makes of a pvclock page: scale = mul * "
        "2^(32+shift) / 100, offset = system_time / 100 - (tsc_timestamp * scale >> 64); null "
        "where the page is not stable or the scale does not fit in 64 bits.",
        {"pvclock": "bytes"},
        {"page": "bytes?"},
        cases,
    )


def _msr() -> Group:
    values = (0, 1, 0x1000, 0x1001, 0x7FFE_D001, 0xFFFF_FFFF_FFFF_FFFF, 0xFFE)
    cases: list[tuple[Value, ...]] = []
    for value in values:
        msr = ReferenceTscMsr.parse(value)
        cases.append((value, msr.enabled, msr.address))
    return Group(
        "msr",
        "MSR 0x40000021: bit 0 enables, bits 63:12 are the guest physical address of the page.",
        {"value": "u64"},
        {"enabled": "bool", "address": "u64"},
        cases,
    )


def _sequence() -> Group:
    sequences = (0, 1, 2, 0x7FFF_FFFF, 0xFFFF_FFFD, 0xFFFF_FFFE, 0xFFFF_FFFF)
    return Group(
        "next_sequence",
        "KVM's next sequence: never 0, nor 0xffffffff, which once had the same meaning.",
        {"sequence": "u32"},
        {"next": "u32"},
        [(sequence, next_sequence(sequence)) for sequence in sequences],
    )


def _snapshot() -> Group:
    times = (0, 1, 99, 100, 101, 5_000_000_000, 5_000_000_001, 5_000_000_099, U64)
    return Group(
        "snapshot",
        "ns in units of 100 ns: as a guest reads them (down), and as a snapshot must keep them "
        "(up), or a restored clock of ns would be set back.",
        {"ns": "u64"},
        {"down": "u64", "up": "u64"},
        [(ns, units_down(ns), units_up(ns)) for ns in times],
    )
