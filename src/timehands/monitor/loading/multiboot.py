"""Multiboot 1: the header in the kernel file, and what the kernel is told.

Source: Multiboot Specification 0.6.96, 3.1 (header: magic, flags, checksum, and addresses when flag
16 is set) and 3.3 (information: mem_lower, mem_upper, command line, modules, memory map).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from timehands.errors import MachineError
from timehands.kernels.elf import ElfImage
from timehands.monitor.layout import (
    COMMAND_LINE,
    HIGH_MEMORY,
    KIB,
    MP_TABLE,
    MULTIBOOT_INFO,
    MemoryKind,
    Stretch,
)
from timehands.monitor.loading.elf_image import elf_image
from timehands.monitor.loading.model import Entry, Image

HEADER_MAGIC = 0x1BAD_B002
#: In EAX when the kernel is entered; EBX has the address of the information.
LOADER_MAGIC = 0x2BAD_B002
#: The header lies within the first 8 KiB, aligned to 4 bytes.
SEARCHED_BYTES = 8192
_ADDRESSES = 1 << 16
#: What a kernel may ask for: modules on page boundaries, and to be told of memory. Of the low 16
#: flags one more has a meaning, a video mode; a loader must refuse what it cannot do.
_GIVEN, _MUST = 0b11, 0xFFFF
_HAS_MEMORY, _HAS_COMMAND_LINE, _HAS_MODULES, _HAS_MAP = 1 << 0, 1 << 2, 1 << 3, 1 << 6
_HEADER = struct.Struct("<8I")
_INFO_BYTES = 120
_MAP_ENTRY = struct.Struct("<IQQI")
_MODULE = struct.Struct("<IIII")


@dataclass(frozen=True, slots=True)
class Header:
    """The multiboot header, and where it is in the file."""

    offset: int
    flags: int
    header_address: int
    load_address: int
    load_end: int
    bss_end: int
    entry: int


def find_header(file: memoryview) -> Header | None:
    """The header of a kernel file, None when it has none."""
    head = bytes(file[:SEARCHED_BYTES])
    at = head.find(struct.pack("<I", HEADER_MAGIC))
    while at >= 0:
        words = _HEADER.unpack_from(head[at : at + _HEADER.size].ljust(_HEADER.size, b"\0"))
        if at % 4 == 0 and sum(words[:3]) & 0xFFFF_FFFF == 0:
            return Header(at, words[1], *words[3:])
        at = head.find(struct.pack("<I", HEADER_MAGIC), at + 1)
    return None


def image(file: memoryview, header: Header) -> Image:
    """The kernel as its header places it, or as its ELF headers do when it says nothing.

    Raises `MachineError` for addresses that make no sense, `KernelError` for a broken ELF file.
    """
    refused = header.flags & _MUST & ~_GIVEN
    if refused:
        raise MachineError(
            f"the multiboot header asks for what this monitor does not have (flags {refused:#x})"
        )
    if not header.flags & _ADDRESSES:
        elf = ElfImage.parse(file)
        return elf_image(elf, elf.entry)
    start = header.offset - (header.header_address - header.load_address)
    size = header.load_end - header.load_address if header.load_end else len(file) - start
    fits = start >= 0 and 0 < size <= len(file) - start
    if not fits or header.load_address < HIGH_MEMORY:
        raise MachineError(
            f"the multiboot header loads {size} bytes of the file at {start} to "
            f"{header.load_address:#x}, which cannot be"
        )
    data = file[start : start + size]
    end = max(header.bss_end, header.load_address + size)
    return Image({header.load_address: data}, header.entry, end)


def information(
    memory: Sequence[Stretch], initrd: tuple[int, int] | None
) -> tuple[dict[int, bytes], Entry]:
    """What the kernel is told, by address, and the registers to enter with (``rip`` is 0)."""
    upper = next(s for s in memory if s.address == HIGH_MEMORY)
    flags = _HAS_MEMORY | _HAS_COMMAND_LINE | _HAS_MAP | (_HAS_MODULES if initrd else 0)
    modules = _MODULE.pack(initrd[0], sum(initrd), COMMAND_LINE, 0) if initrd else b""
    stretches = b"".join(
        _MAP_ENTRY.pack(_MAP_ENTRY.size - 4, s.address, s.size, _kind(s)) for s in memory
    )
    modules_at = MULTIBOOT_INFO + _INFO_BYTES
    map_at = modules_at + _MODULE.size
    words = [flags, MP_TABLE // KIB, upper.size // KIB, 0, COMMAND_LINE]
    words += [int(bool(initrd)), modules_at, 0, 0, 0, 0, len(stretches), map_at]
    info = struct.pack(f"<{len(words)}I", *words).ljust(_INFO_BYTES, b"\0")
    placed = {MULTIBOOT_INFO: info, modules_at: modules, map_at: stretches}
    return placed, Entry(0, rbx=MULTIBOOT_INFO, rax=LOADER_MAGIC)


def _kind(stretch: Stretch) -> int:
    return 1 if stretch.kind is MemoryKind.RAM else 2
