"""Linux's boot image by the 32-bit protocol: a zero page, the code at 1 MiB, and in.

Source: Linux Documentation/arch/x86/boot.rst ("32-bit boot protocol") and zero-page.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from timehands.errors import MachineError
from timehands.kernels.bzimage import read_header
from timehands.monitor.layout import COMMAND_LINE, HIGH_MEMORY, ZERO_PAGE, Stretch
from timehands.monitor.loading.model import Entry, Image

ZERO_PAGE_BYTES = 4096
#: Loaders that have no number of their own say so.
LOADER_UNDEFINED = 0xFF
MAX_E820 = 128
_HEADER_START = 0x1F1
_E820_ENTRIES, _E820_TABLE = 0x1E8, 0x2D0
_HEADER_JUMP = 0x201
_TYPE_OF_LOADER, _LOADFLAGS, _CODE32_START = 0x210, 0x211, 0x214
_RAMDISK, _COMMAND_LINE, _INITRD_MAX = 0x218, 0x228, 0x22C
_COMMAND_LINE_SIZE, _PREFERRED, _INIT_SIZE, _RSDP = 0x238, 0x258, 0x260, 0x070
#: For kernels that do not say how high a ramdisk may lie.
_OLD_INITRD_MAX = 0x37FF_FFFF
_CAN_USE_HEAP, _LOADED_HIGH = 0x80, 0x01
_OLDEST = 0x0206  # the length of the command line is told
_SAYS_SIZE = 0x020A
_E820 = struct.Struct("<QQI")


def image(file: memoryview) -> Image:
    """The protected-mode code of a bzImage at 1 MiB.

    Raises `MachineError` for one of before Linux 2.6.22 or that is a zImage, `KernelDamaged`.
    """
    header = read_header(file)
    if header.protocol < _OLDEST or not file[_LOADFLAGS] & _LOADED_HIGH:
        raise MachineError(
            f"a kernel of boot protocol {header.protocol >> 8}.{header.protocol & 0xFF:02} is too "
            "old: 2.06 and a bzImage are needed"
        )
    code = file[header.code_offset :]
    if not code:
        raise MachineError("the bzImage ends before its protected-mode code")
    end = HIGH_MEMORY + len(code)
    if header.protocol >= _SAYS_SIZE:
        preferred, needed = struct.unpack_from("<QI", file, _PREFERRED)
        end = max(end, max(HIGH_MEMORY, preferred) + needed)
    return Image({HIGH_MEMORY: code}, HIGH_MEMORY, end)


def highest_initrd(file: memoryview) -> int:
    """The highest address that the last byte of this kernel's ramdisk may have."""
    highest: int = struct.unpack_from("<I", file, _INITRD_MAX)[0]
    return highest or _OLD_INITRD_MAX


def check_command_line(file: memoryview, size: int) -> None:
    """Raise `MachineError` for more bytes, without the final NUL, than this kernel takes."""
    most = struct.unpack_from("<I", file, _COMMAND_LINE_SIZE)[0]
    if size > most:
        raise MachineError(f"the command line has {size} bytes; this kernel takes {most}")


def zero_page(
    file: memoryview, memory: Sequence[Stretch], initrd: tuple[int, int] | None, *, rsdp: int = 0
) -> tuple[dict[int, bytes], Entry]:
    """The zero page, by address, and the registers to enter with (``rip`` is 0)."""
    page = bytearray(ZERO_PAGE_BYTES)
    header = file[_HEADER_START : _HEADER_JUMP + 1 + file[_HEADER_JUMP]]
    page[_HEADER_START : _HEADER_START + len(header)] = header
    page[_TYPE_OF_LOADER] = LOADER_UNDEFINED
    page[_LOADFLAGS] = page[_LOADFLAGS] & ~_CAN_USE_HEAP
    struct.pack_into("<I", page, _CODE32_START, HIGH_MEMORY)
    struct.pack_into("<I", page, _COMMAND_LINE, COMMAND_LINE)
    struct.pack_into("<Q", page, _RSDP, rsdp)
    if initrd:
        struct.pack_into("<II", page, _RAMDISK, *initrd)
    page[_E820_ENTRIES] = len(memory[:MAX_E820])
    table = b"".join(_E820.pack(s.address, s.size, s.kind) for s in memory[:MAX_E820])
    page[_E820_TABLE : _E820_TABLE + len(table)] = table
    return {ZERO_PAGE: bytes(page)}, Entry(0, rsi=ZERO_PAGE)
