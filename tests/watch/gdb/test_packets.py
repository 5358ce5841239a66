"""Packets: any payload, in any pieces, and damage that is told."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import ProtocolBroken
from timehands.watch.gdb.packets import (
    Kind,
    Received,
    Unpacker,
    checksum,
    escape,
    expand,
    frame,
)

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at some places."""
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@given(PAYLOADS, st.lists(st.integers(min_value=0), max_size=20))
def test_any_payload_arrives_as_it_was_in_any_pieces(
    payloads: list[bytes], cuts: list[int]
) -> None:
    wire = b"+".join(frame(escape(payload)) for payload in payloads)
    unpacker, got = Unpacker(), []
    for piece in pieces(wire, cuts):
        got += unpacker.feed(piece)
    assert [one.payload for one in got if one.kind is Kind.PACKET] == payloads
    assert sum(one.kind is Kind.ACK for one in got) == len(payloads) - 1


@given(st.binary(min_size=1, max_size=60), st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_never_gives_another_payload(data: bytes, at: int, by: int) -> None:
    wire = bytearray(frame(escape(data)))
    wire[at % len(wire)] ^= by
    try:
        got = Unpacker().feed(bytes(wire))
    except ProtocolBroken:
        return
    assert all(one.payload == data for one in got if one.kind is Kind.PACKET)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_taken_or_refused(data: bytes) -> None:
    unpacker = Unpacker(limit=64)
    for at in range(len(data)):
        try:
            unpacker.feed(data[at : at + 1])
        except ProtocolBroken:
            break
    assert len(unpacker._buffer) <= 65


@given(st.binary(max_size=40), st.integers(1, 200))
def test_a_checksum_is_the_sum_of_the_bytes_however_many(data: bytes, times: int) -> None:
    assert checksum(data * times) == sum(data * times) & 0xFF


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0xFF])
def test_a_checksum_of_the_largest_bytes_overflows_nothing(byte: int) -> None:
    for length in (255, 256, 257, 511, 512, 513, 4096):
        assert checksum(bytes([byte]) * length) == byte * length & 0xFF


@given(st.binary(max_size=40), st.booleans(), st.integers(min_value=0), st.integers(0, 255))
def test_what_is_taken_as_one_whole_packet_is_what_any_pieces_give(
    data: bytes, acknowledged: bool, at: int, by: int
) -> None:
    wire = bytearray(b"+" * acknowledged + frame(escape(data)))
    wire[at % len(wire)] ^= by
    taken = Unpacker().whole(bytes(wire))
    if taken is not None:
        packets = [one for one in Unpacker().feed(bytes(wire)) if one.kind is not Kind.ACK]
        assert packets == [Received(Kind.PACKET, taken)]


def test_a_plain_packet_is_taken_whole_and_none_while_another_is_open() -> None:
    unpacker = Unpacker()
    assert unpacker.whole(b"+" + frame(b"T05thread:01;")) == b"T05thread:01;"
    assert unpacker.whole(b"") is unpacker.whole(b"+") is unpacker.whole(b"#00") is None
    unpacker.feed(b"$O")
    assert unpacker.whole(frame(b"OK")) is None


def test_run_lengths_are_spelt_out() -> None:
    # GDB manual, "Overview": `0* ` stands for `0000`.
    assert Unpacker().feed(b"$0* #7a") == [Received(Kind.PACKET, b"0000")]
    assert expand(b'x*"') == b"x" * 6


@pytest.mark.parametrize("body", [b"* ", b"0*", b"}", b"0*\x1f", b"0*\x7f"])
def test_a_run_length_or_escape_that_cannot_be_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        expand(body)


def test_what_grows_beyond_its_bound_is_refused() -> None:
    with pytest.raises(ProtocolBroken, match="longer than 100"):
        expand(b"0*~" * 2, limit=100)
    with pytest.raises(ProtocolBroken, match="longer than 100"):
        Unpacker(limit=100).feed(b"$" + b"a" * 200)


def test_a_packet_whose_end_was_lost_is_damaged_and_the_next_one_is_whole() -> None:
    got = Unpacker().feed(b"$abc$OK#9a")
    assert [one.kind for one in got] == [Kind.DAMAGED, Kind.PACKET]
    assert got[1].payload == b"OK"


def test_noise_between_packets_is_dropped_and_counted() -> None:
    unpacker = Unpacker()
    assert unpacker.feed(b"noise$OK#9a") == [Received(Kind.PACKET, b"OK")]
    assert unpacker.dropped == 5
