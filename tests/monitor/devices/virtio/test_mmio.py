"""The registers of a virtio device, as a driver finds them."""

from __future__ import annotations

import pytest

from monitor.devices.virtio.driver import (
    AVAILABLE,
    DATA,
    SIZE,
    TABLE,
    USED,
    VERSION_1,
    WRITE,
    Driver,
    Part,
)
from timehands.monitor.devices.virtio.entropy import Entropy
from timehands.monitor.devices.virtio.mmio import Registers, Transport
from timehands.monitor.devices.virtio.rings import Ring


@pytest.fixture
def driver() -> Driver:
    """A driver that has begun, of an entropy source."""
    return Driver(Entropy())


def one_request(driver: Driver) -> None:
    driver.table(Part(DATA, 8, WRITE))
    driver.offer()


def test_it_says_what_it_is(driver: Driver) -> None:
    assert driver.read(0x000).to_bytes(4, "little") == b"virt"
    assert (driver.read(0x004), driver.read(0x008)) == (2, 4)
    assert driver.features == VERSION_1 | 1 << 28
    assert driver.read(0x34) == 128
    assert [driver.read(at) for at in range(0xB0, 0xC0, 4)] == [0xFFFFFFFF] * 4
    assert driver.read(0xFC) == 0


def test_there_are_no_more_features_behind_bit_63(driver: Driver) -> None:
    driver.write(0x14, 2)
    assert driver.read(0x10) == 0


def test_there_is_one_queue(driver: Driver) -> None:
    driver.write(0x30, 1)
    assert (driver.read(0x34), driver.read(0x44)) == (0, 0)
    before = driver.transport.registers.ring
    for register in (0x38, 0x44, 0x80, 0x90, 0xA0):
        driver.write(register, 0)
    assert driver.transport.registers.ring == before
    one_request(driver)
    driver.write(0x50, 1)
    assert driver.waits == 0


@pytest.mark.parametrize("features", [1 << 28, VERSION_1 | 1, VERSION_1 | 1 << 33, 0])
def test_features_that_do_not_fit_are_not_agreed_on(driver: Driver, features: int) -> None:
    for status in (0, 1, 3):
        driver.write(0x70, status)
    driver.take(features)
    driver.write(0x70, 11)
    assert driver.read(0x70) == 3
    driver.place_ring()
    driver.write(0x70, 7)
    one_request(driver)
    driver.notify()
    assert driver.waits == 0


def test_features_that_were_agreed_on_stay(driver: Driver) -> None:
    before = driver.transport.registers.driver_features
    driver.take(0)
    assert driver.transport.registers.driver_features == before


def test_features_are_words_and_there_are_two_of_them(driver: Driver) -> None:
    driver.write(0x70, 0)
    driver.take(VERSION_1 | 5)
    driver.write(0x24, 2)
    driver.write(0x20, 0xFFFFFFFF)
    driver.write(0x24, 1 << 31)
    driver.write(0x20, 0xFFFFFFFF)
    assert driver.transport.registers.driver_features == VERSION_1 | 5


def test_nothing_is_used_before_the_driver_is_ready(driver: Driver) -> None:
    for status in (0, 1, 3):
        driver.write(0x70, status)
    driver.take(driver.features)
    driver.write(0x70, 11)
    driver.place_ring()
    one_request(driver)
    driver.notify()
    assert driver.waits == 0
    driver.write(0x70, 15)  # and what was offered before is used then
    assert driver.used() == 8


def test_a_driver_that_failed_is_left_alone(driver: Driver) -> None:
    driver.write(0x70, 0x8F)
    one_request(driver)
    driver.notify()
    assert driver.waits == 0


def test_a_reset_forgets_all(driver: Driver) -> None:
    one_request(driver)
    driver.notify()
    assert driver.line.levels == [1]
    driver.write(0x70, 0)
    assert driver.transport.registers == Registers()
    assert driver.line.levels == [1, 0]


def test_the_interrupt_stays_until_it_is_acknowledged(driver: Driver) -> None:
    one_request(driver)
    driver.notify()
    one_request(driver)
    driver.notify()
    assert (driver.read(0x60), driver.line.levels) == (1, [1])
    driver.write(0x64, 2)
    assert (driver.read(0x60), driver.line.levels) == (1, [1])
    driver.write(0x64, 1)
    assert (driver.read(0x60), driver.line.levels) == (0, [1, 0])


def test_a_notification_without_an_offer_interrupts_nobody(driver: Driver) -> None:
    driver.notify()
    assert (driver.read(0x60), driver.line.levels) == (0, [])


def test_a_driver_that_wants_no_interrupts_gets_none(driver: Driver) -> None:
    driver.memory.write(AVAILABLE, b"\1\0")
    one_request(driver)
    driver.notify()
    assert driver.used() == 8
    assert driver.line.levels == []


@pytest.mark.parametrize("size", [0, 3, 129, 256, 0xFFFFFFFF])
def test_a_ring_of_a_size_that_cannot_be_is_not_used(driver: Driver, size: int) -> None:
    driver.write(0x44, 0)
    driver.write(0x38, size)
    driver.write(0x44, 1)
    assert driver.read(0x44) == 0


@pytest.mark.parametrize(("register", "address"), [(0x80, 8), (0x90, 1), (0xA0, 2)])
def test_a_ring_that_is_not_aligned_is_not_used(
    driver: Driver, register: int, address: int
) -> None:
    driver.write(0x44, 0)
    driver.write(register, address)
    driver.write(0x44, 1)
    assert driver.read(0x44) == 0
    driver.write(register, 0)
    driver.write(0x44, 1)
    assert driver.read(0x44) == 1


def test_a_ring_in_use_stays_where_it_is(driver: Driver) -> None:
    before = driver.transport.registers.ring
    for register in (0x38, 0x80, 0x84, 0x90, 0xA0):
        driver.write(register, 64)
    driver.write(0x44, 1)
    assert driver.transport.registers.ring == before


@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("offset", [0x00, 0x02, 0x44, 0x50, 0x60, 0x70, 0xFC])
def test_registers_are_accessed_whole(driver: Driver, offset: int, size: int) -> None:
    one_request(driver)
    before = driver.transport.registers
    assert driver.transport.read(offset, size) == 0
    driver.transport.write(offset, size, 0)
    assert driver.transport.registers == before
    assert driver.waits == 0


def test_what_a_snapshot_keeps_goes_on_elsewhere(driver: Driver) -> None:
    one_request(driver)
    driver.notify()
    one_request(driver)  # not notified yet
    kept, before = driver.transport.registers, driver.line
    driver.line = type(before)()
    driver.transport = Transport(Entropy(), driver.memory, driver.line)
    driver.transport.restore(kept)
    assert driver.line.levels == [1]
    driver.notify()
    assert [driver.used(), driver.used()] == [8, 8]
    driver.write(0x64, 1)
    assert driver.line.levels == [1, 0]


@pytest.mark.parametrize("size", [0, 3, 129])
def test_what_no_snapshot_keeps_is_refused(driver: Driver, size: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        driver.transport.restore(Registers(ring=Ring(size, True, TABLE, AVAILABLE, USED)))
    assert driver.transport.registers.ring.size == SIZE
