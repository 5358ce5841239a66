"""The keyboard controller: every kernel's question is answered at once, and none by a keyboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.fakes import Line
from timehands.monitor.devices.i8042 import I8042
from timehands.monitor.devices.signals import Ending

FULL, COMMAND_LAST, TIMEOUT, AUX = 0x01, 0x08, 0x40, 0x20


class Board:
    """A controller, with what it said to those around it."""

    def __init__(self) -> None:
        self.line, self.endings = Line(), list[Ending]()
        self.controller = I8042(self.endings.append, self.line)

    def command(self, value: int) -> None:
        self.controller.command.write(0, 1, value)

    def give(self, value: int) -> None:
        self.controller.data.write(0, 1, value)

    @property
    def status(self) -> int:
        return self.controller.command.read(0, 1)

    def answers(self) -> list[int]:
        """All that wait, at most as many as there can be."""
        taken = list[int]()
        while self.status & FULL and len(taken) < 100:
            taken.append(self.controller.data.read(0, 1))
        return taken

    def ask(self, command: int) -> list[int]:
        self.command(command)
        return self.answers()


@pytest.fixture
def board() -> Board:
    """A controller after power-up."""
    return Board()


def test_nothing_waits_at_first_and_commands_are_taken(board: Board) -> None:
    assert board.status & 3 == 0
    assert board.controller.data.read(0, 1) == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [(0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x01), (0xC0, 0x80), (0xD0, 0x03), (0x20, 0x64)],
)
def test_a_question_is_answered_at_once(board: Board, command: int, answer: int) -> None:
    assert board.ask(command) == [answer]
    assert not board.status & FULL


@pytest.mark.parametrize("command", range(0xF0, 0x100))
def test_a_pulse_of_line_0_resets(board: Board, command: int) -> None:
    board.command(command)
    assert board.endings == [Ending("guest-reset")] * (command % 2 == 0)
    assert board.answers() == []


def test_what_the_command_byte_says_is_kept(board: Board) -> None:
    """As Linux' i8042_controller_init does it."""
    (found,) = board.ask(0x20)
    board.command(0x60)
    board.give(found | 0x10)
    assert board.ask(0x20) == [found | 0x10]
    for command, bit, is_set in ((0xAE, 0x10, False), (0xAD, 0x10, True), (0xA8, 0x20, False)):
        assert board.ask(command) == []
        assert bool(board.ask(0x20)[0] & bit) is is_set


def test_all_of_its_ram_is_kept(board: Board) -> None:
    for at in range(32):
        board.command(0x60 + at)
        board.give(at + 7)
    assert [board.ask(0x20 + at) for at in range(32)] == [[at + 7] for at in range(32)]


def test_the_gate_of_a20_is_kept_and_does_nothing(board: Board) -> None:
    """As arch/x86/boot/a20.c opens it, and as a guest may shut it."""
    for value in (0xDF, 0xDD):
        board.command(0xD1)
        board.give(value)
        assert board.ask(0xD0) == [value]
    board.command(0xFF)
    assert not board.endings


def test_an_output_port_without_line_0_resets(board: Board) -> None:
    board.command(0xD1)
    board.give(0xFE)
    assert board.endings == [Ending("guest-reset")]


def test_there_is_no_mouse(board: Board) -> None:
    """Linux' i8042_check_aux: the loop comes back as from the keyboard, the test fails."""
    board.command(0xD3)
    board.give(0x5A)
    assert board.status & (FULL | AUX) == FULL
    assert board.answers() == [0x5A]
    assert board.ask(0xA9) == [0x01]


@pytest.mark.parametrize("through", [None, 0xD4])
def test_what_is_for_a_keyboard_or_a_mouse_comes_back(board: Board, through: int | None) -> None:
    if through is not None:
        board.command(through)
    board.give(0xF2)
    assert board.status & TIMEOUT
    assert board.answers() == [0xFE]
    assert not board.status & TIMEOUT


def test_a_command_forgets_the_one_that_waited_for_its_parameter(board: Board) -> None:
    board.command(0x60)
    board.command(0xAE)
    board.give(0xFF)  # for the keyboard, then
    assert board.answers() == [0xFE]
    assert board.ask(0x20) == [0x64]


def test_each_answer_interrupts_once_if_that_is_wanted(board: Board) -> None:
    board.ask(0xAA)
    assert board.line.levels == []
    board.command(0x60)
    board.give(0x65)
    board.command(0xAA)
    board.command(0xAB)
    assert board.line.levels == [1]
    assert board.answers() == [0x55, 0x00]
    assert board.line.levels == [1, 0, 1, 0]


def test_a_guest_that_reads_nothing_keeps_few_answers_waiting(board: Board) -> None:
    for _ in range(10_000):
        board.command(0xAA)
    assert len(board.answers()) == 16


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 0xFF)), max_size=30), st.booleans())
def test_another_one_goes_on_from_its_state(told: list[tuple[bool, int]], read: bool) -> None:
    first, second = Board(), Board()
    for is_command, value in told:
        (first.command if is_command else first.give)(value)
    state = first.controller.state()
    second.controller.restore(
        ram=bytes.fromhex(str(state["ram"])),
        output=int(state["output"]),
        answers=bytes.fromhex(str(state["answers"])),
        nobody=bool(state["nobody"]),
        wants=int(state["wants"]),
    )
    assert second.controller.state() == state
    assert second.status | COMMAND_LAST == first.status | COMMAND_LAST
    if read:
        first.give(0x11)
        second.give(0x11)
    assert second.answers() == first.answers()
    assert first.line.levels[-1:] == second.line.levels[-1:]
