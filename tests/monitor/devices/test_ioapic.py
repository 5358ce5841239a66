"""The IOAPIC by its registers and pins: 82093AA data sheet, 3.0."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.devices.ioapic import (
    LEVEL,
    MASKED,
    PINS,
    REMOTE_IRR,
    Ioapic,
    Message,
    message,
)

PIN, VECTOR = 5, 0x41
#: An address and data of the SDM's figures 11-14 and 11-15: LAPIC 0, fixed, asserted.
EDGE_MESSAGE = (0xFEE00000, 1 << 14 | VECTOR)
LEVEL_MESSAGE = (0xFEE00000, 1 << 15 | 1 << 14 | VECTOR)


class Board:
    """The chip, and what it said."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.routed: list[tuple[Message, ...]] = []
        self.chip = Ioapic(lambda *said: self.sent.append(said), self._route)

    def _route(self, routes: Sequence[Message]) -> None:
        self.routed.append(tuple(routes))

    def get(self, register: int) -> int:
        """A register."""
        self.chip.write(0, 4, register)
        return self.chip.read(0x10, 4)

    def put(self, register: int, value: int) -> None:
        """Write one."""
        self.chip.write(0, 4, register)
        self.chip.write(0x10, 4, value)

    def entry(self, value: int, pin: int = PIN) -> None:
        """Write a redirection entry."""
        self.put(0x11 + 2 * pin, value >> 32)
        self.put(0x10 + 2 * pin, value & 0xFFFF_FFFF)

    def waits(self, pin: int = PIN) -> bool:
        """Whether the pin waits for an EOI."""
        return bool(self.get(0x10 + 2 * pin) & REMOTE_IRR)


@pytest.fixture
def board() -> Board:
    return Board()


def test_its_registers_as_they_are_at_first(board: Board) -> None:
    assert board.get(1) == (PINS - 1) << 16 | 0x11
    assert {board.get(0x10 + 2 * pin) for pin in range(PINS)} == {MASKED}
    assert {board.get(0x11 + 2 * pin) for pin in range(PINS)} == {0}


def test_its_id_is_four_bits_and_its_arbitration_the_same(board: Board) -> None:
    board.put(0, 0xFFFF_FFFF)
    assert board.get(0) == board.get(2) == 0x0F00_0000


def test_a_register_that_is_none_reads_as_nothing(board: Board) -> None:
    board.put(0x10 + 2 * PINS, 0xFFFF_FFFF)
    assert board.get(0x10 + 2 * PINS) == board.get(3) == 0


def test_the_guest_cannot_write_what_the_chip_says(board: Board) -> None:
    board.entry(2**64 - 1)
    low = board.get(0x10 + 2 * PIN)
    assert low == 0x1_FFFF & ~(REMOTE_IRR | 1 << 12)
    assert board.get(0x11 + 2 * PIN) == 0xFF00_0000


@given(st.integers(0, 2**64 - 1))
def test_a_message_says_what_the_entry_does(entry: int) -> None:
    address, data = message(entry)
    assert address >> 20 == 0xFEE
    assert address >> 12 & 0xFF == entry >> 56 & 0xFF
    assert address >> 2 & 1 == entry >> 11 & 1
    assert not address & 0xFFB
    assert data & 0x7FF == entry & 0x7FF
    assert data & LEVEL == entry & LEVEL
    assert data >> 14 & 1


def test_an_edge_interrupts_once(board: Board) -> None:
    board.entry(VECTOR)
    for level in (1, 1, 0, 0, 1):
        board.chip.set(PIN, level)
    assert board.sent == [EDGE_MESSAGE] * 2
    assert not board.waits()
    assert not board.routed


def test_an_edge_while_it_is_masked_is_lost(board: Board) -> None:
    board.entry(VECTOR | MASKED)
    board.chip.set(PIN, 1)
    board.entry(VECTOR)
    assert not board.sent


def test_a_level_waits_for_its_end(board: Board) -> None:
    board.entry(VECTOR | LEVEL)
    board.chip.set(PIN, 1)
    board.chip.set(PIN, 0)
    board.chip.set(PIN, 1)
    assert board.sent == [LEVEL_MESSAGE]
    assert board.waits()
    board.chip.end(VECTOR)
    assert board.sent == [LEVEL_MESSAGE] * 2
    board.chip.set(PIN, 0)
    board.chip.end(VECTOR)
    assert board.sent == [LEVEL_MESSAGE] * 2
    assert not board.waits()


def test_the_end_of_another_vector_is_none(board: Board) -> None:
    board.entry(VECTOR | LEVEL)
    board.chip.set(PIN, 1)
    board.chip.end(VECTOR + 1)
    assert board.waits()


def test_two_pins_of_one_vector_end_together(board: Board) -> None:
    for pin in (PIN, PIN + 1):
        board.entry(VECTOR | LEVEL, pin)
        board.chip.set(pin, 1)
        board.chip.set(pin, 0)
    board.chip.end(VECTOR)
    assert not board.waits(PIN)
    assert not board.waits(PIN + 1)


def test_a_level_that_was_masked_comes_when_it_is_not(board: Board) -> None:
    board.entry(VECTOR | LEVEL | MASKED)
    board.chip.set(PIN, 1)
    assert not board.sent
    board.entry(VECTOR | LEVEL)
    assert board.sent == [LEVEL_MESSAGE]


def test_an_entry_that_becomes_an_edge_waits_no_more(board: Board) -> None:
    """How Linux ends an interrupt of a chip without an EOI register (__eoi_ioapic_pin)."""
    board.entry(VECTOR | LEVEL)
    board.chip.set(PIN, 1)
    board.entry(VECTOR | MASKED)
    assert not board.waits()
    board.entry(VECTOR | LEVEL | MASKED)
    assert len(board.sent) == 1


def test_kvm_is_told_of_levels_masked_or_not_and_only_when_they_change(board: Board) -> None:
    board.entry(VECTOR)
    assert not board.routed
    board.entry(VECTOR | LEVEL | MASKED)
    assert [routes[PIN] for routes in board.routed] == [LEVEL_MESSAGE]
    board.entry(VECTOR | LEVEL)
    assert len(board.routed) == 1
    board.entry(VECTOR)
    assert [routes[PIN][1] & LEVEL for routes in board.routed] == [LEVEL, 0]


def test_it_goes_on_from_a_kept_state_and_sends_nothing_again(board: Board) -> None:
    board.entry(7 << 56 | VECTOR | LEVEL)
    board.chip.set(PIN, 1)
    again = Board()
    again.chip.restore(**board.chip.state())
    assert again.chip.state() == board.chip.state()
    assert not again.sent
    assert again.routed == board.routed[-1:]
    again.chip.end(VECTOR)
    assert again.sent == board.sent


def test_a_part_of_a_register_is_read(board: Board) -> None:
    board.chip.write(0, 4, 1)
    assert board.chip.read(0x12, 1) == PINS - 1
    assert board.chip.read(0, 1) == 1
    assert board.chip.read(4, 4) == 0
