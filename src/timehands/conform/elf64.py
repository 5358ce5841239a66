"""An ELF32 guest as an ELF64 file: the same bytes at the same addresses, entered in 32-bit mode.

Firecracker, Cloud Hypervisor and others that load kernels by rust-vmm's linux-loader take ELF64
only. The PVH note then has an entry of 8 bytes, as Linux's vmlinux has it
(arch/x86/platform/pvh/head.S).
Layouts: System V ABI, ELF header and program header, 32 and 64 bits.
"""

from __future__ import annotations

import struct

_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_EXEC, _X86_64, _VERSION = 2, 62, 1
_LOAD, _NOTE = 1, 4
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_PROGRAM_32 = struct.Struct("<8I")
_PHYS32_ENTRY = 18
_SEGMENT_AT = 0x1000
_ALL_FLAGS = 7


def widened(elf32: bytes) -> bytes:
    """The ELF64 file of an ELF32 one of ours, that has one loaded segment and starts at its entry.

    Raises ValueError when it has not.
    """
    entry, table = struct.unpack_from("<II", elf32, 24)
    count = struct.unpack_from("<H", elf32, 44)[0]
    headers = [_PROGRAM_32.unpack_from(elf32, table + n * _PROGRAM_32.size) for n in range(count)]
    loaded = [header for header in headers if header[0] == _LOAD]
    if len(loaded) != 1:
        raise ValueError(f"{len(loaded)} loaded segments")
    _, offset, _, address, file_size, memory_size, _, _ = loaded[0]
    note = struct.pack("<III4sQ", 4, 8, _PHYS32_ENTRY, b"Xen\0", entry)
    note_at = _HEADER.size + 2 * _PROGRAM.size
    segment = (_SEGMENT_AT, address, address, file_size, memory_size, 0x1000)
    front = _header(entry) + _PROGRAM.pack(_LOAD, _ALL_FLAGS, *segment)
    front += _PROGRAM.pack(_NOTE, _ALL_FLAGS, note_at, 0, 0, len(note), len(note), 4) + note
    return front.ljust(_SEGMENT_AT, b"\0") + elf32[offset : offset + file_size]


def _header(entry: int) -> bytes:
    sizes = (_HEADER.size, _PROGRAM.size, 2, 64, 0, 0)
    return _HEADER.pack(_IDENT, _EXEC, _X86_64, _VERSION, entry, _HEADER.size, 0, 0, *sizes)
