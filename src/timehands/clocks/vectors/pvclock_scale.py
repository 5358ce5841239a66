"""Vectors of pvclock's factors, and of the arithmetic with them."""

from __future__ import annotations

import itertools

from timehands.clocks.pvclock.scale import (
    Scale,
    freebsd_tsc_hz,
    get_time_scale,
    linux_tsc_khz,
    scale_delta,
    scale_delta_64,
    time_scale,
    xen_time_scale,
)
from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value

#: Frequencies in kHz: each edge of the two loops, and what is met in the field.
EDGES_KHZ = (
    1, 2, 3, 543, 999, 1000, 1001, 19_200, 24_000, 25_000, 100_000, 125_000, 249_999, 250_000,
    250_001, 499_999, 500_000, 500_001, 999_999, 1_000_000, 1_000_001, 1_193_182, 1_500_000,
    1_999_999, 2_000_000, 2_000_001, 2_100_000, 2_147_483, 2_147_484, 2_299_967, 2_445_000,
    2_445_406, 2_499_998, 2_500_000, 2_596_122, 2_900_015, 2_999_999, 3_000_000, 3_500_000,
    3_999_999, 4_000_000, 4_000_001, 4_294_967, 4_294_968, 5_000_000, 7_999_999, 8_000_000,
    8_000_001, 10_000_000, 100_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
)  # fmt: skip
PAIRS_HZ = (
    (10**9, 2_499_998_000), (2_499_998_000, 10**9), (10**9, 1), (1, 10**9), (10**9, U64),
    (10**7, 2_500_000_000), (1 << 32, 10**9), ((1 << 32) - 1, 1 << 32), (5_000_000_000, 10**9),
    (10**9, 5_000_000_000), ((1 << 62) - 1, 10**9),
)  # fmt: skip

POWERS = (0, 1, 2, 31, 32, 33, 62, 63, 64)
DELTAS = sorted({(1 << p) + d & U64 for p in POWERS for d in (-1, 0, 1)})
MULS = (0, 1, (1 << 31) - 1, 1 << 31, 3_435_976_585, (1 << 32) - 1)
SHIFTS = (-64, -63, -34, -2, -1, 0, 1, 2, 31, 63)


def scale_subject() -> Subject:
    """How KVM and Xen choose mul and shift, and what guests make of them."""
    return Subject(
        "pvclock_scale",
        "How KVM and Xen choose tsc_to_system_mul and tsc_shift, and the frequency that guests "
        "take back from them.",
        (_kvm(), _get_time_scale(), _xen()),
    )


def _kvm() -> Group:
    dice = Dice("pvclock_scale kvm")
    chosen = [*EDGES_KHZ, *(dice.between(500_000, 6_000_000) for _ in range(60))]
    return Group(
        "kvm",
        "kvm_get_time_scale(10^9, tsc_khz * 1000); linux_tsc_khz and freebsd_tsc_hz are what these "
        "guests make of it; second_ns is what tsc_khz * 1000 cycles are in ns.",
        {"tsc_khz": "u32"},
        {
            "mul": "u32",
            "shift": "s8",
            "linux_tsc_khz": "u64",
            "freebsd_tsc_hz": "u64",
            "second_ns": "u64",
        },
        [_kvm_case(khz) for khz in chosen],
    )


def _kvm_case(tsc_khz: int) -> tuple[Value, ...]:
    scale = time_scale(tsc_khz)
    second_ns = scale_delta(tsc_khz * 1000, *scale)
    return (tsc_khz, *scale, linux_tsc_khz(scale), freebsd_tsc_hz(scale), second_ns)


def _get_time_scale() -> Group:
    dice = Dice("pvclock_scale any")
    chosen = [*PAIRS_HZ, *((dice.length(62) or 1, dice.length(62) or 1) for _ in range(40))]
    return Group(
        "get_time_scale",
        "kvm_get_time_scale(target_hz, base_hz): factors from counts at base_hz to counts at "
        "target_hz; KVM uses it the other way, too, to turn ns into cycles.",
        {"target_hz": "u64", "base_hz": "u64"},
        {"mul": "u32", "shift": "s8"},
        [(*pair, *get_time_scale(*pair)) for pair in chosen],
    )


def _xen() -> Group:
    dice = Dice("pvclock_scale xen")
    edges = [1, 2, 10**9 - 1, 10**9, 10**9 + 1, 2 * 10**9, 2 * 10**9 + 1, 2_499_998_123, U64]
    chosen = [*edges, *(dice.between(10**8, 10**10) for _ in range(30))]
    return Group(
        "xen",
        "Xen's set_time_scale(tsc_hz).",
        {"tsc_hz": "u64"},
        {"mul": "u32", "shift": "s8"},
        [(hz, *xen_time_scale(hz)) for hz in chosen],
    )


def delta_subject() -> Subject:
    """The product of 64 and 32 bits."""
    dice = Dice("pvclock_scale_delta")
    near = itertools.product(DELTAS[:: len(DELTAS) // 8], MULS, (-1, 0, 1))
    far = itertools.product((3, (1 << 63) + 1, U64), (1 << 31, 3_435_976_585), SHIFTS)
    chance = ((dice.length(), dice.bits(32) | 1 << 31, dice.between(-4, 11)) for _ in range(120))
    wild = ((dice.length(), dice.bits(32), dice.between(-63, 63)) for _ in range(60))
    chosen = dict.fromkeys([*near, *far, *chance, *wild])
    return Subject(
        "pvclock_scale_delta",
        "Cycles to ns: shift the delta, left (modulo 2^64) or right, multiply by mul, and keep "
        "bits 32 to 95 of the product.",
        (
            Group(
                "scale_delta",
                "ns is right. ns_64 is what comes out when only 64 bits of the product are kept: "
                "a mistake, to be told from the right answer. A shift by 64 bits or more gives 0 "
                "(in C it has to be asked for).",
                {"delta": "u64", "mul": "u32", "shift": "s8"},
                {"ns": "u64", "ns_64": "u64"},
                [(*case, scale_delta(*case), scale_delta_64(*case)) for case in chosen],
            ),
            Group(
                "guests",
                "The frequency that a guest takes from (mul, shift), also of pages that no "
                "provider writes; mul is not 0.",
                {"mul": "u32", "shift": "s8"},
                {"linux_tsc_khz": "u64", "freebsd_tsc_hz": "u64"},
                [_guest_case(mul, shift) for mul in MULS[1:] for shift in SHIFTS],
            ),
        ),
    )


def _guest_case(mul: int, shift: int) -> tuple[Value, ...]:
    scale = Scale(mul, shift)
    return (mul, shift, linux_tsc_khz(scale), freebsd_tsc_hz(scale))
