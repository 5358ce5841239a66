"""Where the devices are, as the command line has to say it."""

from __future__ import annotations

from pathlib import Path

from timehands.monitor.devices.virtio import Disk, VirtioPlace
from timehands.monitor.microvm import Settings

DISK = Disk(Path("disk.img"))


def test_a_guest_without_them_has_none() -> None:
    assert Settings().virtio == ()


def test_each_has_a_page_and_an_interrupt() -> None:
    assert Settings(disk=DISK, entropy=True).virtio == (
        VirtioPlace("disk", 0xC000_1000, 4096, 5),
        VirtioPlace("entropy", 0xC000_2000, 4096, 6),
    )


def test_there_is_no_gap() -> None:
    assert Settings(entropy=True).virtio == (VirtioPlace("entropy", 0xC000_1000, 4096, 5),)
