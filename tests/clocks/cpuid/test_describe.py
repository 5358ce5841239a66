"""CPUID in words."""

from __future__ import annotations

import pytest
from hypothesis import given

from clocks.cpuid.tables import ALL, HYPERV_AND_KVM, INTEL, KVM_INVTSC, TCG_MAX, XEN, table
from clocks.cpuid.test_table import TABLES
from timehands.clocks.cpuid.describe import Note, describe
from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable


def note(answers: dict[tuple[int, int], Registers], leaf: int) -> Note:
    return next(note for note in describe(table(answers)) if note.leaf == leaf)


def test_the_crystal_is_told_with_its_ratio() -> None:
    said = note(INTEL, 0x15)
    assert said.believed
    assert said.text == "TSC 3,216,000,000 Hz = crystal 24,000,000 Hz × 268/2"


def test_a_ratio_without_a_crystal_is_still_told() -> None:
    answers = {**INTEL, (0x15, 0): Registers(2, 268, 0, 0)}
    said = note(answers, 0x15)
    assert said.believed
    assert "the crystal's rate is not told" in said.text


def test_garbage_is_shown_with_its_registers_and_the_reason() -> None:
    said = note(TCG_MAX, 0x40000010)
    assert not said.believed
    assert said.registers == TCG_MAX[0x40000010, 0]
    assert "above the range's limit 0x40000001" in said.text
    assert "leaf 0xd" in said.text


def test_the_timing_leaf_is_told_in_khz() -> None:
    text = note(KVM_INVTSC, 0x40000010).text
    assert text == "TSC 2,596,132 kHz, LAPIC timer 1,000,000 kHz"


@pytest.mark.parametrize(
    ("answers", "leaf", "part"),
    [
        (KVM_INVTSC, 0x40000001, "kvmclock by the MSRs 0x4b564d00 and 0x4b564d01"),
        (XEN, 0x40000003, "TSC 2,596,864 kHz; never emulated; host TSC reliable, RDTSCP"),
        (HYPERV_AND_KVM, 0x40000003, "reference TSC page"),
        (HYPERV_AND_KVM, 0x40000101, "the same on all vCPUs"),
        (INTEL, 0x80000007, "invariant TSC"),
        (TCG_MAX, 0x80000007, "not said to be invariant"),
        (TCG_MAX, 0x1, "no TSC deadline timer"),
        (INTEL, 0x80000002, "3,200,000,000 Hz (nominal)"),
    ],
)
def test_the_words_of_a_leaf(
    answers: dict[tuple[int, int], Registers], leaf: int, part: str
) -> None:
    assert part in note(answers, leaf).text


@pytest.mark.parametrize("name", ALL)
def test_notes_come_in_the_order_of_the_leaves(name: str) -> None:
    leaves = [note.leaf for note in describe(table(ALL[name]))]
    assert leaves == sorted(set(leaves))


@given(TABLES)
def test_any_table_can_be_told_and_each_note_says_something(
    answers: dict[tuple[int, int], Registers],
) -> None:
    assert all(note.text for note in describe(CpuidTable(answers)))
