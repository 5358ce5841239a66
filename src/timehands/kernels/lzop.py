"""The lzop file format, which Linux uses for LZO payloads.

Source of facts: Linux lib/decompress_unlzo.c (``parse_header``, ``unlzo``) and lzop src/lzop.c.
The compressed blocks themselves are opened by lzallright.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.enums import LzopFlag
from timehands.kernels.structs import LZOP_VERSIONS, U32_BIG

MAGIC: Final = b"\x89LZO\x00\r\n\x1a\n"
# lib/decompress_unlzo.c, LZO_BLOCK_SIZE: the kernel refuses larger ones. It also bounds what one
# hostile block can expand to before its size is checked (LZO expands at most 255 times).
_MAX_BLOCK: Final = 256 << 10
_VERSION_LONG_HEADER: Final = 0x0940


class _Reader:
    """A cursor that refuses to run past the end."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.at:
            raise KernelDamaged("the lzo payload is cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self) -> int:
        value: int = U32_BIG.unpack(self.take(4))[0]
        return value


def _read_header(reader: _Reader) -> LzopFlag:
    reader.take(len(MAGIC))
    version = LZOP_VERSIONS.unpack(reader.take(4))[0]
    long_header = version >= _VERSION_LONG_HEADER
    reader.take(4 if long_header else 1)  # version needed (u16), method, level
    flags = LzopFlag(reader.u32())
    if LzopFlag.FILTER in flags:
        reader.take(4)
    reader.take(12 if long_header else 8)  # mode, mtime low, mtime high
    reader.take(reader.take(1)[0])  # name
    reader.take(4)  # header checksum
    if LzopFlag.EXTRA_FIELD in flags:
        reader.take(reader.u32())
        reader.take(4)
    return flags


def _checksums(flags: LzopFlag, *kinds: LzopFlag) -> int:
    return 4 * sum(kind in flags for kind in kinds)


def decompress(data: memoryview, limit: int) -> bytes:
    """Open an lzop file.

    Args:
        data: the file, from its magic on; what follows the last block is ignored.
        limit: the most bytes to return.

    Raises:
        KernelDamaged: the data is truncated or broken, or would grow past ``limit``.
    """
    from lzallright import LZOCompressor

    reader = _Reader(data)
    flags = _read_header(reader)
    output = io.BytesIO()
    while size := reader.u32():
        if size > _MAX_BLOCK:
            raise KernelDamaged("the lzo payload is broken: a block is larger than 256 KiB")
        if output.tell() + size > limit:
            raise KernelDamaged(f"the lzo payload grows past {limit >> 20} MiB")
        output.write(_read_block(reader, size, flags, LZOCompressor.decompress))
    return output.getvalue()


def _read_block(
    reader: _Reader, size: int, flags: LzopFlag, expand: Callable[..., bytes]
) -> bytes | memoryview:
    packed_size = reader.u32()
    reader.take(_checksums(flags, LzopFlag.ADLER32_D, LzopFlag.CRC32_D))
    if packed_size >= size:
        return reader.take(size)  # stored as it is
    reader.take(_checksums(flags, LzopFlag.ADLER32_C, LzopFlag.CRC32_C))
    try:
        block = expand(reader.take(packed_size), output_size_hint=size)
    except Exception as error:  # lzallright has several, none of them promised
        raise KernelDamaged(f"the lzo payload is broken: {error}") from error
    if len(block) != size:
        raise KernelDamaged("the lzo payload is broken: a block has another size than it says")
    return block
