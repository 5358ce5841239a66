"""A guest with a disk and entropy that a test talks to: guests/virtio.c."""

from __future__ import annotations

from pathlib import Path

from monitor.guests.build import guest
from monitor.running import Talk
from timehands.monitor.devices.virtio import Disk, Writes
from timehands.monitor.layout import MIB
from timehands.monitor.microvm import Settings

SECTOR = 512
#: What it writes to sectors 1 to 3.
PATTERN = bytes((at * 7 + (at >> 8)) & 0xFF for at in range(3 * SECTOR))


class Driving(Talk):
    """The guest. Its devices are set up when it is asked to: by ``a``."""

    def __init__(self, path: Path, writes: Writes = Writes.KEPT) -> None:
        settings = Settings(32 * MIB, disk=Disk(path, writes), entropy=True)
        self.start(guest("virtio"), "", settings)


def total(sector: bytes) -> int:
    """The guest's sum of a sector."""
    result = 0
    for byte in sector:
        result = (result * 31 + byte) & 0xFFFFFFFF
    return result


def sums(data: bytes) -> list[int]:
    """Of the first four sectors."""
    return [total(data[at : at + SECTOR]) for at in range(0, 4 * SECTOR, SECTOR)]
