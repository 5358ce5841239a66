"""The numbers of VMClock: kinds of counters and times, statuses, flags.

Sources: Linux include/uapi/linux/vmclock-abi.h; UAPI Group specification UAPI.13. The two number
the flags differently from bit 7 on: the specification's table leaves TIME_MONOTONIC out and gives
bits 7 and 8 to what are bits 8 and 9 in Linux, QEMU and Firecracker. Here they are as in Linux.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

MAGIC = 0x4B4C_4356
#: Of the structure; the region that holds it is usually a page.
SIZE = 112
VERSION = 1
#: ACPI hardware identifier, and the device tree's ``compatible``.
ACPI_HID = "AMZNC10C"
DEVICE_TREE_COMPATIBLE = "amazon,vmclock"


class CounterId(IntEnum):
    """Which counter of the processor the time refers to."""

    ARM_VCNT = 0
    X86_TSC = 1
    INVALID = 0xFF


class TimeType(IntEnum):
    """What ``time_sec`` counts; from 1970 except for the monotonic one, which has no epoch."""

    UTC = 0
    TAI = 1
    MONOTONIC = 2
    INVALID_SMEARED = 3
    INVALID_MAYBE_SMEARED = 4


class ClockStatus(IntEnum):
    """How far the clock's parameters are to be believed."""

    UNKNOWN = 0
    INITIALIZING = 1
    SYNCHRONIZED = 2
    FREERUNNING = 3
    UNRELIABLE = 4


class VmClockFlag(IntFlag):
    """Which fields are valid, and what is about to happen."""

    TAI_OFFSET_VALID = 1 << 0
    DISRUPTION_SOON = 1 << 1
    DISRUPTION_IMMINENT = 1 << 2
    PERIOD_ESTERROR_VALID = 1 << 3
    PERIOD_MAXERROR_VALID = 1 << 4
    TIME_ESTERROR_VALID = 1 << 5
    TIME_MAXERROR_VALID = 1 << 6
    TIME_MONOTONIC = 1 << 7
    VM_GEN_COUNTER_PRESENT = 1 << 8
    NOTIFICATION_PRESENT = 1 << 9


class Smearing(IntEnum):
    """How the guest may smear leap seconds (the time itself is never smeared)."""

    STRICT = 0
    NOON_LINEAR = 1
    UTC_SLS = 2


class LeapIndicator(IntEnum):
    """Leap seconds near the reference time."""

    NONE = 0
    PRE_POSITIVE = 1
    PRE_NEGATIVE = 2
    POSITIVE = 3
    POST_POSITIVE = 4
    POST_NEGATIVE = 5
