"""The serial port, as a driver of a 16550A finds it."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.fakes import Line
from timehands.monitor.devices.serial import INPUT_BYTES, Serial

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(8)
FCR = IIR


class Wire:
    """A port with what went out of it, and its interrupt line."""

    def __init__(self) -> None:
        self.out, self.line = bytearray(), Line()
        self.port = Serial(self.out.extend, self.line)

    def read(self, register: int) -> int:
        return self.port.read(register, 1)

    def write(self, register: int, value: int) -> None:
        self.port.write(register, 1, value)


@pytest.fixture
def wire() -> Wire:
    """A port after power-up."""
    return Wire()


def test_what_is_written_goes_out_at_once_and_there_is_always_room(wire: Wire) -> None:
    for byte in b"hello":
        assert wire.read(LSR) & 0x60 == 0x60
        wire.write(DATA, byte)
    assert wire.out == b"hello"


def test_what_is_typed_comes_in_in_order_and_only_so_much_of_it(wire: Wire) -> None:
    assert wire.read(LSR) & 1 == 0
    assert wire.port.feed(b"ab") == 2
    assert wire.port.feed(bytes(INPUT_BYTES)) == INPUT_BYTES - 2
    assert wire.port.feed(b"x") == 0
    assert (wire.read(LSR) & 1, wire.read(DATA), wire.read(DATA)) == (1, ord("a"), ord("b"))
    assert wire.port.feed(b"xyz") == 2


def test_reading_without_input_gives_0(wire: Wire) -> None:
    assert wire.read(DATA) == 0


def test_the_divisor_is_behind_dlab(wire: Wire) -> None:
    wire.write(LCR, 0x83)
    wire.write(DATA, 0x34)
    wire.write(IER, 0x12)
    assert (wire.read(DATA), wire.read(IER)) == (0x34, 0x12)
    wire.write(LCR, 0x03)
    assert (wire.read(IER), wire.out) == (0, b"")


def test_linux_finds_a_16550a(wire: Wire) -> None:
    """What drivers/tty/serial/8250/8250_port.c, autoconfig, asks."""
    wire.write(IER, 0)
    assert wire.read(IER) == 0
    wire.write(IER, 0x0F)
    assert wire.read(IER) == 0x0F
    wire.write(IER, 0)
    wire.write(MCR, 0x10 | 0x0A)
    assert wire.read(MSR) & 0xF0 == 0x90
    wire.write(MCR, 0)
    wire.write(FCR, 1)
    assert wire.read(IIR) >> 6 == 3
    wire.write(FCR, 0)
    assert wire.read(IIR) >> 6 == 0
    wire.write(SCRATCH, 0x5A)
    assert wire.read(SCRATCH) == 0x5A


def test_all_modem_lines_come_back_in_loopback(wire: Wire) -> None:
    back = {0x01: 0x20, 0x02: 0x10, 0x04: 0x40, 0x08: 0x80}
    for out, status in back.items():
        wire.write(MCR, 0x10 | out)
        assert wire.read(MSR) & 0xF0 == status


def test_data_comes_back_in_loopback_and_does_not_go_out(wire: Wire) -> None:
    wire.write(MCR, 0x10)
    wire.write(DATA, 0x42)
    assert (wire.read(DATA), wire.out) == (0x42, b"")


def test_input_interrupts_until_it_is_read(wire: Wire) -> None:
    wire.write(IER, 1)
    wire.port.feed(b"ab")
    assert wire.read(IIR) & 0x0F == 4
    wire.read(DATA)
    assert wire.line.levels == [1]
    wire.read(DATA)
    assert wire.line.levels == [1, 0]
    assert wire.read(IIR) & 1


def test_the_empty_transmitter_interrupts_once_for_each_byte(wire: Wire) -> None:
    wire.write(IER, 2)
    assert wire.line.levels == [1]
    assert wire.read(IIR) & 0x0F == 2  # told: no more of it
    assert wire.line.levels == [1, 0]
    wire.write(DATA, 0)
    assert wire.read(IIR) & 0x0F == 2
    assert wire.line.levels == [1, 0, 1, 0]


def test_input_comes_before_the_empty_transmitter(wire: Wire) -> None:
    wire.write(IER, 3)
    wire.port.feed(b"a")
    assert wire.read(IIR) & 0x0F == 4
    wire.read(DATA)
    assert wire.read(IIR) & 0x0F == 2


def test_without_enable_bits_the_line_stays_low(wire: Wire) -> None:
    wire.port.feed(b"a")
    wire.write(DATA, 0)
    assert wire.line.levels == []


def test_the_fifo_is_emptied_when_asked(wire: Wire) -> None:
    wire.port.feed(b"abc")
    wire.write(FCR, 0x07)
    assert wire.read(LSR) & 1 == 0


def test_who_listens_may_answer_from_within() -> None:
    def answer(data: bytes) -> None:
        port.feed(data.upper())

    port = Serial(answer, lambda _level: None)
    port.write(DATA, 1, ord("a"))
    assert port.read(DATA, 1) == ord("A")


@given(st.lists(st.binary(max_size=3) | st.none(), max_size=30))
def test_input_is_a_queue(steps: list[bytes | None]) -> None:
    wire, model = Wire(), deque[int]()
    for step in steps:
        if step is None:
            assert wire.read(DATA) == (model.popleft() if model else 0)
        else:
            wire.port.feed(step)
            model.extend(step)
        assert bool(wire.read(LSR) & 1) is bool(model)
