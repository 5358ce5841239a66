from __future__ import annotations

import gzip

import pytest

from kernels import build
from timehands.errors import KernelDamaged, NotAKernel
from timehands.kernels import bzimage
from timehands.kernels.enums import Compression

ELF = build.linux_elf()


def _image(**options: int) -> memoryview:
    return memoryview(build.bzimage(gzip.compress(ELF), len(ELF), **options))  # type: ignore[arg-type]


def test_the_header_says_version_entry_and_payload() -> None:
    header = bzimage.read_header(_image())
    assert (header.protocol, header.kernel_version) == (0x020F, "6.1.0-test")
    assert header.entry_64bit
    assert header.code_offset == 5 * 512
    assert header.payload_offset == 6 * 512


def test_zero_setup_sectors_mean_four() -> None:
    data = bytearray(_image())
    data[0x1F1] = 0
    assert bzimage.read_header(memoryview(data)).code_offset == 5 * 512


def test_an_old_protocol_has_no_64bit_entry() -> None:
    assert not bzimage.read_header(_image(protocol=0x020B)).entry_64bit


def test_the_declared_payload_is_unpacked() -> None:
    data = _image()
    compression, image = bzimage.unpack(data, bzimage.read_header(data))
    assert (compression, bytes(image)) == (Compression.GZIP, ELF)


@pytest.mark.parametrize("protocol", [0x0207, 0x020F])
def test_an_undeclared_payload_is_searched(protocol: int) -> None:
    packed = b"\x1f\x8b\x08 no gzip" + build.lz4_legacy(ELF)
    data = memoryview(build.bzimage(packed, len(ELF), protocol=protocol, declare=False))
    compression, image = bzimage.unpack(data, bzimage.read_header(data))
    assert compression is Compression.LZ4_LEGACY
    assert bytes(image) == ELF


def test_an_unpacked_payload_is_taken_as_it_is() -> None:
    data = memoryview(build.bzimage(ELF, len(ELF)))
    compression, image = bzimage.unpack(data, bzimage.read_header(data))
    assert compression is Compression.NONE
    assert bytes(image)[: len(ELF)] == ELF


def test_a_cut_file_says_where_its_payload_ends() -> None:
    data = _image()[:-100]
    with pytest.raises(KernelDamaged, match="cut short: its payload ends at"):
        bzimage.unpack(data, bzimage.read_header(data))


def test_a_file_that_ends_in_the_header_is_damaged() -> None:
    with pytest.raises(KernelDamaged, match="boot header"):
        bzimage.read_header(_image()[:0x210])


def test_no_payload_at_all_is_no_kernel() -> None:
    data = memoryview(build.bzimage(b"\0" * 1000, 0, declare=False))
    with pytest.raises(NotAKernel, match="none was found"):
        bzimage.unpack(data, bzimage.read_header(data))
