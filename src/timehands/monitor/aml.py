"""ACPI's machine language, as much of it as tells a kernel of virtio devices.

Linux's distribution kernels read nothing of virtio devices from their command line (Debian builds
them without VIRTIO_MMIO_CMDLINE_DEVICES) but find them here, by the name that QEMU's microvm gives
them as well.

Source: ACPI Specification 6.5, 20.2 (encoding), 6.4.2 and 6.4.3 (resources), 7.4.2 (_S5).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from timehands.monitor.devices.virtio.places import VirtioPlace

#: Linux drivers/virtio/virtio_mmio.c, virtio_mmio_acpi_match.
VIRTIO_MMIO_ID = "LNRO0005"
_NAME, _STRING, _BYTE, _SCOPE, _BUFFER, _PACKAGE = 0x08, 0x0D, 0x0A, 0x10, 0x11, 0x12
_DEVICE = b"\x5b\x82"
_MEMORY_32, _INTERRUPT, _END = 0x86, 0x89, b"\x79\x00"
_WRITABLE, _CONSUMER = 1, 1


def definitions(devices: Sequence[VirtioPlace]) -> bytes:
    """What a DSDT holds: how to power off (any type of sleep does), and the virtio devices."""
    off = _name(b"_S5_", bytes([_PACKAGE]) + _with_length(bytes([4, 0, 0, 0, 0])))
    found = b"".join(_device(number, place) for number, place in enumerate(devices))
    return off + bytes([_SCOPE]) + _with_length(b"\\_SB_" + found)


def _device(number: int, place: VirtioPlace) -> bytes:
    """One page and one interrupt, which stays raised until it is acknowledged."""
    memory = struct.pack("<BHBII", _MEMORY_32, 9, _WRITABLE, place.address, place.size)
    interrupt = struct.pack("<BHBBI", _INTERRUPT, 6, _CONSUMER, 1, place.irq)
    body = (
        b"VR%02X" % number
        + _name(b"_HID", bytes([_STRING]) + VIRTIO_MMIO_ID.encode() + b"\0")
        + _name(b"_UID", bytes([_BYTE, number]))
        + _name(b"_CRS", _buffer(memory + interrupt + _END))
    )
    return _DEVICE + _with_length(body)


def _name(segment: bytes, value: bytes) -> bytes:
    return bytes([_NAME]) + segment + value


def _buffer(data: bytes) -> bytes:
    return bytes([_BUFFER]) + _with_length(bytes([_BYTE, len(data)]) + data)


def _with_length(body: bytes) -> bytes:
    """Behind its length, which counts itself too: one byte up to 63, two up to 4095."""
    if len(body) + 1 < 1 << 6:
        return bytes([len(body) + 1]) + body
    length = len(body) + 2
    return bytes([0x40 | length & 0x0F, length >> 4]) + body
