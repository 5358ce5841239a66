"""The monitor's clocks in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import MachineError
from timehands.monitor.settings import Clocks, IrqChips, Jump, Maker, Policy, Published
from timehands.monitor.words import HELP, WATCHED, clocks_from, duration_ns

HOUR_NS = 3600 * 10**9


def test_without_words_the_clocks_are_those_whose_accesses_are_seen() -> None:
    assert clocks_from(()) == WATCHED == Clocks(pvclock=Maker.OURS, pit=Maker.OURS)


def test_every_word_sets_its_clock() -> None:
    words = (
        "pvclock=none", "pvclock-stable=off", "pit=kvm", "tsc-leaf=both", "tsc-khz=2000000",
        "told-tsc-khz=1000000", "invariant-tsc=off", "tsc-deadline=on", "lapic-ns=10", "date=-1.5h",
        "pause=wall", "jump=tsc@5s+1h", "jump=wall@250ms-10us", "irqchip=kvm",
    )  # fmt: skip
    assert clocks_from(words) == Clocks(
        tsc_khz=2_000_000,
        published=(Published.TIMING, Published.CRYSTAL),
        told_tsc_khz=1_000_000,
        invariant_tsc=False,
        tsc_deadline=True,
        pvclock=Maker.NONE,
        stable=False,
        pit=Maker.KVM,
        wall_offset_ns=-HOUR_NS * 3 // 2,
        apic_bus_ns=10,
        policy=Policy.WALL,
        jumps=(Jump("tsc", 5 * 10**9, HOUR_NS), Jump("wall", 250_000_000, -10_000)),
    )
    assert {word.partition("=")[0] for word in words} == {
        line.split("=")[0].strip() for line in HELP.splitlines()
    }


def test_chips_are_split_where_the_i8254_is_not_kvms() -> None:
    assert clocks_from(("irqchip=split",)).irqchip is IrqChips.SPLIT
    with pytest.raises(MachineError, match="KVM's i8254 needs KVM's interrupt chips"):
        clocks_from(("irqchip=split", "pit=kvm"))


def test_the_last_word_of_a_name_counts() -> None:
    assert clocks_from(("pvclock=none", "pvclock=kvm")).pvclock is Maker.KVM
    assert clocks_from(("tsc-leaf=off", "tsc-leaf=0x15")).published == (Published.CRYSTAL,)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hpet=on", "no clock is set by 'hpet=on'"),
        ("pvclock", "no clock is set by 'pvclock'"),
        ("pvclock=maybe", "it is one of kvm, ours, none"),
        ("pit=none", "it is one of ours, kvm"),
        ("pvclock-stable=yes", "it is on or off"),
        ("told-tsc-khz=-5", "it is a whole number"),
        ("told-tsc-khz=5", "give 1,000 to"),
        ("tsc-leaf=0x16", "it is one of 0x40000010, 0x15, both, off"),
        ("date=soon", "'soon' is no duration"),
        ("date=200000d", "100 years at most"),
        ("jump=tsc", "'tsc' is no jump"),
        ("jump=hpet@1s+1s", "cannot jump"),
        ("jump=tsc@1y+1s", "'1y' is no duration"),
    ],
)
def test_what_is_no_setting_is_refused_with_what_there_is(word: str, said: str) -> None:
    with pytest.raises(MachineError, match=said):
        clocks_from((word,))


@given(st.text(max_size=40))
def test_any_word_sets_a_clock_or_is_refused(word: str) -> None:
    for text in (word, f"jump={word}", f"date={word}", f"lapic-ns={word}", f"tsc-khz={word}"):
        try:
            clocks_from((text,))
        except MachineError:
            continue


@given(st.integers(-(10**15), 10**15))
def test_a_duration_in_ns_is_itself(ns: int) -> None:
    assert duration_ns(f"{ns}ns") == ns
    assert duration_ns(f"{ns}us") == 1000 * ns
