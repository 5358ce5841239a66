"""Exits decoded from pages that we make up: also those that no small guest brings about."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from ctypes import sizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.kvm.exits import (
    Debugged,
    EntryFailed,
    Exit,
    Halt,
    Hypercall,
    InternalError,
    InterruptWindow,
    IoapicEoi,
    OtherExit,
    PortIn,
    PortOut,
    Shutdown,
    SystemEvent,
    decode,
)
from timehands.kvm.numbers import ExitReason, InternalErrorKind, SystemEventKind
from timehands.kvm.run_struct import Run

SIZE = 3 * 4096


@pytest.fixture
def page() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIZE) as memory:
        yield memory


def decoded(page: mmap.mmap, reason: int, **parts: tuple[object, ...]) -> Exit:
    """The exit of a page with this reason, and with the named part of the union set."""
    run = Run(exit_reason=reason)
    for name, values in parts.items():
        setattr(run, name, type(getattr(run, name))(*values))
    return decode_put(run, page)


def decode_put(run: Run, page: mmap.mmap) -> Exit:
    """The exit of a page that begins with ``run``."""
    page[: sizeof(run)] = bytes(run)
    return decode(run, page)


def test_plain_exits(page: mmap.mmap) -> None:
    assert decoded(page, ExitReason.HLT) == Halt()
    assert decoded(page, ExitReason.SHUTDOWN) == Shutdown()
    assert decoded(page, ExitReason.IRQ_WINDOW_OPEN) == InterruptWindow()
    assert decoded(page, ExitReason.IOAPIC_EOI, eoi=(0x31,)) == IoapicEoi(0x31)
    assert decoded(page, ExitReason.FAIL_ENTRY, fail_entry=(0x80000021, 1)) == EntryFailed(
        0x80000021, 1
    )


def test_a_hypercall_has_six_arguments(page: mmap.mmap) -> None:
    run = Run(exit_reason=ExitReason.HYPERCALL)
    run.hypercall.nr, run.hypercall.args[5], run.hypercall.longmode = 9, 7, 1
    assert decode_put(run, page) == Hypercall(9, (0, 0, 0, 0, 0, 7), True)


def test_a_breakpoint_has_its_place(page: mmap.mmap) -> None:
    run = Run(exit_reason=ExitReason.DEBUG)
    run.debug.arch.exception, run.debug.arch.pc, run.debug.arch.dr6 = 1, 0x1000, 0x4000
    assert decode_put(run, page) == Debugged(1, 0x1000, 0x4000, 0)


@pytest.mark.parametrize(("told", "kept"), [(0, 0), (2, 2), (16, 16), (17, 16), (1 << 31, 16)])
def test_no_more_data_than_there_can_be(page: mmap.mmap, told: int, kept: int) -> None:
    kind, event = InternalErrorKind.EMULATION, SystemEventKind.RESET
    error = decoded(page, ExitReason.INTERNAL_ERROR, internal=(kind, told))
    assert error == InternalError(kind, (0,) * kept)
    reset = decoded(page, ExitReason.SYSTEM_EVENT, system_event=(event, told))
    assert reset == SystemEvent(event, (0,) * kept)


def test_kvms_own_errors_have_words() -> None:
    error = InternalError(InternalErrorKind.EMULATION, (0xF, 0x10))
    assert str(error) == "KVM cannot go on: an instruction that KVM cannot emulate [0xf 0x10]"
    assert str(InternalError(99, ())) == "KVM cannot go on: internal error 99 []"


def test_other_exits_are_told_by_name(page: mmap.mmap) -> None:
    assert str(decoded(page, ExitReason.NMI)) == "non-maskable interrupt"
    other = decoded(page, 12345)
    assert other == OtherExit(12345, bytes(32))
    assert str(other) == "exit reason 12345"


@pytest.mark.parametrize(("units", "size"), [(1, 1), (1, 4), (3, 2), (4096, 1)])
def test_port_accesses_with_their_data(page: mmap.mmap, units: int, size: int) -> None:
    data = bytes(each & 0xFF for each in range(1, size * units + 1))
    page[4096 : 4096 + len(data)] = data
    assert decoded(page, ExitReason.IO, io=(0, size, 0x71, units, 4096)) == PortIn(
        0x71, size, units
    )
    for _ in range(2):  # the second time it may be one that was kept
        assert decoded(page, ExitReason.IO, io=(1, size, 0x71, units, 4096)) == PortOut(
            0x71, size, data
        )
    page[4096] ^= 0xFF
    other = decoded(page, ExitReason.IO, io=(1, size, 0x71, units, 4096))
    assert isinstance(other, PortOut)
    assert other.data == bytes([data[0] ^ 0xFF]) + data[1:]


def test_port_data_outside_of_the_page_are_refused(page: mmap.mmap) -> None:
    with pytest.raises(ValueError, match="outside of its page"):
        decoded(page, ExitReason.IO, io=(1, 1, 0x80, 1, SIZE))


@given(st.binary(min_size=sizeof(Run), max_size=sizeof(Run)), st.sampled_from(ExitReason))
def test_any_page_is_decoded_or_refused(content: bytes, reason: ExitReason) -> None:
    run = Run.from_buffer_copy(content)
    run.exit_reason = reason
    with mmap.mmap(-1, SIZE) as page:
        try:
            assert repr(decode_put(run, page))
        except ValueError as error:
            assert reason == ExitReason.IO, error
