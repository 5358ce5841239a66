"""Vectors of the TSC: hardware scaling and offsets, KVM_SET_TSC_KHZ, writes from outside."""

from __future__ import annotations

import itertools
from dataclasses import replace

from timehands.clocks.tsc import (
    SCALINGS,
    SVM,
    VMX,
    Scaling,
    guest_tsc,
    nested_offset,
    nested_ratio,
    tsc_offset,
    tsc_ratio,
)
from timehands.clocks.tsc_khz import set_tsc_khz
from timehands.clocks.tsc_write import LastWrite, cycles, write_from_outside
from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value

PAIRS_KHZ = (
    (2_500_000, 2_500_000), (2_000_000, 3_000_000), (3_000_000, 2_000_000), (1, 4_000_000),
    (2_499_998, 2_500_000), (2_600_000, 2_499_998), (1_000_000, 2_999_999), (4_294_967_295, 1),
    (4_294_967_295, 4_294_967_295), (1, 4_294_967_295), (256_000, 1_000), (255_999, 1_000),
)  # fmt: skip
OFFSETS = (0, 1, U64, 1 << 63, (1 << 63) - 1, -7_656_153_286_830 & U64)
KHZ = 2_500_000
SECOND = KHZ * 1000


def tsc_subject() -> Subject:
    """All of it."""
    return Subject(
        "tsc",
        "What a guest reads for its TSC under VMX (ratio with 48 fractional bits) and SVM (8.32), "
        "nested guests, and KVM's answers to a TSC frequency and to a TSC written from outside.",
        (_ratio(), _read(), _offset(), _nested(), _set_tsc_khz(), _write()),
    )


def _ratio() -> Group:
    dice = Dice("tsc ratio")
    chosen = [*PAIRS_KHZ, *((_khz(dice), _khz(dice)) for _ in range(20))]
    cases: list[tuple[Value, ...]] = []
    for (guest, host), kind in itertools.product(chosen, SCALINGS):
        ratio = tsc_ratio(guest, host, kind)
        if ratio <= U64:
            cases.append((kind.frac_bits, guest, host, ratio, kind.allows(ratio)))
    return Group(
        "ratio",
        "(guest_khz << frac_bits) / host_khz, rounded down; allowed: KVM takes it.",
        {"frac_bits": "u8", "guest_khz": "u32", "host_khz": "u32"},
        {"ratio": "u64", "allowed": "bool"},
        cases,
    )


def _khz(dice: Dice) -> int:
    return dice.between(800_000, 5_000_000)


def _some_ratio(dice: Dice, kind: Scaling) -> int:
    return tsc_ratio(_khz(dice), _khz(dice), kind)


def _read() -> Group:
    dice = Dice("tsc read")
    chosen = [
        (kind, host, ratio, offset)
        for kind in SCALINGS
        for host, ratio in ((0, kind.unscaled), (U64, kind.unscaled), (U64, kind.limit), (3, 1))
        for offset in OFFSETS[:4]
    ]
    for kind in SCALINGS:
        for _ in range(30):
            chosen.append((kind, dice.length(), _some_ratio(dice, kind), dice.length()))
    return Group(
        "read",
        "(host_tsc * ratio >> frac_bits) + offset, the product with 128 bits, modulo 2^64.",
        {"frac_bits": "u8", "host_tsc": "u64", "ratio": "u64", "offset": "u64"},
        {"guest_tsc": "u64"},
        [
            (kind.frac_bits, host, ratio, offset, guest_tsc(host, ratio, offset, kind))
            for kind, host, ratio, offset in chosen
        ],
    )


def _offset() -> Group:
    dice = Dice("tsc offset")
    cases: list[tuple[Value, ...]] = []
    for kind in SCALINGS:
        for _ in range(12):
            wanted, host, ratio = dice.length(), dice.length(), _some_ratio(dice, kind)
            offset = tsc_offset(wanted, host, ratio, kind)
            cases.append((kind.frac_bits, host, ratio, wanted, offset))
    return Group(
        "offset",
        "The offset with which a guest reads guest_tsc when the host's TSC is host_tsc.",
        {"frac_bits": "u8", "host_tsc": "u64", "ratio": "u64", "guest_tsc": "u64"},
        {"offset": "u64"},
        cases,
    )


def _nested() -> Group:
    dice = Dice("tsc nested")
    cases = []
    for kind in SCALINGS:
        ratios = [kind.unscaled, kind.unscaled // 2, kind.unscaled * 3, _some_ratio(dice, kind)]
        for l1_offset, l2_ratio in itertools.product(OFFSETS, ratios):
            cases.append(_nested_case(kind, _some_ratio(dice, kind), l2_ratio, l1_offset, 12_345))
        for _ in range(12):
            l1, l2 = _some_ratio(dice, kind), _some_ratio(dice, kind)
            cases.append(_nested_case(kind, l1, l2, dice.bits(64), dice.bits(64)))
    return Group(
        "nested",
        "The ratio and offset to run a nested guest with. With l2_ratio 1.0 the outer ratio stays "
        "and the offsets add; else the outer offset is scaled as a signed number, its magnitude "
        "rounded down.",
        {
            "frac_bits": "u8",
            "l1_ratio": "u64",
            "l2_ratio": "u64",
            "l1_offset": "u64",
            "l2_offset": "u64",
        },
        {"ratio": "u64", "offset": "u64"},
        cases,
    )


def _nested_case(kind: Scaling, l1: int, l2: int, l1_offset: int, l2_offset: int) -> list[Value]:
    ratio = nested_ratio(l1, l2, kind)
    offset = nested_offset(l1_offset, l2_offset, l2, kind)
    return [kind.frac_bits, l1, l2, l1_offset, l2_offset, ratio, offset]


def _set_tsc_khz() -> Group:
    hosts = (2_500_000, 2_499_998, 1_000)
    near = (-626, -625, -624, 0, 624, 625, 626, 100_000)
    asked = [(host + off, host) for host in hosts for off in near if host + off > 0]
    asked += [(0, 2_500_000), (1, 2_500_000), (4_294_967_295, 2_500_000), (255_999, 1_000)]
    asked += [(256_000, 1_000), (4_294_967_295, 4_294_967_295)]
    kinds = (VMX, SVM, None)
    return Group(
        "set_tsc_khz",
        "KVM_SET_TSC_KHZ on a processor with this scaling (frac_bits 0: none), tolerance 250 ppm. "
        "unscaled: the guest gets the host's rate; scaled: by ratio; catch-up: KVM pushes the TSC "
        "forward; refused.",
        {"frac_bits": "u8", "asked_khz": "u32", "host_khz": "u32"},
        {"answer": "text", "ratio": "u64?"},
        [_khz_case(kind, *pair) for pair in asked for kind in kinds],
    )


def _khz_case(kind: Scaling | None, asked: int, host: int) -> tuple[Value, ...]:
    granted = set_tsc_khz(asked, host, kind)
    scaled = granted.ratio if granted.answer == "scaled" else None
    return (kind.frac_bits if kind else 0, asked, host, str(granted.answer), scaled)


def _write() -> Group:
    new = LastWrite(10**9, 0, KHZ, -5 * SECOND & U64, 1)
    told = replace(new, value=100 * SECOND, set_from_outside=True)
    later = 6 * 10**9
    expected = told.value + cycles(later - told.at_ns, KHZ)
    edges = (0, 1, -SECOND, -SECOND + 1, SECOND - 1, SECOND, 2 * SECOND)
    calls = [(told, expected + off, KHZ) for off in edges]
    calls += [(new, expected, KHZ), (new, 0, KHZ), (told, 0, KHZ), (told, 0, KHZ + 1)]
    calls += [(told, expected, KHZ + 1), (told, U64, KHZ), (told, 1, KHZ)]
    return Group(
        "write",
        "KVM_SET_MSRS of the TSC (0x10) on a host with a stable TSC, Linux 6.7 and later. last_*: "
        "what was written before to any vCPU, with the offset that it made; set_before: some value "
        "was written from outside. matched: KVM takes it for synchronisation, ignores the value "
        "and gives last_offset.",
        {
            "last_ns": "u64",
            "last_value": "u64",
            "last_khz": "u32",
            "last_offset": "u64",
            "set_before": "bool",
            "value": "u64",
            "now_ns": "u64",
            "scaled_host_tsc": "u64",
            "tsc_khz": "u32",
        },
        {"matched": "bool", "offset": "u64"},
        [_write_case(vm, value & U64, later, khz) for vm, value, khz in calls],
    )


def _write_case(vm: LastWrite, value: int, now_ns: int, khz: int) -> tuple[Value, ...]:
    host = 17 * SECOND + 5
    done = write_from_outside(vm, value, now_ns=now_ns, scaled_host_tsc=host, tsc_khz=khz)
    last = (vm.at_ns, vm.value, vm.tsc_khz, vm.offset, vm.set_from_outside)
    return (*last, value, now_ns, host, khz, done.matched, done.offset)
