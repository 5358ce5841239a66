"""The 8259s by their ports and lines: Intel's 8259A data sheet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.devices.i8259 import CAN_BE_LEVEL, Chip, Pics

EOI, READ_IRR, READ_ISR, POLL = 0x20, 0x0A, 0x0B, 0x0C


class Board:
    """The chips as a kernel sets them up: vectors from 0x20 and 0x28, nothing masked."""

    def __init__(self, *, mode: int = 1) -> None:
        self.rises = 0
        self.pics = Pics(self._rose)
        for ports, base, cascade in ((self.pics.first, 0x20, 4), (self.pics.second, 0x28, 2)):
            ports.write(0, 1, 0x11)
            for word in (base, cascade, mode):
                ports.write(1, 1, word)

    def _rose(self) -> None:
        self.rises += 1

    def take(self) -> int | None:
        """What the processor gets now."""
        taken: list[int] = []
        self.pics.deliver(lambda vector: taken.append(vector) or True)  # type: ignore[func-returns-value]
        return taken[0] if taken else None

    def pulse(self, *irqs: int) -> None:
        """Edges."""
        for irq in irqs:
            self.pics.set(irq, 1)
            self.pics.set(irq, 0)

    def in_service(self) -> tuple[int, int]:
        """Both ISRs."""
        first, second = self.pics.chips()
        return first.isr, second.isr


@pytest.fixture
def board() -> Board:
    return Board()


def test_vectors_are_those_of_icw2(board: Board) -> None:
    for irq in (*range(2), *range(3, 16)):
        board.pulse(irq)
        assert board.take() == 0x20 + irq
        board.pics.second.write(0, 1, EOI)
        board.pics.first.write(0, 1, EOI)
    assert board.take() is None
    assert board.in_service() == (0, 0)


def test_a_line_asks_once_for_each_edge(board: Board) -> None:
    board.pics.set(1, 1)
    board.pics.set(1, 1)
    assert board.take() == 0x21
    board.pics.first.write(0, 1, EOI)
    assert board.take() is None
    board.pics.set(1, 0)
    board.pics.set(1, 1)
    assert board.take() == 0x21


def test_a_level_asks_until_it_is_down(board: Board) -> None:
    board.pics.elcr.write(1, 1, 1 << 3)
    board.pics.set(11, 1)
    for _ in range(2):
        assert board.take() == 0x2B
        board.pics.second.write(0, 1, EOI)
        board.pics.first.write(0, 1, EOI)
    board.pics.set(11, 0)
    assert board.take() is None


def test_not_every_line_can_be_a_level(board: Board) -> None:
    for chip, can in enumerate(CAN_BE_LEVEL):
        board.pics.elcr.write(chip, 1, 0xFF)
        assert board.pics.elcr.read(chip, 1) == can


def test_what_is_in_service_holds_back_lower_ones(board: Board) -> None:
    board.pulse(4)
    assert board.take() == 0x24
    board.pulse(5)
    assert board.take() is None
    board.pulse(1)
    assert board.take() == 0x21
    board.pics.first.write(0, 1, EOI)
    assert board.take() is None
    board.pics.first.write(0, 1, EOI)
    assert board.take() == 0x25


def test_a_masked_line_waits(board: Board) -> None:
    board.pics.first.write(1, 1, 1 << 3)
    assert board.pics.first.read(1, 1) == 1 << 3
    board.pulse(3)
    assert not board.pics.up
    board.pics.first.write(1, 1, 0)
    assert board.pics.up
    assert board.take() == 0x23


def test_both_chips_are_in_service_for_the_second_ones_lines(board: Board) -> None:
    board.pulse(8)
    assert board.take() == 0x28
    assert board.in_service() == (1 << 2, 1)
    board.pics.first.write(0, 1, READ_ISR)
    assert board.pics.first.read(0, 1) == 1 << 2
    board.pics.first.write(0, 1, READ_IRR)
    assert board.pics.first.read(0, 1) == 0


def test_an_end_for_one_line_leaves_the_others(board: Board) -> None:
    board.pulse(4)
    board.take()
    board.pulse(1)
    board.take()
    board.pics.first.write(0, 1, 0x60 | 4)
    assert board.in_service() == (1 << 1, 0)


def test_an_end_that_rotates_gives_the_others_their_turn(board: Board) -> None:
    board.pulse(1)
    board.take()
    board.pics.first.write(0, 1, 0xA0)
    board.pulse(0, 1, 3)
    vectors = []
    for _ in range(3):
        vectors.append(board.take())
        board.pics.first.write(0, 1, EOI)
    assert vectors == [0x23, 0x20, 0x21]


def test_an_automatic_end_leaves_nothing_in_service() -> None:
    board = Board(mode=3)
    board.pulse(0, 9)
    assert (board.take(), board.take()) == (0x20, 0x29)
    assert board.in_service() == (0, 0)


def test_the_special_mask_lets_lower_ones_through(board: Board) -> None:
    board.pulse(1)
    board.take()
    board.pics.first.write(1, 1, 1 << 1)
    board.pulse(6)
    assert board.take() is None
    board.pics.first.write(0, 1, 0x68)
    assert board.take() == 0x26


def test_special_fully_nested_a_higher_line_of_the_second_comes_through() -> None:
    """The first chip's mode; without it, its input 2 is in service and holds it back."""
    for mode, vector in ((0x11, 0x28), (1, None)):
        board = Board(mode=mode)
        board.pulse(12)
        assert board.take() == 0x2C
        board.pulse(8)
        assert board.take() == vector


def test_a_poll_acknowledges(board: Board) -> None:
    board.pulse(5)
    board.pics.first.write(0, 1, POLL)
    assert board.pics.first.read(0, 1) == 0x85
    assert board.in_service() == (1 << 5, 0)
    board.pics.first.write(0, 1, POLL)
    assert board.pics.first.read(0, 1) == 0


def test_icw1_forgets_edges_and_masks(board: Board) -> None:
    board.pics.first.write(1, 1, 0xFF)
    board.pulse(3)
    board.pics.first.write(0, 1, 0x11)
    for word in (0x40, 4, 1):
        board.pics.first.write(1, 1, word)
    assert board.pics.first.read(1, 1) == 0
    assert board.take() is None
    board.pulse(3)
    assert board.take() == 0x43


def test_a_chip_that_is_alone_and_has_no_icw4_awaits_one_word(board: Board) -> None:
    board.pics.first.write(0, 1, 0x12)
    board.pics.first.write(1, 1, 0x50)
    board.pics.first.write(1, 1, 0xFE)
    assert board.pics.first.read(1, 1) == 0xFE
    board.pulse(0)
    assert board.take() == 0x50


def test_its_output_tells_the_processor_when_it_rises(board: Board) -> None:
    board.pulse(3)
    board.pulse(4)
    assert board.rises == 1
    board.take()
    assert not board.pics.up
    board.pics.first.write(0, 1, EOI)
    assert board.rises == 2


def test_a_vector_that_is_not_taken_is_not_acknowledged(board: Board) -> None:
    board.pulse(3)
    assert not board.pics.deliver(lambda _vector: False)
    assert board.in_service() == (0, 0)
    assert board.take() == 0x23


def test_it_goes_on_from_a_kept_state(board: Board) -> None:
    board.pulse(4)
    board.take()
    board.pulse(1, 9)
    again = Board()
    before = again.rises
    again.pics.restore(*board.pics.chips())
    assert again.pics.chips() == board.pics.chips()
    assert again.rises == before + 1
    assert again.take() == board.take() == 0x21


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 7))
def test_of_those_that_ask_the_first_after_the_lowest_is_taken(
    irr: int, isr: int, mask: int, lowest: int
) -> None:
    """Against the data sheet's words, input by input."""
    chip = Chip(irr=irr, isr=isr, mask=mask, lowest=lowest)
    expected = None
    for number in ((lowest + 1 + step) % 8 for step in range(8)):
        if isr >> number & 1:
            break
        if irr >> number & 1 and not mask >> number & 1:
            expected = number
            break
    assert chip.wants() == expected
