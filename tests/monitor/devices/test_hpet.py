"""The HPET's registers and timers, at moments that the tests choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.fakes import RungAlarms, TurnedClock
from timehands.monitor.devices.hpet import CAPABILITIES, LEAST_TICKS, Hpet, Timer

CONFIGURATION, STATUS, COUNTER = 0x10, 0x20, 0xF0
LEVEL, INTERRUPTS, PERIODIC, SET, BITS_32 = 2, 4, 8, 0x40, 0x100
PIN = 16 << 9
TICK_NS, MS_TICKS = 10, 100_000
MASK_32, MASK_64 = 2**32 - 1, 2**64 - 1


class Board:
    """A block that counts from 0 at guest time 0, and its pins."""

    def __init__(self, *, counts: bool = True) -> None:
        self.clock = TurnedClock()
        self.alarms = RungAlarms(self.clock)
        self.levels: list[tuple[int, int]] = []
        self.block = Hpet(
            self.clock,  # type: ignore[arg-type]
            self.alarms,  # type: ignore[arg-type]
            lambda pin, level: self.levels.append((pin, level)),
        )
        if counts:
            self.write(CONFIGURATION, 1)

    def read(self, offset: int, size: int = 8) -> int:
        return self.block.read(offset, size)

    def write(self, offset: int, value: int, size: int = 8) -> None:
        self.block.write(offset, size, value)

    def start(self, flags: int, comparator: int, timer: int = 0, size: int = 8) -> None:
        self.write(0x100 + 0x20 * timer, flags)
        self.write(0x108 + 0x20 * timer, comparator, size)

    def turn(self, ticks: int) -> None:
        self.alarms.turn(ticks * TICK_NS)

    @property
    def pulses(self) -> int:
        """How often pin 16 rose."""
        return self.levels.count((16, 1))


@pytest.fixture
def board() -> Board:
    return Board()


def test_it_says_what_it_can(board: Board) -> None:
    """Three timers, a counter of 64 bits, 10 ns, no legacy routes; IA-PC HPET 1.0a, 2.3.4."""
    said = board.read(0)
    assert said == CAPABILITIES
    assert (said >> 32, said >> 16 & 0xFFFF, said >> 15 & 1, said >> 13 & 1, said >> 8 & 0x1F) == (
        10_000_000, 0x8086, 0, 1, 2,
    )  # fmt: skip
    assert (board.read(0, 4), board.read(4, 4)) == (said & MASK_32, said >> 32)
    board.write(0, 0)
    assert board.read(0) == said
    for timer in range(3):
        assert board.read(0x100 + 0x20 * timer) == 0x00FF_0000_0000_0030
    assert board.read(0x160) == 0


def test_it_counts_only_while_it_is_enabled() -> None:
    board = Board(counts=False)
    board.turn(1000)
    assert board.read(COUNTER) == 0
    board.write(CONFIGURATION, 1)
    board.turn(1500)
    assert board.read(COUNTER) == 500
    board.write(CONFIGURATION, 0)
    board.turn(9000)
    assert board.read(COUNTER) == 500
    board.write(COUNTER, 7)
    board.write(CONFIGURATION, 1)
    board.turn(9001)
    assert board.read(COUNTER) == 8


@pytest.mark.parametrize("size", [4, 8])
def test_the_counter_is_written_whole_or_in_halves(size: int) -> None:
    board = Board(counts=False)
    for at in range(0, 8, size):
        board.write(COUNTER + at, 0x1122334455667788 >> 8 * at & (1 << 8 * size) - 1, size)
    assert board.read(COUNTER) == 0x1122334455667788
    assert [board.read(COUNTER + at, 4) for at in (0, 4)] == [0x55667788, 0x11223344]


def test_a_one_shot_pulses_its_pin_once(board: Board) -> None:
    board.start(INTERRUPTS | PIN, 5000)
    board.turn(4999)
    assert board.levels == []
    board.turn(10**9)
    assert board.levels == [(16, 1), (16, 0)]
    assert board.read(STATUS) == 0


def test_with_32_bits_it_matches_whenever_the_counter_comes_round(board: Board) -> None:
    board.start(INTERRUPTS | BITS_32 | PIN, 5000)
    board.turn(2 * 2**32 + 4999)
    assert board.pulses == 2
    board.turn(2 * 2**32 + 5000)
    assert board.pulses == 3


def test_a_comparator_that_is_past_is_not_waited_for(board: Board) -> None:
    board.turn(6000)
    board.start(INTERRUPTS | PIN, 5000)
    assert not board.alarms.due
    board.start(INTERRUPTS | BITS_32 | PIN, 5000)
    assert [at for at, _ in board.alarms.due.values()] == [(2**32 + 5000) * TICK_NS]


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("bits", [0, BITS_32])
def test_a_periodic_one_goes_on(board: Board, bits: int, size: int) -> None:
    """As kernels start it: the first time with SET, then the period."""
    flags = INTERRUPTS | PERIODIC | SET | bits | PIN
    board.start(flags, 3 * MS_TICKS, size=size)
    if not bits and size == 4:  # the comparator was all ones; SET is for one write
        board.write(0x100, flags)
        board.write(0x10C, 0, 4)
    board.write(0x108, MS_TICKS, size)
    board.turn(3 * MS_TICKS - 1)
    assert board.pulses == 0
    for number in range(1, 20):
        board.turn((2 + number) * MS_TICKS)
        assert board.pulses == number
        assert board.read(0x108) == (3 + number) * MS_TICKS


def test_what_the_host_was_late_for_is_made_up_for_but_not_more_than_a_second(
    board: Board,
) -> None:
    board.start(INTERRUPTS | PERIODIC | PIN, MS_TICKS)
    board.alarms.turn(MS_TICKS * TICK_NS, late_ns=5 * MS_TICKS * TICK_NS)
    board.turn(6 * MS_TICKS)
    assert board.pulses == 6
    board.alarms.turn(7 * MS_TICKS * TICK_NS, late_ns=60 * 10**9)
    board.turn(board.clock.ns // TICK_NS)
    assert 1000 <= board.pulses - 6 <= 1002


def test_a_period_of_nearly_nothing_does_not_keep_the_host_busy(board: Board) -> None:
    board.start(INTERRUPTS | PERIODIC | PIN, 1)
    board.turn(100 * LEAST_TICKS)
    assert 99 <= board.pulses <= 101


def test_a_level_is_held_until_it_is_acknowledged(board: Board) -> None:
    board.start(LEVEL | INTERRUPTS | PIN, 5000)
    board.turn(5000)
    assert board.levels == [(16, 1)]
    assert board.read(STATUS) == 1
    board.write(STATUS, 6)
    assert board.read(STATUS) == 1
    board.write(STATUS, 1, 4)
    assert board.read(STATUS) == 0
    assert board.levels == [(16, 1), (16, 0)]


def test_two_timers_on_one_pin_hold_it_together(board: Board) -> None:
    board.start(LEVEL | INTERRUPTS | PIN, 5000)
    board.start(LEVEL | INTERRUPTS | PIN, 6000, timer=2)
    board.turn(7000)
    assert board.read(STATUS) == 5
    board.write(STATUS, 1)
    assert board.levels == [(16, 1)]
    board.write(STATUS, 4)
    assert board.levels == [(16, 1), (16, 0)]


def test_without_its_interrupt_a_level_is_in_the_status_only(board: Board) -> None:
    board.start(LEVEL | PIN, 5000)
    board.turn(5000)
    assert (board.read(STATUS), board.levels) == (1, [])
    board.write(0x100, LEVEL | INTERRUPTS | PIN)
    assert board.levels == [(16, 1)]
    board.write(0x100, LEVEL | PIN)
    assert board.levels == [(16, 1), (16, 0)]


@pytest.mark.parametrize("pin", [0, 2, 8, 15, 24, 31])
def test_a_pin_that_is_not_offered_is_not_taken(board: Board, pin: int) -> None:
    board.write(0x100, INTERRUPTS | 18 << 9)
    board.start(INTERRUPTS | pin << 9, 5000)
    assert board.read(0x100) >> 9 & 0x1F == 18
    board.turn(5000)
    assert board.levels == [(18, 1), (18, 0)]


def test_without_any_pin_nobody_is_interrupted(board: Board) -> None:
    board.start(INTERRUPTS, 5000)
    board.start(INTERRUPTS | LEVEL, 5000, timer=1)
    board.turn(6000)
    assert (board.levels, board.read(STATUS)) == ([], 2)


def test_while_it_stands_nothing_matches(board: Board) -> None:
    board.start(INTERRUPTS | PIN, 5000)
    board.turn(4000)
    board.write(CONFIGURATION, 0)
    board.turn(50_000)
    assert board.levels == []
    board.write(CONFIGURATION, 1)
    board.turn(50_999)
    assert board.levels == []
    board.turn(51_000)
    assert board.pulses == 1


def test_an_alarm_on_its_way_when_it_is_programmed_anew_does_not_count(board: Board) -> None:
    board.start(INTERRUPTS | PIN, 5000)
    ((_at, ring),) = board.alarms.due.values()
    board.write(0x108, 9000)
    ring(5000)
    assert board.levels == []
    board.turn(9000)
    assert board.pulses == 1


ACCESSES = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(
            st.sampled_from([0, 4, 0x10, 0x20, 0xF0, 0xF4, 0x100, 0x108, 0x10C, 0x120, 0x128]),
            st.integers(0, 0x3FF),
        ),
        st.sampled_from([1, 2, 4, 8]),
        st.one_of(
            st.integers(0, MASK_64),
            st.integers(0, 0x1FF),
            st.sampled_from([LEVEL | INTERRUPTS | PERIODIC | SET | BITS_32 | PIN, MASK_32]),
        ),
        st.integers(0, 10**7),
    ),
    max_size=30,
)


@given(ACCESSES)
def test_whatever_is_written_it_goes_on_and_another_one_from_its_state(
    accesses: list[tuple[bool, int, int, int, int]],
) -> None:
    board = Board()
    for is_write, offset, size, value, after_ns in accesses:
        board.alarms.turn(board.clock.ns + after_ns)
        if is_write:
            board.write(offset, value & (1 << 8 * size) - 1, size)
        else:
            assert 0 <= board.read(offset, size) < 1 << 8 * size
    assert {level for _, level in board.levels} <= {0, 1}
    assert all(16 <= pin <= 23 for pin, _ in board.levels)
    state = board.block.state()
    other = Board(counts=False)
    other.clock.ns = 12345
    other.block.restore(
        configuration=state["configuration"],
        status=state["status"],
        count=state["count"],
        timers=[Timer(**each) for each in state["timers"]],
    )
    assert other.block.state() == state
    held = {pin for pin, level in dict(board.levels).items() if level}  # what each was set to last
    assert {pin for pin, _ in other.levels} == held
