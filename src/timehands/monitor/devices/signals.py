"""Ports by which a guest says something to whoever started it: that it ends, where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: PC/AT: port 0xCF9, bit 2 resets.
RESET_CONTROL = 0xCF9
#: QEMU's isa-debug-exit, as kvm-unit-tests use it: the process ends with ``value << 1 | 1``.
DEBUG_EXIT, DEBUG_EXIT_PORTS = 0xF4, 4
#: The POST code port, by which Cloud Hypervisor times boot phases.
POST = 0x80
#: ACPI's PM1: two event registers of 16 bits, which have nothing to say, and the control register.
POWER, POWER_EVENT_PORTS, POWER_PORTS = 0x600, 4, 6
_ACPI_IS_ON, _SLEEP = 1, 1 << 13
_EVENTS_ENABLED, _GLOBAL_LOCK = 2, 1 << 5
#: Firecracker's boot timer: the guest writes 123 here when its init runs.
BOOT_TIMER, BOOT_TIMER_BYTES, BOOT_TIMER_VALUE = 0xC000_0000, 0x1000, 123


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guest came to its end.

    ``reason`` in QEMU's words (``guest-reset``, ``guest-shutdown``, ``guest-panic``), or
    ``stopped``: by its owner, or ``lost``: KVM could not go on, or somebody that we called failed,
    with ``cause``. ``value``: what it wrote to the debug exit port. ``words`` say more, if known.
    """

    reason: str
    value: int = 0
    words: str = field(default="", compare=False)
    cause: Exception | None = field(default=None, compare=False, repr=False)


class ResetControl:
    """The reset control register."""

    def __init__(self, end: Callable[[Ending], None]) -> None:
        self._end, self._value = end, 0

    def read(self, _offset: int, _size: int) -> int:
        """What was written last."""
        return self._value

    def write(self, _offset: int, _size: int, value: int) -> None:
        """Bit 2 resets."""
        self._value = value & 0xFF
        if value & 4:
            self._end(Ending("guest-reset"))


class Power:
    """ACPI's fixed registers: a guest that sleeps in any way has switched itself off.

    Source: ACPI Specification 6.5, 4.8.3.1 and 4.8.3.2.
    """

    def __init__(self, end: Callable[[Ending], None]) -> None:
        self._end = end

    def read(self, offset: int, _size: int) -> int:
        """No events, ever, though that of the global lock is enabled; ACPI is on."""
        return {_EVENTS_ENABLED: _GLOBAL_LOCK, POWER_EVENT_PORTS: _ACPI_IS_ON}.get(offset, 0)

    def write(self, offset: int, _size: int, value: int) -> None:
        """Of all that can be written only the control register's sleep bit counts."""
        control = offset - POWER_EVENT_PORTS
        if control >= 0 and value << 8 * control & _SLEEP:
            self._end(Ending("guest-shutdown"))


class DebugExit:
    """The port that ends a test with a status."""

    def __init__(self, end: Callable[[Ending], None]) -> None:
        self._end = end

    def read(self, _offset: int, _size: int) -> int:
        """Nothing."""
        return 0

    def write(self, _offset: int, _size: int, value: int) -> None:
        """The guest ends with this value."""
        self._end(Ending("guest-shutdown", value))


class Heard:
    """A port or address where what the guest writes is only listened to."""

    def __init__(self, heard: Callable[[int], None]) -> None:
        self._heard = heard

    def read(self, _offset: int, _size: int) -> int:
        """Nothing."""
        return 0

    def write(self, _offset: int, _size: int, value: int) -> None:
        """Tell it."""
        self._heard(value)
