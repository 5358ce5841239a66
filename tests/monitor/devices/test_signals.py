"""Ports by which a guest ends, or says where it is."""

from __future__ import annotations

import pytest

from timehands.monitor.devices.signals import (
    POWER_PORTS,
    DebugExit,
    Ending,
    Heard,
    Power,
    ResetControl,
)


@pytest.mark.parametrize(("value", "ends"), [(0x06, True), (0x04, True), (0x02, False)])
def test_the_reset_register_resets_by_bit_2(value: int, ends: bool) -> None:
    endings = list[Ending]()
    control = ResetControl(endings.append)
    control.write(0, 1, value)
    assert endings == [Ending("guest-reset")] * ends
    assert control.read(0, 1) == value


@pytest.mark.parametrize(
    ("offset", "size", "value", "ends"),
    [
        (4, 2, 0x2001, True),
        (4, 2, 0x3C00, True),
        (5, 1, 0x20, True),
        (4, 2, 0x1C01, False),
        (4, 1, 0x20, False),
        (0, 2, 0xFFFF, False),
        (2, 2, 0xFFFF, False),
        (0, 4, 0xFFFFFFFF, False),
    ],
)
def test_going_to_sleep_is_the_end(offset: int, size: int, value: int, ends: bool) -> None:
    endings = list[Ending]()
    power = Power(endings.append)
    power.write(offset, size, value)
    assert endings == [Ending("guest-shutdown")] * ends
    # Nothing has happened; the lock's event, which Linux wants enabled, is; ACPI is on.
    assert [power.read(at, 2) for at in range(0, POWER_PORTS, 2)] == [0, 0x20, 1]


def test_the_debug_exit_takes_a_value_along() -> None:
    endings = list[Ending]()
    port = DebugExit(endings.append)
    assert port.read(0, 4) == 0
    port.write(0, 4, 0x12345)
    assert endings == [Ending("guest-shutdown", 0x12345)]


def test_what_is_only_heard_is_told() -> None:
    heard = list[int]()
    port = Heard(heard.append)
    port.write(0, 1, 123)
    assert (heard, port.read(0, 1)) == ([123], 0)


def test_an_ending_is_what_happened_not_how_it_is_told() -> None:
    assert Ending("lost", words="this way") == Ending("lost", cause=ValueError())
    assert Ending("guest-reset") != Ending("guest-shutdown")
