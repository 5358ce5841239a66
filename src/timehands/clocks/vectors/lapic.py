"""Vectors of the local APIC's timer."""

from __future__ import annotations

import itertools

from timehands.clocks.lapic import (
    DIVIDE_REGISTERS,
    LapicTimer,
    TimerMode,
    count_to_ns,
    deadline_ns,
    divisor,
    kvm_deadline_ns,
    lvt_timer,
    nearest_count,
    timer_mode,
)
from timehands.clocks.vectors.forms import U64, Dice, Group, Subject, Value

BUSES_HZ = (1_000_000_000, 24_000_000, 19_200_000, 333_333_333)
COUNTS = (1, 2, 1000, (1 << 32) - 1)
MODE_NAMES = {
    TimerMode.ONE_SHOT: "one-shot", TimerMode.PERIODIC: "periodic",
    TimerMode.TSC_DEADLINE: "tsc-deadline", TimerMode.RESERVED: "reserved",
}  # fmt: skip


def lapic_subject() -> Subject:
    """All of it."""
    return Subject(
        "lapic",
        "The local APIC's timer as the SDM describes it: registers, counts at a bus clock, "
        "deadlines.",
        (_divide(), _mode(), _period(), _count(), _current(), _deadline(), _deadline_writes()),
    )


def _divide() -> Group:
    return Group(
        "divide",
        "The divisor of a divide configuration register (0x3e0): bits 3, 1 and 0; others are "
        "ignored.",
        {"register": "u32"},
        {"divisor": "u8"},
        [(n, divisor(n)) for n in (*range(16), 0xFFFF_FFF4, 0xFFFF_FFFF)],
    )


def _mode() -> Group:
    lvts = [lvt_timer(0xEC, mode, masked=m) for mode in TimerMode for m in (False, True)]
    return Group(
        "mode",
        "The mode in an LVT timer register (0x320), and whether it is masked.",
        {"lvt": "u32"},
        {"mode": "text", "masked": "bool"},
        [(lvt, MODE_NAMES[timer_mode(lvt)], bool(lvt & 1 << 16)) for lvt in lvts],
    )


def _period() -> Group:
    return Group(
        "period",
        "From the load of an initial count to the interrupt, in ns rounded up.",
        {"bus_hz": "u64", "divisor": "u8", "initial_count": "u32"},
        {"ns": "u64"},
        [
            (bus, divide, count, count_to_ns(count, divide, bus))
            for bus, divide, count in itertools.product(BUSES_HZ, DIVIDE_REGISTERS, COUNTS)
        ],
    )


def _count() -> Group:
    dice = Dice("lapic count")
    wanted = (1, 100, 10**6, 10**7, 4_294_967_295, 4_294_967_296, 550 * 10**9)
    chosen = [(bus, divide, ns) for bus in BUSES_HZ for divide in (1, 16, 128) for ns in wanted]
    chosen += [(dice.between(10**7, 10**9), 1 << dice.below(8), dice.bits(36)) for _ in range(20)]
    return Group(
        "count",
        "The initial count whose period is nearest to ns (a half is rounded up); null when it is 0 "
        "or does not fit in 32 bits.",
        {"bus_hz": "u64", "divisor": "u8", "ns": "u64"},
        {"initial_count": "u32?"},
        [(bus, divide, ns, nearest_count(ns, divide, bus)) for bus, divide, ns in chosen],
    )


def _current() -> Group:
    dice = Dice("lapic current")
    cases = []
    for bus, divide, count in itertools.product(BUSES_HZ, (1, 16), (1, 3, 62_500)):
        period = count_to_ns(count, divide, bus)
        times = (0, 1, period - 1, period, period + 1, 2 * period, dice.below(9 * period))
        for mode, at_ns in itertools.product((TimerMode.ONE_SHOT, TimerMode.PERIODIC), times):
            cases.append(_current_case(bus, divide, count, mode, at_ns))
    return Group(
        "current",
        "The current count register at_ns after the initial count was written, and when the next "
        "interrupt is, later than at_ns (ns after the write, rounded up; null: none comes). "
        "Periodic timers show the initial count again when they would show 0.",
        {"bus_hz": "u64", "divisor": "u8", "initial_count": "u32", "mode": "text", "at_ns": "u64"},
        {"current_count": "u32", "next_ns": "u64?"},
        cases,
    )


def _current_case(bus: int, divide: int, count: int, mode: TimerMode, at_ns: int) -> list[Value]:
    timer = LapicTimer(bus, lvt_timer(0xEC, mode), DIVIDE_REGISTERS[divide])
    timer = timer.write_initial_count(count, 0)
    shown, following = timer.current_count(at_ns), timer.next_expiry_ns(at_ns)
    return [bus, divide, count, MODE_NAMES[mode], at_ns, shown, following]


def _deadline() -> Group:
    dice = Dice("lapic deadline")
    khz = 2_499_998
    ahead = (0, 1, 2, 3, khz, (1 << 64) // 10**6, (1 << 64) // 10**6 + 1, 1 << 60)
    chosen = [(10**12 + d, 10**12, khz) for d in ahead] + [(1, 2, khz), (1, U64, khz)]
    chosen += [(U64, 0, khz), (U64, U64, khz)]
    for _ in range(30):
        tsc = dice.length(60)
        chosen.append((tsc + dice.length(44), tsc, dice.between(10**6, 5 * 10**6)))
    return Group(
        "deadline",
        "In how many ns a TSC deadline is reached: exactly (rounded up), and as KVM's software "
        "timer has it (cycles * 1000000 in 64 bits, then divided by kHz, rounded down). 0: at "
        "once.",
        {"deadline": "u64", "tsc": "u64", "tsc_khz": "u32"},
        {"ns": "u64", "kvm_ns": "u64"},
        [(*case, deadline_ns(*case), kvm_deadline_ns(*case)) for case in chosen],
    )


def _deadline_writes() -> Group:
    values = ((0, 1000), (1, 1000), (1000, 1000), (1001, 1000), (U64, 1000), (1, 0))
    cases: list[tuple[Value, ...]] = []
    for mode, (value, tsc) in itertools.product(TimerMode, values):
        timer = LapicTimer(lvt=lvt_timer(0xEC, mode)).write_deadline(value)
        fires = timer.fires(tsc)
        after = timer.fired() if fires else timer
        cases.append((MODE_NAMES[mode], value, tsc, fires, after.deadline))
    return Group(
        "deadline_write",
        "WRMSR 0x6e0 of value when the TSC is tsc: whether the interrupt comes at once, and what "
        "the MSR reads then. Outside of TSC deadline mode the write is ignored; 0 disarms.",
        {"mode": "text", "value": "u64", "tsc": "u64"},
        {"fires": "bool", "reads": "u64"},
        cases,
    )
