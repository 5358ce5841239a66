"""The source of entropy."""

from __future__ import annotations

import pytest

from monitor.devices.virtio.driver import DATA, MEMORY_BYTES, WRITE, Driver, Part
from timehands.monitor.devices.virtio.entropy import MAX_BYTES, Entropy


@pytest.fixture
def driver() -> Driver:
    """A driver of it."""
    return Driver(Entropy())


def test_all_that_can_be_written_is(driver: Driver) -> None:
    assert driver.ask(Part(DATA, 5, WRITE), Part(DATA + 0x100, 64, WRITE)) == 69
    first = driver.memory.read(DATA + 0x100, 64)
    assert driver.ask(Part(DATA + 0x100, 64, WRITE)) == 64
    second = driver.memory.read(DATA + 0x100, 64)
    assert bytes(64) != first != second
    assert driver.memory.read(DATA + 0x140, 64) == bytes(64)


def test_more_than_so_much_is_not_written_at_a_time(driver: Driver) -> None:
    assert driver.ask(Part(DATA, MEMORY_BYTES - DATA, WRITE)) == MAX_BYTES


def test_something_to_read_breaks_it(driver: Driver) -> None:
    driver.table(Part(DATA, 1), Part(DATA, 1, WRITE))
    driver.offer()
    driver.notify()
    assert driver.needs_reset
