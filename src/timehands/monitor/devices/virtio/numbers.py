"""Registers, status and feature bits of virtio 1.2 on MMIO, and of the block device."""

from __future__ import annotations

from enum import IntEnum, IntFlag

#: "virt", least byte first.
MAGIC = 0x74726976
#: 1 would be the legacy interface.
VERSION = 2
#: "TMHD": whoever made the device, as an operator may see it.
VENDOR = 0x44484D54
#: Where a device's own configuration begins.
CONFIG = 0x100


class Register(IntEnum):
    """Offsets, each of 32 bits (4.2.2)."""

    MAGIC = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    VENDOR_ID = 0x00C
    DEVICE_FEATURES = 0x010
    DEVICE_FEATURES_SELECT = 0x014
    DRIVER_FEATURES = 0x020
    DRIVER_FEATURES_SELECT = 0x024
    QUEUE_SELECT = 0x030
    QUEUE_SIZE_MAX = 0x034
    QUEUE_SIZE = 0x038
    QUEUE_READY = 0x044
    QUEUE_NOTIFY = 0x050
    INTERRUPT_STATUS = 0x060
    INTERRUPT_ACK = 0x064
    STATUS = 0x070
    DESCRIPTORS_LOW = 0x080
    DESCRIPTORS_HIGH = 0x084
    DRIVER_RING_LOW = 0x090
    DRIVER_RING_HIGH = 0x094
    DEVICE_RING_LOW = 0x0A0
    DEVICE_RING_HIGH = 0x0A4
    #: Length and base of a region of shared memory: all ones where there is none.
    SHARED_LENGTH_LOW = 0x0B0
    SHARED_LENGTH_HIGH = 0x0B4
    SHARED_BASE_LOW = 0x0B8
    SHARED_BASE_HIGH = 0x0BC
    CONFIG_GENERATION = 0x0FC


class Status(IntFlag):
    """How far the driver has come (2.1). The device sets the one that asks for a reset."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 0x40
    FAILED = 0x80


class Interrupt(IntFlag):
    """Why the device interrupts (4.2.2, InterruptStatus)."""

    USED = 1
    CONFIG = 2


class Feature(IntFlag):
    """Of any device (6)."""

    INDIRECT = 1 << 28
    VERSION_1 = 1 << 32


class DeviceId(IntEnum):
    """What a device is (5)."""

    BLOCK = 2
    ENTROPY = 4


class DescriptorFlag(IntFlag):
    """Of a descriptor (2.7.5)."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


#: The driver's ring: it wants no interrupts for used buffers (2.7.6).
NO_INTERRUPT = 1


class BlockFeature(IntFlag):
    """Of a block device (5.2.3)."""

    SIZE_MAX = 1 << 1
    SEG_MAX = 1 << 2
    READ_ONLY = 1 << 5
    BLOCK_SIZE = 1 << 6
    FLUSH = 1 << 9


class Request(IntEnum):
    """What a block device is asked for (5.2.6)."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8


class Outcome(IntEnum):
    """What came of it (5.2.6)."""

    OK = 0
    ERROR = 1
    UNSUPPORTED = 2
