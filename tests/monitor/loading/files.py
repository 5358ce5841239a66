"""Kernel files of a few bytes, and memory to load them into, without KVM."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.numbers import MemoryFlags
from timehands.monitor.layout import slots

HIGH = 0x100000


@contextmanager
def guest_memory(size: int) -> Iterator[GuestMemory]:
    """The memory of a guest of ``size`` bytes."""
    memory = GuestMemory()
    for number, (address, length) in enumerate(slots(size)):
        memory.add(make_slot(number, address, length, MemoryFlags.NONE))
    try:
        yield memory
    finally:
        memory.free()


def elf(
    segments: Iterable[tuple[int, bytes, int]], *, entry: int = HIGH, pvh: int | None = None
) -> bytes:
    """An ELF64 file: segments of (physical address, bytes, size in memory), a PVH note or none."""
    parts = [(1, address, data, size) for address, data, size in segments]
    if pvh is not None:
        note = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", pvh)
        parts.append((4, 0, note, len(note)))
    offset, headers, body = 64 + 56 * len(parts), b"", b""
    for kind, address, data, size in parts:
        place = (offset + len(body), address, address, len(data), size, 1)
        headers += struct.pack("<IIQQQQQQ", kind, 7, *place)
        body += data
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    fields = (2, 62, 1, entry, 64, 0, 0, 64, 56, len(parts), 64, 0, 0)
    return ident + struct.pack("<HHIQQQIHHHHHH", *fields) + headers + body


def bzimage(
    code: bytes = b"\xf4" * 64,
    *,
    protocol: int = 0x020F,
    loadflags: int = 1,
    preferred: int = 0x1000000,
    init_size: int = 0x10000,
    initrd_max: int = 0x7FFFFFFF,
    command_line: int = 2047,
    jump: int = 0x66,
) -> bytes:
    """A Linux boot image of one setup sector (after the boot sector) and ``code``."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x200:0x202] = bytes([0xEB, jump])
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, protocol)
    head[0x211] = loadflags
    struct.pack_into("<I", head, 0x22C, initrd_max)
    struct.pack_into("<I", head, 0x238, command_line)
    struct.pack_into("<QI", head, 0x258, preferred, init_size)
    return bytes(head) + code


def multiboot(
    code: bytes = b"\xf4" * 64,
    *,
    flags: int = 1 << 16,
    header: int = HIGH,
    load: int = HIGH,
    load_end: int = 0,
    bss_end: int = 0,
    entry: int = HIGH + 32,
    before: bytes = b"",
) -> bytes:
    """A flat multiboot kernel: its header, then ``code``."""
    magic = 0x1BADB002
    words = (magic, flags, -(magic + flags) & 0xFFFFFFFF, header, load, load_end, bss_end, entry)
    return before + struct.pack("<8I", *words) + code
