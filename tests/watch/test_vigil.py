"""Verdicts on quiet guests, from made-up looks (real guests: tests/boots/test_bad_guests.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.watch.recording import Spot
from timehands.watch.vigil import (
    IDLE_SECONDS,
    LOOKS,
    Doing,
    Look,
    Verdict,
    doing,
    parse_registers,
    verdict,
)

RUNNING = """CPU#0
RAX=0000000000000001 RBX=0000000000000002 RCX=0000000000000003 RDX=0000000000000004
R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000
RIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CPU#1
EAX=00000000 EBX=00000000
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
"""


def looks(*registers: str, vcpu: int = 0, halted: bool = False, on: bool = False) -> list[Look]:
    return [Look(Spot(vcpu, 0, halted, on), text) for text in registers]


STILL = looks(*["same"] * LOOKS)
MOVING = looks(*map(str, range(LOOKS)))
DEAD = looks(*["same"] * LOOKS, halted=True)
WAITING = looks(*["same"] * LOOKS, halted=True, on=True)


def test_what_qemu_prints_is_read_for_each_vcpu() -> None:
    first, second = parse_registers(RUNNING)
    assert first.spot == Spot(0, 0xFFFFFFFF81000000, False, True)
    assert second.spot == Spot(1, 0xFFF0, True, False)
    assert "R8=0000000000000000" in first.registers
    assert "RAX=0000000000000001" in first.registers


@given(st.text())
def test_any_text_is_read_without_trouble(text: str) -> None:
    assert all(isinstance(one.spot.pc, int) for one in parse_registers(text))


@pytest.mark.parametrize(
    ("seen", "is_doing"),
    [
        (STILL, Doing.CIRCLING), (MOVING, Doing.BUSY), (DEAD, Doing.DEAD),
        (WAITING, Doing.WAITING), (DEAD[:-1] + WAITING[:1], Doing.WAITING),
        (MOVING[:-1] + WAITING[:1], Doing.WAITING), (STILL[:4] + MOVING[:4], Doing.BUSY),
        (looks(*"abcabcab"), Doing.CIRCLING), (looks("a"), Doing.BUSY),
    ],
)  # fmt: skip
def test_what_a_vcpu_does(seen: list[Look], is_doing: Doing) -> None:
    assert doing(seen) is is_doing


@pytest.mark.parametrize(
    ("seen", "rounds", "quiet_s", "expected"),
    [
        ([], 1, 99, None),
        (DEAD, 1, 3, Verdict.HALTED),
        (STILL, 1, 3, None),
        (STILL, 2, 5, Verdict.HUNG),
        (MOVING, 9, 99, None),
        (WAITING, 3, IDLE_SECONDS - 1, None),
        (WAITING, 3, IDLE_SECONDS, Verdict.IDLE),
    ],
)
def test_verdicts_on_one_vcpu(
    seen: list[Look], rounds: int, quiet_s: float, expected: Verdict | None
) -> None:
    assert verdict(seen, rounds, quiet_s) is expected


def other(seen: list[Look]) -> list[Look]:
    """The same of another vCPU."""
    return [
        Look(Spot(1, one.spot.pc, one.spot.halted, one.spot.interrupts), one.registers)
        for one in seen
    ]


def test_a_busy_vcpu_may_yet_wake_the_others() -> None:
    for seen in (DEAD, STILL, WAITING):
        assert verdict(seen + other(MOVING), 9, 99) is None


def test_a_circling_vcpu_beside_dead_or_waiting_ones_hangs() -> None:
    assert verdict(STILL + other(DEAD), 2, 5) is Verdict.HUNG
    assert verdict(STILL + other(WAITING), 2, 5) is None
    assert verdict(STILL + other(WAITING), 9, IDLE_SECONDS) is Verdict.HUNG
