"""Packets as a server takes them: anything may come."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import ProtocolBroken
from timehands.monitor.gdb_server.packets import (
    MAX_PAYLOAD,
    Kind,
    Received,
    Unpacker,
    escape,
    frame,
    unescape,
)


def fed(unpacker: Unpacker, data: bytes, sizes: list[int]) -> list[Received]:
    """All that comes of these bytes, given in pieces of these sizes and the rest at once."""
    found = []
    for size in sizes:
        found += unpacker.feed(data[:size])
        data = data[size:]
    return found + unpacker.feed(data)


@given(st.binary(max_size=300))
def test_what_is_escaped_comes_back(data: bytes) -> None:
    escaped = escape(data)
    assert unescape(escaped) == data
    assert not {*b"$#*"} & {*escaped}


@given(st.lists(st.binary(max_size=60), max_size=5), st.lists(st.integers(1, 20), max_size=20))
def test_packets_come_whole_in_whatever_pieces(payloads: list[bytes], sizes: list[int]) -> None:
    wire = b"".join(b"+" + frame(escape(each)) + b"\x03" for each in payloads)
    wanted = [
        one
        for each in payloads
        for one in (Received(Kind.ACK), Received(Kind.PACKET, each), Received(Kind.INTERRUPT))
    ]
    assert fed(Unpacker(), wire, sizes) == wanted


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=10))
def test_any_bytes_are_taken_or_refused_in_words(data: bytes, sizes: list[int]) -> None:
    with contextlib.suppress(ProtocolBroken):
        fed(Unpacker(), data, sizes)


@given(st.binary(max_size=40).filter(lambda data: not {*b"$#}"} & {*data}), st.integers(1, 255))
def test_a_wrong_checksum_is_seen(payload: bytes, off: int) -> None:
    wrong = b"$%b#%02x" % (payload, sum(payload) + off & 0xFF)
    assert Unpacker().feed(wrong) == [Received(Kind.DAMAGED)]


def test_a_packet_whose_end_was_lost_is_damaged_and_the_next_one_is_taken() -> None:
    damaged, whole = Unpacker().feed(b"$m10," + frame(b"?"))
    assert (damaged.kind, whole) == (Kind.DAMAGED, Received(Kind.PACKET, b"?"))


@pytest.mark.parametrize("byte", [b"m", b"}", b"$"])
def test_a_packet_without_an_end_is_not_kept(byte: bytes) -> None:
    unpacker = Unpacker()
    unpacker.feed(b"$")
    with pytest.raises(ProtocolBroken, match=r"longer than 16,384 bytes"):
        for _ in range(5):
            unpacker.feed(byte * MAX_PAYLOAD)


def test_noise_is_not_kept() -> None:
    unpacker = Unpacker()
    for _ in range(100):
        assert unpacker.feed(b"noise" * 1000) == []
    assert unpacker.feed(frame(b"g")) == [Received(Kind.PACKET, b"g")]


def test_an_escape_of_nothing_is_refused() -> None:
    with pytest.raises(ProtocolBroken, match="escape"):
        Unpacker().feed(frame(b"X0,1:}"))
