"""Opening compressed kernels, with a bound on what comes out.

The decoders are the standard library's, lz4, zstandard and lzallright; the last three are imported
when a kernel needs them. Whatever they raise becomes ``KernelDamaged``.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels import lzop
from timehands.kernels.enums import Compression
from timehands.kernels.structs import U32

MAX_UNPACKED: Final = 384 << 20
"""The most bytes that a kernel may unpack to. With the bounds on files and symbols this keeps all
of a hostile kernel's work below 1 GiB."""

_CHUNK: Final = 1 << 20
_MAX_DICTIONARY: Final = 256 << 20
_LZ4_LEGACY_BLOCK: Final = 8 << 20  # lz4: doc/lz4_Frame_format.md, "Legacy frame"
_LZ4_LEGACY_MAGIC: Final = b"\x02\x21\x4c\x18"

MAGICS: Final = {
    Compression.GZIP: b"\x1f\x8b\x08",
    Compression.XZ: b"\xfd7zXZ\x00",
    # .lzma has no magic: properties 0x5d (lc 3, lp 0, pb 2), then a dictionary of 2^n bytes.
    Compression.LZMA: b"\x5d\x00\x00",
    Compression.BZIP2: b"BZh",
    Compression.LZ4_LEGACY: _LZ4_LEGACY_MAGIC,
    Compression.LZ4_FRAME: b"\x04\x22\x4d\x18",
    Compression.LZO: lzop.MAGIC,
    Compression.ZSTD: b"\x28\xb5\x2f\xfd",
}
"""How each format begins (Linux: lib/decompress.c, ``compressed_formats``)."""


def detect(data: memoryview) -> Compression | None:
    """The compression that data begins with, or None."""
    head = bytes(data[:16])
    for compression, magic in MAGICS.items():
        if head.startswith(magic):
            return compression
    return None


def decompress(data: memoryview, compression: Compression, limit: int = MAX_UNPACKED) -> bytes:
    """Open one compressed stream; bytes after its end are ignored.

    Args:
        data: from the stream's magic on.
        compression: what it is; ``Compression.NONE`` is not allowed.
        limit: the most bytes to return.

    Raises:
        KernelDamaged: the stream is truncated or broken, or would grow past ``limit``.
    """
    name = compression.value
    output = io.BytesIO()
    try:
        for chunk in _DECODERS[compression](data, limit):
            output.write(chunk)
            if output.tell() > limit:
                raise KernelDamaged(f"the {name} payload grows past {limit >> 20} MiB")
    except (KernelDamaged, MemoryError):
        raise
    except Exception as error:  # each decoder has errors of its own
        raise KernelDamaged(f"the {name} payload is broken: {error}") from error
    return output.getvalue()


def _cut_short(name: str) -> KernelDamaged:
    return KernelDamaged(f"the {name} payload is cut short")


def _gzip(data: memoryview, _limit: int) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    for start in range(0, len(data), _CHUNK):
        pending: bytes | memoryview = data[start : start + _CHUNK]
        while pending and not decoder.eof:
            yield decoder.decompress(pending, _CHUNK)
            pending = decoder.unconsumed_tail
        if decoder.eof:
            return
    raise _cut_short("gzip")


def _lzma_family(data: memoryview, _limit: int) -> Iterator[bytes]:
    # The x86 BCJ filter that Linux uses for xz (scripts/xz_wrap.sh) is liblzma's own.
    decoder = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MAX_DICTIONARY)
    yield from _pull(decoder.decompress, lambda: (decoder.eof, decoder.needs_input), data, "xz")


def _bzip2(data: memoryview, _limit: int) -> Iterator[bytes]:
    decoder = bz2.BZ2Decompressor()
    yield from _pull(decoder.decompress, lambda: (decoder.eof, decoder.needs_input), data, "bzip2")


def _lz4_frame(data: memoryview, _limit: int) -> Iterator[bytes]:
    import lz4.frame

    decoder = lz4.frame.LZ4FrameDecompressor()
    yield from _pull(decoder.decompress, lambda: (decoder.eof, decoder.needs_input), data, "lz4")


def _pull(
    decompress_some: Callable[[bytes | memoryview, int], bytes],
    state: Callable[[], tuple[bool, bool]],
    data: memoryview,
    name: str,
) -> Iterator[bytes]:
    """Drive a decoder that takes (input, most output) and then tells (ended, wants input)."""
    for start in range(0, len(data), _CHUNK):
        yield decompress_some(data[start : start + _CHUNK], _CHUNK)
        ended, hungry = state()
        while not ended and not hungry:
            yield decompress_some(b"", _CHUNK)
            ended, hungry = state()
        if ended:
            return
    raise _cut_short(name)


def _zstd(data: memoryview, _limit: int) -> Iterator[bytes]:
    import zstandard

    # One frame only: in a bzImage four bytes follow it, which are not zstd.
    frame = data[: _zstd_frame_end(data)]
    decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_DICTIONARY)
    with decoder.stream_reader(frame) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def _zstd_frame_end(data: memoryview) -> int:
    """Where a frame ends, by its block headers (RFC 8878, 3.1.1)."""
    import zstandard

    at = zstandard.frame_header_size(data)
    checksum = zstandard.get_frame_parameters(data).has_checksum
    last = False
    while not last and at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last = bool(header & 1)
        is_rle = header >> 1 & 3 == 1
        at += 3 + (1 if is_rle else header >> 3)
    at += 4 * checksum
    if not last or at > len(data):
        raise _cut_short("zstd")
    return at


def _lz4_legacy(data: memoryview, _limit: int) -> Iterator[bytes]:
    """Blocks of u32 size and data, until four bytes or fewer are left (lib/decompress_unlz4.c)."""
    import lz4.block

    at = len(_LZ4_LEGACY_MAGIC)
    while len(data) - at > 4:
        (size,) = U32.unpack_from(data, at)
        at += 4
        if bytes(data[at - 4 : at]) == _LZ4_LEGACY_MAGIC:  # another frame follows
            continue
        if size > len(data) - at:
            raise _cut_short("lz4")
        yield lz4.block.decompress(data[at : at + size], uncompressed_size=_LZ4_LEGACY_BLOCK)
        at += size


def _lzo(data: memoryview, limit: int) -> Iterator[bytes]:
    yield lzop.decompress(data, limit)


_DECODERS: Final[dict[Compression, Callable[[memoryview, int], Iterator[bytes]]]] = {
    Compression.GZIP: _gzip,
    Compression.XZ: _lzma_family,
    Compression.LZMA: _lzma_family,
    Compression.BZIP2: _bzip2,
    Compression.LZ4_LEGACY: _lz4_legacy,
    Compression.LZ4_FRAME: _lz4_frame,
    Compression.LZO: _lzo,
    Compression.ZSTD: _zstd,
}
