"""What a boot protocol makes of a kernel: bytes with their addresses, and how to enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a vCPU starts, in flat 32-bit protected mode with paging off, and its registers."""

    rip: int
    rbx: int = 0
    rsi: int = 0
    rax: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel as it lies in memory. ``end``: after its last byte, zeroed ones included."""

    pieces: Mapping[int, bytes | memoryview] = field(repr=False)
    entry: int
    end: int


@dataclass(frozen=True, slots=True)
class Placed:
    """All that was put into a guest's memory: ``protocol`` is ``PVH``, ``bzImage``, ``multiboot``.

    ``initrd`` is (address, size) or None.
    """

    protocol: str
    entry: Entry
    kernel_end: int
    initrd: tuple[int, int] | None
