"""The i8254 behind its ports."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from timehands.clocks.i8254 import Access, Mode, Status
from timehands.clocks.i8254_chip import Chip


def programmed(word: int, *values: int, tick: int = 0) -> Chip:
    """A chip whose channel was given a control word and then these bytes."""
    chip = Chip.new().write(0x43, word, tick)
    for value in values:
        chip = chip.write(0x40 + (word >> 6), value, tick)
    return chip


def read(chip: Chip, port: int, tick: int, times: int = 1) -> tuple[list[int], Chip]:
    """Several bytes from a port."""
    values = []
    for _ in range(times):
        value, chip = chip.read(port, tick)
        values.append(value)
    return values, chip


def test_a_count_is_written_and_read_low_byte_first() -> None:
    chip = programmed(0x34, 0xA9, 0x04)
    assert read(chip, 0x40, 1, 4)[0] == [0xA9, 0x04, 0xA9, 0x04]
    assert read(chip, 0x40, 2, 2)[0] == [0xA8, 0x04]


@pytest.mark.parametrize(("word", "value", "count"), [(0x14, 0x12, 0x12), (0x24, 0x12, 0x1200)])
def test_with_one_byte_the_other_is_0(word: int, value: int, count: int) -> None:
    chip = programmed(word, value)
    assert chip.channels[0].counter.value(1) == count
    shown = value if word == 0x14 else count >> 8
    assert read(chip, 0x40, 1, 2)[0] == [shown, shown]


def test_half_a_count_changes_nothing_in_mode_2() -> None:
    chip = programmed(0x34, 0x10, 0x00).write(0x40, 0xFF, 5)
    assert chip.channels[0].counter.value(6) == 0x10 - 5
    assert chip.write(0x40, 0x00, 6).channels[0].counter.value(17) == 0xFF


def test_a_latched_count_stays_until_both_bytes_are_read() -> None:
    chip = programmed(0x34, 0x00, 0x10).write(0x43, 0x00, 11)
    chip = chip.write(0x43, 0x00, 500)
    low, chip = read(chip, 0x40, 600)
    high, chip = read(chip, 0x40, 700)
    assert low + high == [0xF6, 0x0F]
    assert read(chip, 0x40, 801, 2)[0] == [0x1000 - 800 & 0xFF, 0x1000 - 800 >> 8]


def test_a_control_word_drops_what_was_latched_and_half_read() -> None:
    chip = programmed(0x34, 0x00, 0x10).write(0x43, 0x00, 11)
    _, chip = read(chip, 0x40, 12)
    chip = chip.write(0x43, 0x34, 20).write(0x40, 0x34, 20).write(0x40, 0x12, 20)
    assert read(chip, 0x40, 21, 2)[0] == [0x34, 0x12]


def test_a_read_back_gives_the_status_first_and_then_the_count() -> None:
    chip = programmed(0x34, 0x00, 0x10).write(0x43, 0xC2, 11)
    values, chip = read(chip, 0x40, 900, 3)
    assert values == [0xB4, 0xF6, 0x0F]
    assert Status.parse(0xB4) == Status(True, False, Access.BOTH, Mode.RATE_GENERATOR, False)


def test_a_read_back_of_several_channels() -> None:
    chip = programmed(0x34, 0x00, 0x10).write(0x43, 0x74, 0).write(0x41, 0x00, 0)
    chip = chip.write(0x41, 0x20, 0).write(0x43, 0xD6, 11)
    assert [channel.latched for channel in chip.channels] == [0x0FF6, 0x1FF6, None]
    chip = chip.write(0x43, 0xE8, 12)
    assert [channel.status is None for channel in chip.channels] == [True, True, False]


def test_the_status_tells_a_count_that_is_not_loaded_yet() -> None:
    chip = programmed(0x34)
    assert read(chip.write(0x43, 0xE2, 5), 0x40, 5)[0] == [0xF4]
    chip = chip.write(0x40, 2, 5).write(0x40, 0, 5)
    assert read(chip.write(0x43, 0xE2, 5), 0x40, 5)[0] == [0xF4]
    assert read(chip.write(0x43, 0xE2, 6), 0x40, 6)[0] == [0xB4]


def test_channel_2_counts_while_port_61_lets_it() -> None:
    chip = Chip.new().write(0x43, 0xB0, 0).write(0x42, 0x10, 0).write(0x42, 0x00, 0)
    assert chip.channels[2].counter.value(50) == 0x10
    assert read(chip, 0x61, 50)[0] == [0x00]
    chip = chip.write(0x61, 0xFD, 100)
    assert chip.next_rise(2, 100) == 116
    assert read(chip, 0x61, 115)[0] == [0x01]
    assert read(chip, 0x61, 116)[0] == [0x21]
    assert not chip.output(2, 115)
    assert chip.output(2, 116)


def test_bcd_counts_are_written_and_read_as_digits() -> None:
    chip = programmed(0x35, 0x34, 0x12)
    assert read(chip, 0x40, 1, 2)[0] == [0x34, 0x12]
    assert read(chip, 0x40, 36, 2)[0] == [0x99, 0x11]


def test_the_control_port_cannot_be_read_and_other_ports_are_not_the_chips() -> None:
    chip = programmed(0x34, 0x00, 0x10)
    assert chip.read(0x43, 5) == (0xFF, chip)
    assert chip.write(0x80, 0x55, 5) == chip


def test_an_emulators_chip_loads_at_once() -> None:
    chip = Chip.new(at_once=True).write(0x43, 0x34, 7)
    chip = chip.write(0x40, 0xA9, 7).write(0x40, 0x04, 7)
    assert chip.next_rise(0, 7) == 7 + 0x4A9


PORTS = st.sampled_from([0x40, 0x41, 0x42, 0x43, 0x61, 0x99])
STEPS = st.lists(st.tuples(PORTS, st.integers(0, 255), st.integers(0, 1000)), max_size=30)


@given(STEPS, st.booleans())
@example([(0x41, 0, 0), (0x41, 0, 0), (0x43, 0x61, 2), (0x41, 0, 0)], False)  # binary, then BCD
def test_any_accesses_are_answered(steps: list[tuple[int, int, int]], at_once: bool) -> None:
    chip, tick = Chip.new(at_once=at_once), 0
    for port, value, later in steps:
        tick += later
        chip = chip.write(port, value, tick)
        answer, chip = chip.read(port, tick)
        assert 0 <= answer <= 0xFF
        rises = (chip.next_rise(n, tick) for n in range(3))
        assert all(rise is None or rise > tick for rise in rises)
