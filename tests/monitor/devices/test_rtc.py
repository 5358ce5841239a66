"""The RTC on its ports, at dates that the tests choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.fakes import Line, RungAlarms, TurnedClock
from timehands.clocks.rtc import Alarm, RtcTime
from timehands.monitor.devices import rtc
from timehands.monitor.devices.rtc import Rtc

NS = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE = datetime(2026, 11, 21, 15, 4, 5, tzinfo=UTC)
SECONDS, SECONDS_ALARM, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR = 0, 1, 2, 4, 6, 7, 8, 9
MINUTES_ALARM, HOURS_ALARM, A, B, C, D, CENTURY = 3, 5, 10, 11, 12, 13, 0x32
UIE, AIE, PIE, SET, BINARY, H24 = 0x10, 0x20, 0x40, 0x80, 0x04, 0x02


@dataclass
class Board:
    """A chip whose host's date is `DATE` (and a half second) when guest time is 0."""

    clock: TurnedClock = field(
        default_factory=lambda: TurnedClock(date_ns=int(DATE.timestamp()) * NS + NS // 2)
    )
    line: Line = field(default_factory=Line)
    offset_ns: int = 0

    def __post_init__(self) -> None:
        self.alarms = RungAlarms(self.clock)
        self.chip = Rtc(self.clock, self.alarms, self.offset_ns, self.line)  # type: ignore[arg-type]

    def read(self, register: int) -> int:
        self.chip.write(0, 1, register)
        return self.chip.read(1, 1)

    def write(self, register: int, value: int) -> None:
        self.chip.write(0, 1, register)
        self.chip.write(1, 1, value)

    def date(self) -> tuple[int, ...]:
        return tuple(map(self.read, (CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS)))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    """A chip after power-up."""
    made = Board()
    monkeypatch.setattr(rtc, "time", made.clock)
    return made


def test_it_tells_the_hosts_date_in_bcd(board: Board) -> None:
    assert board.date() == (0x20, 0x26, 0x11, 0x21, 0x15, 0x04, 0x05)
    assert board.read(WEEKDAY) == 7  # a Saturday
    assert (board.read(D), board.read(A) & 0x7F) == (0x80, 0x26)
    board.alarms.turn(NS)
    assert board.read(SECONDS) == 0x06


def test_in_binary_and_in_12_hours_when_register_b_says_so(board: Board) -> None:
    board.write(B, H24 | BINARY)
    assert board.date() == (20, 26, 11, 21, 15, 4, 5)
    board.write(B, BINARY)
    assert board.read(HOURS) == 0x80 | 3


def test_an_update_is_announced_before_it_comes(board: Board) -> None:
    assert not board.read(A) & 0x80
    board.clock.ns = NS // 2 - 100_000
    assert board.read(A) & 0x80
    board.clock.ns = NS // 2
    assert not board.read(A) & 0x80


def test_a_date_that_is_set_goes_on_from_there(board: Board) -> None:
    board.write(B, SET | H24)
    for register, value in zip(
        (CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS),
        (0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58),
        strict=True,
    ):
        board.write(register, value)
    board.clock.ns += 5 * NS
    assert board.read(SECONDS) == 0x58  # it is held
    board.write(B, H24)
    assert board.date() == (0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58)
    board.clock.ns += 2 * NS
    assert board.date() == (0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00)


def test_a_single_register_that_is_written_moves_the_date(board: Board) -> None:
    board.write(HOURS, 0x03)
    assert board.date()[4:] == (0x03, 0x04, 0x05)


def test_a_date_that_is_none_changes_nothing(board: Board) -> None:
    board.write(MONTH, 0x77)
    assert board.read(MONTH) == 0x11


def test_it_is_ahead_of_the_host_as_it_was_set_and_stepped() -> None:
    with pytest.MonkeyPatch.context() as patch:
        board = Board(offset_ns=86400 * NS)
        patch.setattr(rtc, "time", board.clock)
        assert board.read(DAY) == 0x22
        board.chip.step(-2 * 86400 * NS)
        assert board.read(DAY) == 0x20


def test_registers_beyond_the_clock_are_memory(board: Board) -> None:
    board.write(0x40, 0xA5)
    assert board.read(0x40) == 0xA5
    board.write(0xC0, 0x5A)  # bit 7 masks NMIs, and is no part of the number
    assert board.read(0x40) == 0x5A
    assert board.chip.read(0, 1) == 0xFF


def test_what_cannot_be_written_stays(board: Board) -> None:
    board.write(C, 0xFF)
    board.write(D, 0x00)
    assert (board.read(C), board.read(D)) == (0x00, 0x80)


def test_periodic_interrupts_come_at_their_rate(board: Board) -> None:
    board.write(B, H24 | PIE)
    ticks = 0
    for step in range(1, 4097):
        board.alarms.turn(step * NS // 4096)
        if board.line.levels[-1:] == [1]:
            assert board.read(C) & ~0x10 == 0xC0
            ticks += 1
    assert ticks == 1024
    assert board.line.levels == [1, 0] * 1024


def test_an_interrupt_each_second_when_the_date_changes(board: Board) -> None:
    board.write(B, H24 | UIE)
    board.alarms.turn(NS // 2 - 1)
    assert board.line.levels == []
    board.alarms.turn(NS // 2)
    assert board.line.levels == [1]
    assert board.read(C) == 0x90
    assert board.read(C) == 0x00
    board.alarms.turn(3 * NS // 2)
    assert board.line.levels == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("alarm", "rings_after"),
    [((0x15, 0x04, 0x08), 3), ((0xFF, 0xFF, 0x00), 55), ((0xC0, 0x05, 0x10), 65)],
)
def test_the_alarm_rings_at_its_time(
    board: Board, alarm: tuple[int, int, int], rings_after: int
) -> None:
    for register, value in zip((HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM), alarm, strict=True):
        board.write(register, value)
    board.write(B, H24 | AIE)
    for second in range(rings_after):
        board.alarms.turn(second * NS)
        assert board.line.levels == []
    board.alarms.turn(rings_after * NS)
    assert board.line.levels == [1]
    assert board.read(C) == 0xF0  # the divider went on, too


def test_two_kinds_of_interrupts_at_the_same_time(board: Board) -> None:
    board.write(A, 0x2F)  # 2 Hz
    board.write(B, H24 | UIE | PIE)
    seen = 0
    for step in range(1, 21):
        board.alarms.turn(step * NS // 4)
        seen |= board.read(C)
    assert seen == 0xD0
    assert board.line.levels.count(1) >= 10


def test_who_polls_sees_the_flags_without_interrupts(board: Board) -> None:
    board.read(C)
    assert board.read(C) == 0
    board.clock.ns += NS
    assert board.read(C) == 0x50
    assert board.read(C) == 0
    assert 1 not in board.line.levels


def test_setting_the_date_is_no_update(board: Board) -> None:
    board.read(C)
    board.write(A, 0x20)  # no periodic rate
    board.write(HOURS, 0x03)
    board.chip.step(3600 * NS)
    assert board.read(C) == 0


def test_an_alarm_on_its_way_when_it_is_disabled_does_not_count(board: Board) -> None:
    board.write(B, H24 | PIE | UIE)
    rings = [ring for _at, ring in board.alarms.due.values()]
    assert len(rings) == 2
    board.write(B, H24)
    for ring in rings:
        ring(0)
    assert board.line.levels == []
    assert board.alarms.due == {}


def test_periodic_interrupts_that_are_late_are_made_up_for_up_to_a_second(board: Board) -> None:
    board.write(B, H24 | PIE)
    raised = 0
    board.clock.ns = 3600 * NS
    for _ in range(2000):
        board.alarms.turn(3600 * NS)
        raised += board.line.levels[-1:] == [1]
        board.read(C)
    assert board.line.levels.count(1) <= 1200
    assert raised >= 1


def test_a_snapshots_state_goes_on(board: Board) -> None:
    board.write(HOURS, 0x03)
    board.write(0x40, 0x77)
    board.write(B, H24 | UIE)
    state = board.chip.state()
    board.chip.restore(0, 0, b"")
    assert board.read(0x40) == 0
    ram = bytes.fromhex(str(state["ram"]))
    board.chip.restore(int(state["offset_ns"]), int(state["index"]), ram)
    assert (board.read(HOURS), board.read(0x40)) == (0x03, 0x77)
    board.alarms.turn(NS)
    assert board.line.levels[-1] == 1


STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 255), st.integers(0, 2 * NS)), max_size=40
)


@given(STEPS)
def test_whatever_is_written_it_goes_on(steps: list[tuple[int, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        board = Board()
        patch.setattr(rtc, "time", board.clock)
        for offset, value, passed in steps:
            board.chip.write(offset, 1, value)
            assert 0 <= board.chip.read(offset, 1) <= 0xFF
            board.alarms.turn(board.clock.ns + min(passed, NS // 16))
        assert len(board.alarms.due) <= 2


@pytest.mark.parametrize(
    ("alarm", "rings_after"),
    [((0x15, 0x04, 0x08), 3), ((0xFF, 0xFF, 0x00), 55), ((0xC0, 0x05, 0x10), 65)],
)
def test_who_polls_sees_the_alarm_without_its_interrupt(
    board: Board, alarm: tuple[int, int, int], rings_after: int
) -> None:
    for register, value in zip((HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM), alarm, strict=True):
        board.write(register, value)
    board.read(C)
    board.clock.ns = NS // 2  # the next second
    for _ in range(1, rings_after):
        assert board.read(C) == 0x50
        board.clock.ns += NS
    assert board.read(C) == 0x70
    board.clock.ns += NS
    assert board.read(C) == 0x50
    assert 1 not in board.line.levels


def test_an_alarm_that_is_set_when_its_time_is_past_has_not_rung(board: Board) -> None:
    board.read(C)
    board.clock.ns += 5 * NS
    for register, value in ((HOURS_ALARM, 0x15), (MINUTES_ALARM, 0x04), (SECONDS_ALARM, 0x08)):
        board.write(register, value)
    assert board.read(C) == 0x50


def test_an_alarm_that_rang_before_it_was_changed_has_rung(board: Board) -> None:
    board.write(SECONDS_ALARM, 0x08)
    board.write(MINUTES_ALARM, 0xFF)
    board.write(HOURS_ALARM, 0xFF)
    board.read(C)
    board.clock.ns += 5 * NS
    board.write(SECONDS_ALARM, 0x50)
    assert board.read(C) == 0x70


@given(
    alarm=st.tuples(*[st.one_of(st.integers(0, 0xFF), st.sampled_from([0, 0x12, 0x59, 0xC0]))] * 3),
    register_b=st.sampled_from([0, BINARY, H24, H24 | BINARY]),
    before=st.integers(0, 2**34),
    seconds=st.integers(0, 300),
)
def test_an_alarm_rang_if_it_rings_at_one_of_the_seconds(
    alarm: tuple[int, int, int], register_b: int, before: int, seconds: int
) -> None:
    registers = Alarm(*alarm)
    dates = (EPOCH + timedelta(seconds=before + n) for n in range(1, seconds + 1))
    wanted = any(registers.rings(RtcTime.of(date, register_b)) for date in dates)
    assert rtc._rang(registers, register_b, before, before + seconds) is wanted


def test_years_without_a_poll_are_a_day(board: Board) -> None:
    board.write(SECONDS_ALARM, 0x08)  # at 00:00:08
    board.read(C)
    board.clock.ns += 50 * 365 * 86_400 * NS
    assert board.read(C) == 0x70
    board.write(SECONDS_ALARM, 0x61)  # never
    board.read(C)
    board.clock.ns += 50 * 365 * 86_400 * NS
    assert board.read(C) == 0x50
