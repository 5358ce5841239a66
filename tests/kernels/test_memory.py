"""Guest memory for readers: what is fetched, what is missing, what cannot be read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.kernels.memory import MAX_READ, Memory, Missing, Pages, Unreadable, need, settle

BASE = 0xFFFF_FFFF_8000_0000
IMAGE = bytes(range(256)) * 64


class Guest:
    """Memory of a guest, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def fetch(self, address: int, length: int) -> bytes | None:
        self.asked.append((address, length))
        start = address - BASE
        return IMAGE[start : start + length] if 0 <= start < len(IMAGE) else None


@given(st.integers(0, len(IMAGE) - 1), st.integers(0, 3000), st.sampled_from([64, 256, 4096]))
def test_a_reader_gets_the_guest_s_bytes_wherever_blocks_begin(
    start: int, length: int, block: int
) -> None:
    length = min(length, len(IMAGE) - start)
    read = asyncio.run(settle(lambda m: m.read(BASE + start, length), Pages(block), Guest().fetch))
    assert read == IMAGE[start : start + length]


def test_what_was_fetched_is_not_fetched_again_until_it_is_forgotten() -> None:
    guest, pages = Guest(), Pages(64)

    def twice(memory: Memory) -> bytes:
        return memory.read(BASE, 8) + memory.read(BASE + 40, 8)

    asyncio.run(settle(twice, pages, guest.fetch))
    asyncio.run(settle(twice, pages, guest.fetch))
    assert guest.asked == [(BASE, 64)]
    pages.forget()
    with pytest.raises(Missing):
        pages.read(BASE, 1)


def test_a_long_read_is_one_fetch_and_what_can_be_read_of_it_is_kept() -> None:
    guest, pages = Guest(), Pages(64)
    asyncio.run(settle(lambda m: m.read(BASE + 70, 1000), pages, guest.fetch))
    assert guest.asked == [(BASE + 64, 1024)]
    beyond = BASE + len(IMAGE) - 64
    with pytest.raises(Unreadable):
        asyncio.run(settle(lambda m: m.read(beyond, 128), pages, guest.fetch))
    assert pages.read(beyond, 64) == IMAGE[-64:]


@pytest.mark.parametrize("address", [BASE - 1, BASE + len(IMAGE), -1, (1 << 64) - 2])
def test_memory_that_is_not_there_is_said_to_be_unreadable(address: int) -> None:
    with pytest.raises(Unreadable) as caught:
        asyncio.run(settle(lambda m: m.read(address, 4), Pages(64), Guest().fetch))
    assert caught.value.address == address


def test_a_short_answer_is_not_taken_for_memory() -> None:
    async def short(_address: int, length: int) -> bytes:
        return bytes(length - 1)

    with pytest.raises(Unreadable):
        asyncio.run(settle(lambda m: m.read(BASE, 4), Pages(64), short))


def test_a_reader_that_never_has_enough_is_given_up() -> None:
    async def zeros(_address: int, length: int) -> bytes:
        return bytes(length)

    def endless(memory: Memory) -> None:
        address = BASE
        while True:
            memory.read(address, 8)
            address += 64

    with pytest.raises(Unreadable):
        asyncio.run(settle(endless, Pages(64), zeros, most=50))


@given(
    st.lists(st.tuples(st.integers(-2000, len(IMAGE) + 2000), st.integers(1, 900)), max_size=20),
    st.sampled_from([64, 256, 4096]),
)
def test_what_is_needed_together_is_there_in_one_more_run(
    spans: list[tuple[int, int]], block: int
) -> None:
    guest, pages, runs = Guest(), Pages(block), 0
    pieces = [(BASE + start, length) for start, length in spans]

    def reader(memory: Memory) -> list[bytes | None]:
        nonlocal runs
        runs += 1
        need(memory, pieces)
        return [_read_or_none(memory, *piece) for piece in pieces]

    found = asyncio.run(settle(reader, pages, guest.fetch))
    assert runs <= 2
    for (start, length), got in zip(spans, found, strict=True):
        known = start >= 0 and start // block * block >= 0 and length >= 0
        whole = known and (start + length + block - 1) // block * block <= len(IMAGE)
        assert got == (IMAGE[start : start + length] if whole else got)
        assert whole or got is None or length == 0


def _read_or_none(memory: Memory, address: int, length: int) -> bytes | None:
    try:
        return memory.read(address, length)
    except Unreadable:
        return None


def test_near_pieces_are_fetched_in_one_go_and_far_ones_are_not() -> None:
    guest, pages = Guest(), Pages(64)

    def reader(memory: Memory) -> None:
        need(memory, [(BASE + 1000 * n, 8) for n in range(5)] + [(BASE - (1 << 20), 8)])

    asyncio.run(settle(reader, pages, guest.fetch))
    assert len(guest.asked) == 2
    assert pages.read(BASE + 4000, 8) == IMAGE[4000:4008]


def test_no_more_is_held_than_a_bound_because_it_is_needed() -> None:
    asked = 0

    async def fetch(_address: int, length: int) -> bytes:
        nonlocal asked
        asked += length
        return bytes(length)

    def reader(memory: Memory) -> None:
        need(memory, [(n * MAX_READ, MAX_READ) for n in range(200)])

    asyncio.run(settle(reader, Pages(4096), fetch))
    assert asked == 64 << 20


def test_memory_that_is_at_hand_needs_nothing() -> None:
    class Whole:
        def read(self, address: int, length: int) -> bytes:
            raise AssertionError((address, length))

    need(Whole(), [(BASE, 8)])
