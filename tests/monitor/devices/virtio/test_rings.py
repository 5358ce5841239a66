"""Split rings: the device gets what a driver offers, and what no driver may do breaks it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.devices.virtio.driver import (
    AVAILABLE,
    DATA,
    FAR,
    FAR_BYTES,
    INDIRECT,
    INNER,
    MEMORY_BYTES,
    SIZE,
    TABLE,
    USED,
    USES_INDIRECT,
    WRITE,
    Driver,
    Part,
)
from timehands.kvm.memory import GuestMemory
from timehands.monitor.devices.virtio.numbers import DeviceId
from timehands.monitor.devices.virtio.rings import Chain, read, write


class Echo:
    """Writes back what it reads, byte by byte the other way round."""

    id = DeviceId.ENTROPY
    features = 0
    config = b""

    def __init__(self) -> None:
        self.served: list[Chain] = []

    def serve(self, memory: GuestMemory, chain: Chain, _features: int) -> int:
        """Keep the chain, and answer."""
        self.served.append(chain)
        data = read(memory, chain)[::-1]
        write(memory, chain, 0, data)
        return len(data)


@pytest.fixture
def driver() -> Driver:
    """A driver of an `Echo`."""
    return Driver(Echo())


def test_a_chain_is_read_and_written_in_its_order(driver: Driver) -> None:
    driver.memory.write(DATA, b"hello, ")
    driver.memory.write(DATA + 0x100, b"world")
    back = Part(DATA + 0x200, 4, WRITE), Part(DATA + 0x300, 20, WRITE)
    assert driver.ask(Part(DATA, 7), Part(DATA + 0x100, 5), *back) == 12
    assert driver.memory.read(DATA + 0x200, 4) == b"dlro"
    assert driver.memory.read(DATA + 0x300, 9) == b"w ,olleh\0"


def test_it_may_lie_in_a_table_of_its_own(driver: Driver) -> None:
    driver.memory.write(DATA, b"abc")
    driver.table(Part(DATA, 3), Part(DATA + 8, 3, WRITE), at=INNER)
    assert driver.ask(Part(INNER, 32, INDIRECT)) == 3
    assert driver.memory.read(DATA + 8, 4) == b"cba\0"


def test_descriptors_may_be_in_any_order(driver: Driver) -> None:
    driver.memory.write(DATA, b"xyz")
    driver.table(Part(DATA, 3, next=5))
    driver.table(Part(DATA + 16, 3, WRITE), at=TABLE + 5 * 16)
    driver.offer()
    driver.notify()
    assert driver.used() == 3
    assert driver.memory.read(DATA + 16, 3) == b"zyx"


def test_memory_may_be_above_the_hole_and_at_the_very_end(driver: Driver) -> None:
    driver.memory.write(FAR, b"far")
    assert driver.ask(Part(FAR, 3), Part(FAR + FAR_BYTES - 3, 3, WRITE)) == 3
    assert driver.memory.read(FAR + FAR_BYTES - 3, 3) == b"raf"


def test_the_ring_goes_round_for_ever(driver: Driver) -> None:
    """Its indices have 16 bits and go on counting."""
    start = 2**16 - 5
    ring = driver.transport.registers.ring
    driver.transport.restore(
        type(driver.transport.registers)(
            driver_features=1 << 32,
            status=15,
            ring=type(ring)(SIZE, True, TABLE, AVAILABLE, USED, start, start),
        )
    )
    driver.offered = driver.seen = start
    driver.memory.write(USED + 2, struct.pack("<H", start))
    for number in range(20):
        driver.memory.write(DATA, bytes([number]))
        assert driver.ask(Part(DATA, 1), Part(DATA + 1, 1, WRITE)) == 1
        assert driver.memory.read(DATA + 1, 1) == bytes([number])


def test_all_that_is_offered_is_done_in_order(driver: Driver) -> None:
    for number in range(SIZE):
        driver.table(Part(DATA + number, 1), at=TABLE + 16 * number)
    for number in range(SIZE):
        driver.offer(SIZE - 1 - number)
    device = driver.transport.device
    assert isinstance(device, Echo)
    driver.notify()
    # No room to answer: the first one broke it.
    assert (len(device.served), driver.needs_reset) == (1, True)
    driver.begin()
    for number in range(SIZE):
        driver.table(Part(DATA + number, 0), at=TABLE + 16 * number)
    for number in range(SIZE):
        driver.offer(SIZE - 1 - number)
    device.served.clear()
    driver.notify()
    assert [chain.head for chain in device.served] == list(range(SIZE))[::-1]
    assert driver.waits == SIZE


def in_a_loop(driver: Driver) -> None:
    driver.table(Part(DATA, 1), Part(DATA, 1), Part(DATA, 1, next=0))


def in_itself(driver: Driver) -> None:
    driver.table(Part(DATA, 1, next=0))


def behind_the_table(driver: Driver) -> None:
    driver.table(Part(DATA, 1, next=SIZE))


def read_after_written(driver: Driver) -> None:
    driver.table(Part(DATA, 1, WRITE), Part(DATA, 1))


def outside_of_memory(driver: Driver) -> None:
    driver.table(Part(MEMORY_BYTES - 1, 2))


def written_outside_of_memory(driver: Driver) -> None:
    driver.table(Part(DATA, 4), Part(MEMORY_BYTES - 1, 4, WRITE))


def around_the_end_of_all_addresses(driver: Driver) -> None:
    driver.table(Part(2**64 - 1, 2))


def table_in_a_table(driver: Driver) -> None:
    driver.table(Part(INNER, 16, INDIRECT))
    driver.table(Part(INNER, 16, INDIRECT), at=INNER)


def table_in_a_loop(driver: Driver) -> None:
    driver.table(Part(INNER, 32, INDIRECT))
    driver.table(Part(DATA, 1), Part(DATA, 1, next=0), at=INNER)


def table_of_half_a_descriptor(driver: Driver) -> None:
    driver.table(Part(INNER, 24, INDIRECT))


def table_of_none(driver: Driver) -> None:
    driver.table(Part(INNER, 0, INDIRECT))


def table_that_goes_on(driver: Driver) -> None:
    driver.table(Part(INNER, 16, INDIRECT), Part(DATA, 1))


def table_that_is_too_long(driver: Driver) -> None:
    driver.table(Part(INNER, 16 * (SIZE + 1), INDIRECT))
    driver.table(*[Part(DATA, 0)] * (SIZE + 1), at=INNER)


def table_that_is_huge(driver: Driver) -> None:
    driver.table(Part(FAR, 0xFFFF_FFF0, INDIRECT))
    driver.table(*[Part(DATA, 0)] * 4096, at=FAR)


def table_outside_of_memory(driver: Driver) -> None:
    driver.table(Part(MEMORY_BYTES, 16, INDIRECT))


WRONG = {
    in_a_loop: "a chain of descriptors in a loop",
    in_itself: "a chain of descriptors in a loop",
    behind_the_table: "descriptor 16 of 16",
    read_after_written: "what can be read comes after what can be written",
    outside_of_memory: "no guest memory at 0x100000",
    written_outside_of_memory: "no guest memory at 0x100000",
    around_the_end_of_all_addresses: "no guest memory at 0xffffffffffffffff",
    table_in_a_table: "a table of descriptors within another",
    table_in_a_loop: "a chain of descriptors in a loop",
    table_of_half_a_descriptor: "a table of descriptors where none can be",
    table_of_none: "a table of descriptors where none can be",
    table_that_goes_on: "a table of descriptors where none can be",
    table_that_is_too_long: "a chain has more than 16 descriptors",
    table_that_is_huge: "a chain has more than 16 descriptors",
    table_outside_of_memory: "no guest memory at 0x100000",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda each: each.__name__)
def test_what_no_driver_may_do_breaks_the_device_until_it_is_reset(
    driver: Driver, wrong: Callable[[Driver], None]
) -> None:
    wrong(driver)
    driver.offer()
    driver.notify()
    assert driver.transport.broken == WRONG[wrong]
    assert driver.needs_reset
    assert driver.read(0x60) == 2  # the configuration changed
    assert driver.line.levels == [1]
    driver.notify()
    assert driver.waits == 0
    driver.begin()
    driver.memory.write(DATA, b"again")
    assert driver.ask(Part(DATA, 5), Part(DATA + 8, 5, WRITE)) == 5
    assert driver.line.levels == [1, 0, 1]


def test_a_head_that_is_none_breaks_it(driver: Driver) -> None:
    driver.offer(SIZE)
    driver.notify()
    assert driver.transport.broken == "descriptor 16 of 16"


def test_more_than_the_ring_has_cannot_be_offered(driver: Driver) -> None:
    driver.memory.write(AVAILABLE + 2, struct.pack("<H", SIZE + 1))
    driver.notify()
    assert driver.transport.broken == "17 chains are offered in a ring of 16"


def test_tables_of_their_own_have_to_be_agreed_on() -> None:
    driver = Driver(Echo(), without=USES_INDIRECT)
    driver.table(Part(DATA, 0), at=INNER)
    driver.table(Part(INNER, 16, INDIRECT))
    driver.offer()
    driver.notify()
    assert driver.transport.broken == "a table of descriptors where none can be"


@pytest.mark.parametrize("part", [0x80, 0x90, 0xA0])
@pytest.mark.parametrize("address", [MEMORY_BYTES - 16, MEMORY_BYTES, 1 << 63, 2**64 - 16])
def test_rings_outside_of_memory_break_it(driver: Driver, part: int, address: int) -> None:
    driver.write(0x44, 0)
    driver.write(part, address & 0xFFFFFFFF)
    driver.write(part + 4, address >> 32)
    driver.write(0x44, 1)
    driver.table(Part(DATA, 0))
    for _ in range(SIZE - 1):
        driver.offer(1 if part == 0x80 else 0)
    driver.notify()
    assert driver.needs_reset == (part != 0x90 or address != MEMORY_BYTES - 16)


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6),
    room=st.lists(st.integers(0, 300), max_size=6),
    inner=st.booleans(),
)
def test_any_division_into_buffers_is_the_same(
    sizes: list[int], room: list[int], inner: bool
) -> None:
    """As a plain model has it: the bytes in a row, back in a row, cut where the buffers end."""
    driver = Driver(Echo())
    total = bytes(number % 251 for number in range(sum(sizes)))
    parts: list[Part] = []
    at = DATA
    for size in sizes:
        done = sum(part.size for part in parts)
        driver.memory.write(at, total[done : done + size])
        parts.append(Part(at, size))
        at += size + 3
    backs = []
    for size in room:
        backs.append(Part(at, size, WRITE))
        at += size + 5
    if inner:
        driver.table(*parts, *backs, at=INNER)
        driver.table(Part(INNER, 16 * len([*parts, *backs]), INDIRECT))
    else:
        driver.table(*parts, *backs)
    driver.offer()
    driver.notify()
    there = b"".join(driver.memory.read(each.address, each.size) for each in backs)
    if sum(room) < sum(sizes):
        assert driver.transport.broken == "there is no room for an answer"
    else:
        assert there == total[::-1].ljust(sum(room), b"\0")
