"""How a channel of the i8254 counts, against a model of the data sheet that goes by pulses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.i8254 import Mode
from timehands.clocks.i8254_counter import Counter, bcd_digits, bcd_number, emulators_count


@dataclass
class Stepped:
    """The data sheet, one clock pulse at a time, with its registers and flip-flops."""

    mode: Mode
    modulus: int
    gate: bool = True
    element: int = 0
    output: bool = True
    register: int | None = None
    null: bool = True
    loaded: int | None = None
    load_next: bool = False
    trigger: bool = False
    armed: bool = False

    def __post_init__(self) -> None:
        self.output = self.mode is not Mode.TERMINAL_COUNT

    def write(self, count: int) -> None:
        self.register, self.null = count, True
        if self.mode in (Mode.TERMINAL_COUNT, Mode.SOFTWARE_STROBE) or (
            self.mode.periodic and self.loaded is None
        ):
            self.load_next = True
        if self.mode is Mode.TERMINAL_COUNT:
            self.loaded, self.output = None, False

    def set_gate(self, level: bool) -> None:
        if level and not self.gate and (self.mode.triggered or self.mode.periodic):
            self.trigger = self.register is not None
        self.gate = level
        if self.mode.periodic and not level and self.loaded is not None:
            self.output = True

    def pulse(self) -> None:
        if self.load_next or self.trigger:
            self.load_next = self.trigger = False
            self._load(high=True)
        elif self.loaded is not None and (self.gate or self.mode.triggered):
            self._count()

    def _load(self, *, high: bool) -> None:
        assert self.register is not None
        self.loaded, self.null = self.register, False
        odd = self.mode is Mode.SQUARE_WAVE and self.loaded % 2
        self.element = self.loaded - odd
        self.armed = True
        if self.mode in (Mode.ONE_SHOT, Mode.TERMINAL_COUNT):
            self.output = False
        else:
            self.output = high

    def _count(self) -> None:
        match self.mode:
            case Mode.SQUARE_WAVE:
                self._square()
            case Mode.RATE_GENERATOR:
                if self.element == 1:
                    self._load(high=True)
                else:
                    self.element -= 1
                    self.output = self.element != 1
            case _:
                self.element = (self.element - 1) % self.modulus
                if self.mode in (Mode.TERMINAL_COUNT, Mode.ONE_SHOT):
                    self.output = self.output or self.element == 0
                else:
                    self.output = not (self.armed and self.element == 0)
                    self.armed = self.armed and self.element != 0

    def _square(self) -> None:
        assert self.loaded is not None
        last = 0 if self.output and self.loaded % 2 else 2
        if self.element == last:
            self._load(high=not self.output)
        else:
            self.element -= 2


COUNTS = st.integers(2, 12)
ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 30)),
    st.tuples(st.just("write"), COUNTS),
    st.tuples(st.just("gate"), st.integers(0, 1)),
)


@given(st.sampled_from(Mode), st.booleans(), st.lists(ACTIONS, max_size=12))
def test_it_counts_as_the_data_sheet_says(
    mode: Mode, bcd: bool, actions: list[tuple[str, int]]
) -> None:
    counter = Counter(mode, bcd)
    stepped = Stepped(mode, counter.modulus)
    tick = 0
    for action, number in [*actions, ("wait", 30)]:
        if action == "write":
            counter = counter.write(number, tick)
            stepped.write(number)
        elif action == "gate":
            counter = counter.set_gate(bool(number), tick)
            stepped.set_gate(bool(number))
        for _ in range(number if action == "wait" else 0):
            stepped.pulse()
            tick += 1
            seen = (counter.value(tick), counter.output(tick), counter.null_count(tick))
            assert seen == (stepped.element % counter.modulus, stepped.output, stepped.null), tick


@given(st.sampled_from(Mode), COUNTS, st.integers(0, 40), st.integers(2, 12), st.booleans())
def test_the_next_rise_is_the_first_one(
    mode: Mode, count: int, later: int, other: int, rewrite: bool
) -> None:
    counter = Counter(mode).set_gate(False, 0).write(count, 0).set_gate(True, 0)
    if rewrite:
        counter = counter.write(other, later)
    levels = [counter.output(tick) for tick in range(later, later + 60)]
    rises = [n for n in range(1, 60) if levels[n] and not levels[n - 1]]
    assert counter.next_rise(later) == (later + rises[0] if rises else None)


@pytest.mark.parametrize(
    ("mode", "count", "values"),
    [
        (Mode.TERMINAL_COUNT, 4, "4l 3l 2l 1l 0h 65535h"),
        (Mode.ONE_SHOT, 3, "3l 2l 1l 0h 65535h 65534h"),
        (Mode.RATE_GENERATOR, 3, "3h 2h 1l 3h 2h 1l"),
        (Mode.SQUARE_WAVE, 4, "4h 2h 4l 2l 4h 2h"),
        (Mode.SQUARE_WAVE, 5, "4h 2h 0h 4l 2l 4h"),
        (Mode.SOFTWARE_STROBE, 3, "3h 2h 1h 0l 65535h 65534h"),
        (Mode.HARDWARE_STROBE, 3, "3h 2h 1h 0l 65535h 65534h"),
        (Mode.TERMINAL_COUNT, 0, "0l 65535l 65534l 65533l 65532l 65531l"),
        (Mode.SQUARE_WAVE, 0, "0h 65534h 65532h 65530h 65528h 65526h"),
    ],
)
def test_the_diagrams_of_the_data_sheet(mode: Mode, count: int, values: str) -> None:
    counter = Counter(mode, gate=False).write(count, 0).set_gate(True, 0)
    shown = [f"{counter.value(t)}{'h' if counter.output(t) else 'l'}" for t in range(1, 7)]
    assert " ".join(shown) == values


def test_mode_0_rises_one_pulse_more_than_its_count_after_the_write() -> None:
    counter = Counter(Mode.TERMINAL_COUNT).write(11932, 0)
    assert counter.next_rise(0) == 11933
    assert Counter(Mode.TERMINAL_COUNT, at_once=True).write(11932, 0).next_rise(0) == 11932


def test_a_count_of_0_is_65536_and_in_bcd_10000() -> None:
    assert Counter(Mode.RATE_GENERATOR).write(0, 0).next_rise(1) == 1 + 65536
    assert Counter(Mode.RATE_GENERATOR, bcd=True).write(0, 0).next_rise(1) == 1 + 10000
    assert Counter(Mode.TERMINAL_COUNT, bcd=True).write(1, 0).value(3) == 9999


def test_the_first_of_two_bytes_stops_mode_0_only() -> None:
    counting = Counter(Mode.TERMINAL_COUNT).write(2, 0)
    assert counting.output(10)
    assert not counting.first_byte(10).output(20)
    assert counting.first_byte(10).value(20) == counting.value(10)
    other = Counter(Mode.RATE_GENERATOR).write(2, 0)
    assert other.first_byte(10) == other


@given(st.sampled_from(Mode), st.integers(2, 65536), st.integers(0, 1 << 40))
def test_emulators_count_alike_except_for_odd_square_waves(
    mode: Mode, count: int, ticks: int
) -> None:
    counter = Counter(mode, at_once=True).write(count % 65536, 0)
    emulated = emulators_count(mode, count, ticks)
    if mode is Mode.SQUARE_WAVE and count % 2:
        assert abs(counter.value(ticks) - emulated) <= count
    else:
        assert counter.value(ticks) == emulated


@given(st.integers(0, 9999))
def test_digits_come_back(number: int) -> None:
    assert f"{bcd_digits(number):x}" == str(number)
    assert bcd_number(bcd_digits(number)) == number


@given(st.integers(0, 0xFFFF))
def test_any_digits_make_a_number(digits: int) -> None:
    assert 0 <= bcd_number(digits) < 10_000
