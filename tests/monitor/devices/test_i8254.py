"""Our i8254 on its ports. The chip itself is held against others in tests/clocks."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.fakes import RungAlarms, TurnedClock
from timehands.clocks.i8254 import PIT_HZ
from timehands.monitor.devices.i8254 import I8254, Speaker

NS = 10**9
MS = 10**6
#: Control words: channel, both bytes, mode.
RATE_0, SQUARE_0, ONCE_0, ONCE_2 = 0x34, 0x36, 0x30, 0xB0


@dataclass
class Board:
    """A chip, port 0x61, and when interrupts came."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    rises: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alarms = RungAlarms(self.clock)
        self.chip = I8254(self.clock, self.alarms, lambda: self.rises.append(self.clock.ns))  # type: ignore[arg-type]
        self.speaker = Speaker(self.chip)

    def out(self, port: int, value: int) -> None:
        device, offset = (self.speaker, 0) if port == 0x61 else (self.chip, port - 0x40)
        device.write(offset, 1, value)

    def inb(self, port: int) -> int:
        device, offset = (self.speaker, 0) if port == 0x61 else (self.chip, port - 0x40)
        return device.read(offset, 1)

    def program(self, word: int, count: int) -> None:
        channel = 0x40 + (word >> 6)
        self.out(0x43, word)
        self.out(channel, count & 0xFF)
        self.out(channel, count >> 8)

    def count(self, channel: int = 0) -> int:
        self.out(0x43, channel << 6)
        return self.inb(0x40 + channel) | self.inb(0x40 + channel) << 8


@pytest.fixture
def board() -> Board:
    """After power-up."""
    return Board()


@pytest.mark.parametrize("word", [RATE_0, SQUARE_0])
def test_a_periodic_channel_0_interrupts_at_its_rate(board: Board, word: int) -> None:
    board.program(word, 11932)  # 100.0 Hz
    board.alarms.turn(NS)
    assert len(board.rises) in (99, 100)
    steps = {b - a for a, b in zip(board.rises, board.rises[1:], strict=False)}
    exact = 11932 * NS / PIT_HZ
    assert all(abs(step - exact) <= 1 for step in steps)


def test_one_shot_interrupts_once(board: Board) -> None:
    board.program(ONCE_0, 1193)
    board.alarms.turn(NS)
    assert len(board.rises) == 1
    assert 999 <= board.rises[0] // 1000 <= 1002


def test_the_count_goes_down_with_time(board: Board) -> None:
    board.program(RATE_0, 0xFFFF)
    first = board.count()
    board.clock.ns += 10 * MS
    assert first - board.count() == 10 * MS * PIT_HZ // NS


def test_programmed_anew_it_forgets_what_was_due(board: Board) -> None:
    board.program(ONCE_0, 1193)
    board.alarms.turn(500_000)
    board.program(ONCE_0, 11932)
    board.alarms.turn(2 * MS)
    assert board.rises == []
    board.alarms.turn(NS)
    assert len(board.rises) == 1


def test_an_alarm_that_was_on_its_way_when_it_was_programmed_anew_does_not_count(
    board: Board,
) -> None:
    board.program(RATE_0, 1193)
    _at, ring = board.alarms.due[board.chip]
    board.program(ONCE_0, 11932)
    ring(0)
    assert board.rises == []
    board.alarms.turn(NS)
    assert len(board.rises) == 1


def test_reading_the_count_loses_no_interrupt_that_is_late(board: Board) -> None:
    board.program(ONCE_0, 1193)
    board.clock.ns = 5 * MS  # and the alarm has not rung yet
    board.count()
    board.program(ONCE_2, 100)
    board.alarms.turn(5 * MS)
    assert len(board.rises) == 1


def test_interrupts_for_which_the_host_was_late_are_made_up_for(board: Board) -> None:
    board.program(RATE_0, 11932)
    board.alarms.turn(100 * MS, late_ns=50 * MS)
    assert len(board.rises) in (9, 10)


def test_but_not_more_than_a_seconds(board: Board) -> None:
    board.program(RATE_0, 11932)
    board.clock.ns = 3600 * NS
    board.alarms.turn(3600 * NS)
    assert 90 <= len(board.rises) <= 110


@pytest.mark.parametrize("count", [2, 3, 10, 100, 238])
def test_a_guest_that_wants_too_many_interrupts_gets_5000_a_second(
    board: Board, count: int
) -> None:
    board.program(RATE_0, count)
    board.alarms.turn(NS)
    assert 2000 <= len(board.rises) <= 5000


def test_port_0x61_gates_channel_2_and_shows_it(board: Board) -> None:
    board.program(ONCE_2, 1193)
    board.clock.ns += 10 * MS
    assert board.inb(0x61) & 0x21 == 0  # the gate is low: it does not count
    board.out(0x61, 0x01)
    assert board.inb(0x61) & 0x21 == 0x01
    board.clock.ns += 2 * MS
    assert board.inb(0x61) & 0x21 == 0x21
    assert board.rises == []


def test_the_speakers_bit_reads_back(board: Board) -> None:
    board.out(0x61, 0xFF)
    assert board.inb(0x61) & 0x03 == 0x03
    board.out(0x61, 0x00)
    assert board.inb(0x61) & 0x03 == 0x00


def test_a_snapshots_chip_goes_on(board: Board) -> None:
    board.program(RATE_0, 11932)
    board.alarms.turn(3 * MS)
    other = Board(TurnedClock(board.clock.ns))
    other.chip.restore(board.chip.chip)
    assert other.count() == board.count()
    other.alarms.turn(30 * MS)
    board.alarms.turn(30 * MS)
    assert other.rises == board.rises


STEPS = st.lists(
    st.tuples(st.sampled_from([0x40, 0x41, 0x42, 0x43, 0x61]), st.integers(0, 255)), max_size=40
)


@given(STEPS, st.integers(0, 10 * MS))
def test_whatever_is_written_interrupts_are_200_us_apart(
    steps: list[tuple[int, int]], pause: int
) -> None:
    board = Board()
    for port, value in steps:
        board.out(port, value)
        board.inb(port)
        board.rises.clear()
        board.alarms.turn(board.clock.ns + pause)
        apart = [b - a for a, b in zip(board.rises, board.rises[1:], strict=False)]
        assert all(each > 199_000 for each in apart)
