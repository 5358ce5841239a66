"""Replies: what each tells, and no crash on any other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import ProtocolBroken
from timehands.watch.gdb.replies import (
    Cause,
    StopReply,
    ThreadId,
    is_error,
    number,
    parse_stop,
    parse_thread,
    unhex,
)


def test_stop_replies() -> None:
    plain = parse_stop(b"T05thread:p01.02;")
    assert (plain.cause, plain.signal, plain.thread) == (Cause.SIGNAL, 5, ThreadId(1, 2))
    watch = parse_stop(b"T05watch:ffffffff81000000;thread:01;10:0010000000000000;")
    assert (watch.cause, watch.address) == (Cause.WRITE, 0xFFFFFFFF81000000)
    assert watch.registers == {0x10: bytes.fromhex("0010000000000000")}
    assert parse_stop(b"T05swbreak:;").cause is Cause.BREAKPOINT
    assert parse_stop(b"S06") == StopReply(Cause.SIGNAL, 6)
    assert parse_stop(b"W03;process:1").status == 3
    assert parse_stop(b"X09").signal == 9
    assert parse_stop(b"N").ended


@pytest.mark.parametrize(
    "packet", [b"", b"T", b"T5", b"Tzz", b"S", b"W", b"Q05", b"OK", b"T05thread:;"]
)
def test_what_is_no_stop_reply_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        parse_stop(packet)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_stop_reply_or_refused(packet: bytes) -> None:
    for start in (b"", b"T05", b"T05thread:p"):
        try:
            stop = parse_stop(start + packet)
        except ProtocolBroken:
            continue
        assert 0 <= stop.signal <= 0xFF or stop.cause is Cause.KILLED


@given(st.integers(-1, 1 << 40), st.none() | st.integers(-1, 1 << 40))
def test_thread_ids_go_both_ways(thread: int, process: int | None) -> None:
    one = ThreadId(process, thread)
    assert parse_thread(one.wire()) == one


@pytest.mark.parametrize("text", [b"", b"0x1", b"1_0", b" 1", b"-1", b"1" * 17, b"g"])
def test_numbers_are_digits_and_nothing_else(text: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        number(text)


@pytest.mark.parametrize("text", [b"0", b"0g", b"00 0", b"00 00"])
def test_bytes_are_pairs_of_digits(text: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        unhex(text)


def test_errors_are_told_from_data() -> None:
    assert is_error(b"E01") and is_error(b"E.no memory")
    assert not is_error(b"E0") and not is_error(b"E012") and not is_error(b"Exy")
