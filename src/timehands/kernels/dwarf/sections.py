"""The sections that DWARF lies in, as bytes, and the small numbers that they are made of."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.elf import ElfImage
from timehands.kernels.structs import U32, U64

_SHF_COMPRESSED: Final = 0x800
_ELFCOMPRESS_ZLIB, _ELFCOMPRESS_ZSTD = 1, 2
#: More than any kernel's debug information, unpacked, in bytes.
_MAX_SECTION: Final = 1 << 30
_MAX_LEB_BYTES: Final = 10


@dataclass(frozen=True)
class Sections:
    """The contents of a kernel's ``.debug_*`` sections; empty when there is none."""

    info: bytes = b""
    abbrev: bytes = b""
    str: bytes = b""
    line: bytes = b""
    line_str: bytes = b""
    str_offsets: bytes = b""
    addr: bytes = b""
    ranges: bytes = b""
    rnglists: bytes = b""
    loc: bytes = b""
    loclists: bytes = b""

    @classmethod
    def of(cls, elf: ElfImage) -> Sections:
        """Read them from a kernel. Raises `KernelDamaged` when a packed one is broken."""
        return cls(**{name: _contents(elf, f".debug_{name}") for name in cls.__annotations__})


def _contents(elf: ElfImage, name: str) -> bytes:
    section = elf.section(name)
    if section is None:
        return b""
    data = bytes(elf.contents(section))
    return _unpack(data, elf.bits) if section.flags & _SHF_COMPRESSED else data


def _unpack(data: bytes, bits: int) -> bytes:
    """A section packed as ELF gABI says (Elf64_Chdr: type, reserved, size, alignment)."""
    header = 24 if bits == 64 else 12
    if len(data) < header:
        raise KernelDamaged("a packed debug section is cut short")
    kind = U32.unpack_from(data, 0)[0]
    size = U64.unpack_from(data, 8)[0] if bits == 64 else U32.unpack_from(data, 4)[0]
    if size > _MAX_SECTION:
        raise KernelDamaged(f"a packed debug section claims {size} bytes")
    try:
        found = _decoder(kind)(data[header:], size)
    except Exception as error:  # zlib.error, ZstdError
        raise KernelDamaged(f"a packed debug section is broken: {error}") from error
    if len(found) != size:
        raise KernelDamaged("a packed debug section is of another size than it claims")
    return found


def _decoder(kind: int) -> Callable[[bytes, int], bytes]:
    if kind == _ELFCOMPRESS_ZLIB:
        return lambda data, size: zlib.decompressobj().decompress(data, max(size, 1))
    if kind == _ELFCOMPRESS_ZSTD:
        import zstandard

        return lambda data, size: zstandard.ZstdDecompressor().decompress(
            data, max_output_size=max(size, 1)
        )
    raise KernelDamaged(f"a debug section is packed in a way that is not known ({kind})")


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 and where it ends. Raises `IndexError` at the end of the data."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    for place in range(at + 1, at + _MAX_LEB_BYTES):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise KernelDamaged("a LEB128 number has no end")


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 and where it ends."""
    value, end = uleb(data, at)
    width = 7 * (end - at)
    return (value - (1 << width) if value >> (width - 1) else value), end


def number(data: bytes, at: int, size: int) -> int:
    """An unsigned little-endian number. Raises `KernelDamaged` outside the data."""
    if at < 0 or at + size > len(data):
        raise KernelDamaged("debug information names a place outside its section")
    return int.from_bytes(data[at : at + size], "little")


def text(data: bytes, at: int) -> str:
    """A string that ends with a NUL, of at most 4 KiB."""
    end = data.find(b"\0", at, at + 4096) if at >= 0 else -1
    if end < 0:
        raise KernelDamaged("a name in the debug information has no end")
    return data[at:end].decode("utf-8", "replace")
