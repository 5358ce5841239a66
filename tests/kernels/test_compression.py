"""The oracle is the tool that packs: gzip, xz, lzma, bzip2, lz4, lzop, zstd. Where a tool is not
installed its own library packs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import random
import shutil
import subprocess
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels import build
from timehands.errors import KernelDamaged
from timehands.kernels.compression import decompress, detect
from timehands.kernels.enums import Compression

_BCJ = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}]

LIBRARIES: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.XZ: lambda d: lzma.compress(d, check=lzma.CHECK_CRC32, filters=_BCJ),
    Compression.LZMA: lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE, preset=1),
    Compression.BZIP2: bz2.compress,
    Compression.LZ4_LEGACY: build.lz4_legacy,
    Compression.LZ4_FRAME: lz4.frame.compress,
    Compression.LZO: build.lzop,
    Compression.ZSTD: lambda d: zstandard.ZstdCompressor(write_checksum=True).compress(d),
}
# The commands of Linux' scripts/Makefile.lib.
TOOLS = {
    Compression.GZIP: "gzip -n -9",
    Compression.XZ: "xz --check=crc32 --x86 --lzma2=dict=1MiB",
    Compression.LZMA: "lzma -9",
    Compression.BZIP2: "bzip2 -9",
    Compression.LZ4_LEGACY: "lz4 -l -c",
    Compression.LZ4_FRAME: "lz4 -c",
    Compression.LZO: "lzop -9",
    Compression.ZSTD: "zstd -q -19",
}
every = pytest.mark.parametrize("compression", LIBRARIES, ids=lambda c: c.value)


def _content(size: int) -> bytes:
    """Half noise, half repetition, so that every kind of block occurs."""
    dice = random.Random(1)
    return b"".join(dice.randbytes(2000) + b"clock " * 900 for _ in range(size // 7400 + 1))[:size]


@every
@pytest.mark.parametrize("size", [1, 5000, 1_500_000])
def test_what_was_packed_comes_out(compression: Compression, size: int) -> None:
    packed = memoryview(LIBRARIES[compression](_content(size)))
    assert detect(packed) is compression
    assert decompress(packed, compression) == _content(size)


@pytest.mark.parametrize("compression", TOOLS, ids=lambda c: c.value)
def test_what_the_tool_packed_comes_out(compression: Compression) -> None:
    command = TOOLS[compression].split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    packed = subprocess.run(command, input=_content(700_000), capture_output=True, check=True)
    assert decompress(memoryview(packed.stdout), compression) == _content(700_000)


@every
def test_the_size_that_linux_appends_is_no_part(compression: Compression) -> None:
    packed = LIBRARIES[compression](_content(20_000)) + (20_000).to_bytes(4, "little")
    assert decompress(memoryview(packed), compression) == _content(20_000)


@every
def test_growth_is_bounded(compression: Compression) -> None:
    packed = memoryview(LIBRARIES[compression](bytes(9 << 20)))
    with pytest.raises(KernelDamaged, match="grows past 4 MiB"):
        decompress(packed, compression, limit=4 << 20)


@every
def test_a_truncated_stream_is_damaged(compression: Compression) -> None:
    packed = LIBRARIES[compression](_content(100_000))
    for keep in (len(packed) // 2, len(packed) - 20):
        with pytest.raises(KernelDamaged):
            decompress(memoryview(packed[:keep]), compression)


@every
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_brings_another_error(compression: Compression, data: st.DataObject) -> None:
    packed = bytearray(LIBRARIES[compression](_content(9_000)))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(KernelDamaged):
        decompress(memoryview(packed), compression, limit=1 << 20)


def test_noise_has_no_compression() -> None:
    assert detect(memoryview(b"nothing that packs")) is None
    assert detect(memoryview(b"")) is None
