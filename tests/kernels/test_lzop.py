"""The lzop program itself is an oracle in test_compression.py."""

from __future__ import annotations

import random
import struct

import pytest

from kernels import build
from timehands.errors import KernelDamaged
from timehands.kernels import lzop

CONTENT = random.Random(2).randbytes(70_000) + b"tick " * 50_000


def test_a_file_of_many_blocks_is_read() -> None:
    packed = build.lzop(CONTENT, block=10_000)
    assert lzop.decompress(memoryview(packed), 1 << 20) == CONTENT


def test_a_file_without_checksums_is_read() -> None:
    packed = build.lzop(CONTENT, flags=0)
    assert lzop.decompress(memoryview(packed), 1 << 20) == CONTENT


def test_a_block_larger_than_the_kernels_is_refused() -> None:
    packed = build.lzop(bytes(1 << 20), block=1 << 20)
    with pytest.raises(KernelDamaged, match="256 KiB"):
        lzop.decompress(memoryview(packed), 1 << 30)


def test_growth_is_bounded() -> None:
    with pytest.raises(KernelDamaged, match="grows past"):
        lzop.decompress(memoryview(build.lzop(CONTENT)), 100_000)


@pytest.mark.parametrize("keep", [0, 5, 20, 40, 60, 1000])
def test_a_cut_file_is_damaged(keep: int) -> None:
    with pytest.raises(KernelDamaged):
        lzop.decompress(memoryview(build.lzop(CONTENT)[:keep]), 1 << 20)


def test_a_block_of_another_size_than_it_says_is_refused() -> None:
    packed = bytearray(build.lzop(b"tick " * 1000, flags=0))
    at = packed.index(struct.pack(">I", 5000))
    packed[at : at + 4] = struct.pack(">I", 5001)
    with pytest.raises(KernelDamaged, match="another size"):
        lzop.decompress(memoryview(packed), 1 << 20)
