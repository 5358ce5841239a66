"""virtio devices on MMIO: a disk and a source of entropy.

Read `numbers` (registers and bits), `places` (where they are, and what is announced of them),
`rings` (what the driver and the device share in the guest's memory), `mmio` (the registers), and
then the devices: `disk_file` and `block`, `entropy`.

Source: Virtual I/O Device (VIRTIO) 1.2, OASIS: 2.1 to 2.7 (status, features, split rings), 4.2
(MMIO, version 2), 5.2 (block), 5.4 (entropy).
"""

from timehands.monitor.devices.virtio.disk_file import Disk, Writes
from timehands.monitor.devices.virtio.places import VirtioPlace

__all__ = ["Disk", "VirtioPlace", "Writes"]
