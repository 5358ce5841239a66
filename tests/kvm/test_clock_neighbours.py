"""The LAPIC timer and the i8254 of the real KVM, held against what `clocks/` says of them.

A count is read between two times of the host, so what it may be is known from both sides.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from kvm.guest_code import guest, need, run_to
from timehands.clocks import lapic
from timehands.clocks.i8254 import KVM_PIT_HZ, MODULUS, ControlWord, Mode
from timehands.clocks.i8254 import Access as PortAccess
from timehands.clocks.i8254_counter import emulators_count
from timehands.clocks.lapic import DIVIDE_REGISTERS, LapicTimer, TimerMode
from timehands.clocks.msr import ClockMsr
from timehands.kvm import Capability, Vcpu, Vm
from timehands.kvm.exits import PortOut

SPURIOUS, LVT_TIMER, INITIAL, CURRENT, DIVIDE = 0xF0, 0x320, 0x380, 0x390, 0x3E0
MOST = (1 << 32) - 1
COUNT_AT = 0x800


class Between(NamedTuple):
    """How many ns lay between two actions: at least, and at most."""

    least: int
    most: int


def apart(first: Callable[[], object], second: Callable[[], object]) -> Between:
    """Do both, and say how far apart they were."""
    before_first = time.monotonic_ns()
    first()
    after_first = time.monotonic_ns()
    before_second = time.monotonic_ns()
    second()
    return Between(before_second - after_first, time.monotonic_ns() - before_first)


@pytest.fixture
def vcpu(vm: Vm) -> Vcpu:
    """One with a LAPIC in the kernel, enabled, that may have a TSC deadline."""
    need(vm.kvm, Capability.IRQCHIP, Capability.TSC_DEADLINE_TIMER)
    vm.create_irqchip()
    vcpu = vm.add_vcpu()
    deadline = 1 << 24
    vcpu.set_cpuid(
        replace(e, registers=e.registers._replace(ecx=e.registers.ecx | deadline))
        if e.leaf == 1
        else e
        for e in vm.kvm.supported_cpuid()
    )
    return vcpu


def store(vcpu: Vcpu, registers: dict[int, int]) -> None:
    """Set registers of its LAPIC from outside."""
    state = vcpu.lapic()
    for at, value in registers.items():
        state.regs[at : at + 4] = struct.pack("<I", value)
    vcpu.set_lapic(state)


def load(vcpu: Vcpu, at: int) -> int:
    """A register of its LAPIC."""
    value: int = struct.unpack_from("<I", bytes(vcpu.lapic().regs), at)[0]
    return value


def mode(vcpu: Vcpu, mode: TimerMode) -> None:
    """Put the timer into a mode; it interrupts nobody."""
    store(vcpu, {SPURIOUS: 0x1FF, LVT_TIMER: lapic.lvt_timer(0xEC, mode, masked=True)})


@pytest.mark.parametrize(("divide", "register"), DIVIDE_REGISTERS.items())
def test_each_divisor_counts_as_we_say(vcpu: Vcpu, divide: int, register: int) -> None:
    mode(vcpu, TimerMode.ONE_SHOT)
    seen = []
    passed = apart(
        lambda: store(vcpu, {DIVIDE: register, INITIAL: MOST, CURRENT: MOST}),
        lambda: seen.append(load(vcpu, CURRENT)),
    )
    period = lapic.kvm_period_ns(MOST, divide, TimerMode.ONE_SHOT)
    low, high = (
        lapic.kvm_current_count(period - ns, period, divide) for ns in (passed.most, passed.least)
    )
    assert low <= seen[0] <= high


def test_kvms_count_is_at_most_one_less_than_the_chips(vcpu: Vcpu) -> None:
    register = DIVIDE_REGISTERS[16]
    mode(vcpu, TimerMode.ONE_SHOT)
    seen = []
    passed = apart(
        lambda: store(vcpu, {DIVIDE: register, INITIAL: MOST, CURRENT: MOST}),
        lambda: seen.append(load(vcpu, CURRENT)),
    )
    timer = LapicTimer(divide_register=register).write_initial_count(MOST, 0)
    latest, earliest = (timer.current_count(ns) for ns in (passed.most, passed.least))
    assert latest - 1 <= seen[0] <= earliest


#: Modes one after the other, with what is written to the deadline's MSR in each.
STEPS = (
    (TimerMode.ONE_SHOT, 12345), (TimerMode.TSC_DEADLINE, 1 << 60), (TimerMode.TSC_DEADLINE, None),
    (TimerMode.PERIODIC, None), (TimerMode.TSC_DEADLINE, None), (TimerMode.TSC_DEADLINE, 1 << 62),
    (TimerMode.TSC_DEADLINE, 0), (TimerMode.TSC_DEADLINE, 1 << 61), (TimerMode.ONE_SHOT, 1 << 60),
)  # fmt: skip


def test_the_deadlines_msr_reads_as_we_say(vcpu: Vcpu) -> None:
    timer = LapicTimer()
    for at, (to, value) in enumerate(STEPS):
        mode(vcpu, to)
        timer = timer.write_lvt(lapic.lvt_timer(0xEC, to, masked=True))
        if value is not None:
            vcpu.set_msrs({ClockMsr.TSC_DEADLINE: value})
            timer = timer.write_deadline(value)
        assert vcpu.msr(ClockMsr.TSC_DEADLINE) == timer.deadline, at


def calibration(control: ControlWord, count: int) -> bytes:
    """Program channel 2 and out 0x80; then latch it, store what it held, out 0x80, and again."""
    low, high = count & 0xFF, count >> 8 & 0xFF
    program = bytes([0xB0, control.build(), 0xE6, 0x43, 0xB0, low, 0xE6, 0x42])
    program += bytes([0xB0, high, 0xE6, 0x42, 0xE6, 0x80])
    latch = bytes([0xB0, 0x80, 0xE6, 0x43])
    stores = b"".join(b"\xe4\x42\xa2" + struct.pack("<H", COUNT_AT + n) for n in range(2))
    return program + latch + stores + b"\xe6\x80\xeb\xee"


@pytest.mark.parametrize("count", [MODULUS, MODULUS - 1, MODULUS - 2])
@pytest.mark.parametrize(
    "counting", [Mode.TERMINAL_COUNT, Mode.RATE_GENERATOR, Mode.SQUARE_WAVE, Mode.SOFTWARE_STROBE]
)
def test_the_i8254_counts_as_we_say_of_emulators(vm: Vm, counting: Mode, count: int) -> None:
    need(vm.kvm, Capability.IRQCHIP, Capability.PIT2)
    vm.create_irqchip()
    vm.create_pit()
    vcpu = guest(vm, calibration(ControlWord(2, PortAccess.BOTH, counting, False), count))
    passed = apart(lambda: run_to(vcpu, PortOut), lambda: run_to(vcpu, PortOut))
    seen = int.from_bytes(vm.memory.read(COUNT_AT, 2), "little")
    first, last = (ns * KVM_PIT_HZ // 10**9 for ns in passed)
    ticks = range(max(0, first), last + 1)
    assert seen in {emulators_count(counting, count, tick) for tick in ticks}
