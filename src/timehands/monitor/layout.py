"""Where things are in a guest's physical memory.

Low memory is laid out as Firecracker and Cloud Hypervisor do (CLOCKS: PVH info 0x6000, modules
0x6040, memory map 0x7000, command line 0x20000, MP table at 639 KiB), so that a kernel that boots
there finds nothing new here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAGE = 4096

GDT = 0x500
START_INFO = 0x6000
MODULE_LIST = 0x6040
MEMORY_MAP = 0x7000
ZERO_PAGE = 0x7000
MULTIBOOT_INFO = 0x9500
COMMAND_LINE = 0x20000
COMMAND_LINE_BYTES = 0x10000
#: The MP floating pointer and table: the last KiB of the 640 KiB, where every kernel looks.
MP_TABLE = 0x9FC00
#: Where ACPI's root pointer is looked for: the BIOS area.
RSDP = 0xE0000
HIGH_MEMORY = MIB
#: From here to 4 GiB there is no memory: devices, IOAPIC, LAPIC.
HOLE = 3 * GIB
HOLE_END = 4 * GIB

#: virtio-mmio devices, a page each, as Firecracker places them.
VIRTIO_MMIO = 0xC000_1000
VIRTIO_MMIO_STEP = PAGE
VIRTIO_FIRST_IRQ = 5
IOAPIC = 0xFEC0_0000
LAPIC = 0xFEE0_0000
#: The IOAPIC's pin of the i8254, as on a PC: the others' pins have the ISA interrupt's number. The
#: cascade of the 8259s, which has that number, is no interrupt.
I8254_PIN = 2


class MemoryKind(IntEnum):
    """What a stretch of the memory map is. Numbers: Xen public/arch-x86/hvm/start_info.h; E820."""

    RAM = 1
    RESERVED = 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the memory map that the guest is told of."""

    address: int
    size: int
    kind: MemoryKind

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.address + self.size


def memory_map(size: int) -> tuple[Stretch, ...]:
    """What a guest with ``size`` bytes of memory (2 MiB at least, whole pages) is told it has.

    The MP table and what the BIOS would own is reserved, so that no kernel lays it over.
    """
    low = min(size, HOLE)
    stretches = [
        Stretch(0, MP_TABLE, MemoryKind.RAM),
        Stretch(MP_TABLE, HIGH_MEMORY - MP_TABLE, MemoryKind.RESERVED),
        Stretch(HIGH_MEMORY, low - HIGH_MEMORY, MemoryKind.RAM),
    ]
    if size > low:
        stretches.append(Stretch(HOLE_END, size - low, MemoryKind.RAM))
    return tuple(stretches)


def slots(size: int) -> Iterator[tuple[int, int]]:
    """The address and size of each piece of memory that KVM is to be given."""
    yield 0, min(size, HOLE)
    if size > HOLE:
        yield HOLE_END, size - HOLE


def top_of_low_memory(size: int) -> int:
    """The end of the memory below 4 GiB."""
    return min(size, HOLE)
