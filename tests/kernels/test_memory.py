"""Guest memory for readers: what is fetched, what is missing, what cannot be read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.kernels.memory import Memory, Missing, Pages, Unreadable, settle

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
