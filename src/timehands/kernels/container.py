"""What a kernel file is packed in, and the ELF file inside."""

from __future__ import annotations

from typing import Final

from timehands.errors import KernelDamaged, NotAKernel, WrongArchitecture
from timehands.kernels import bzimage
from timehands.kernels.compression import decompress, detect
from timehands.kernels.elf import MAGIC as ELF_MAGIC
from timehands.kernels.enums import Compression, Container

MAX_PACKED_FILE: Final = 128 << 20
"""The largest compressed kernel file that is read, in bytes."""

# Kernels of other processors, by what stands where: (offset, bytes, processor).
# Linux: Documentation/arch/arm64/booting.rst, arch/riscv/boot-image-header.rst,
# arch/arm/boot/compressed/head.S, drivers/firmware/efi/libstub/zboot-header.S.
_FOREIGN: Final = (
    (56, b"ARM\x64", "AArch64"),
    (56, b"RSC\x05", "RISC-V"),
    (0x24, b"\x18\x28\x6f\x01", "ARM"),
    (4, b"zimg", "another processor (an EFI zboot image)"),
)


def unpack(
    file: memoryview,
) -> tuple[Container | None, Compression, memoryview, bzimage.BzImage | None]:
    """The format, and the ELF file inside. The container is None for ELF of any width."""
    if bytes(file[:4]) == ELF_MAGIC:
        return None, Compression.NONE, file, None
    if len(file) > MAX_PACKED_FILE:
        raise NotAKernel(f"no ELF, and larger than {MAX_PACKED_FILE >> 20} MiB")
    if bzimage.is_bzimage(file):
        header = bzimage.read_header(file)
        compression, image = bzimage.unpack(file, header)
        return Container.BZIMAGE, compression, _must_be_elf(image, "bzImage"), header
    compression = detect(file) or _refuse(file)
    return None, compression, _unpack_outer(file, compression), None


def _unpack_outer(file: memoryview, compression: Compression) -> memoryview:
    """The ELF file inside a compressed file."""
    try:
        image = decompress(file, compression)
    except KernelDamaged as error:
        if compression is Compression.LZMA:  # its beginning says too little to call it damaged
            raise NotAKernel("this is neither an ELF file nor a bzImage") from error
        raise
    return _must_be_elf(image, f"{compression.value} file")


def _must_be_elf(image: bytes | memoryview, where: str) -> memoryview:
    view = memoryview(image)
    if bytes(view[:4]) != ELF_MAGIC:
        _refuse_foreign(view)
        raise NotAKernel(f"what the {where} holds is not an ELF file")
    return view


def _refuse(file: memoryview) -> Compression:
    _refuse_foreign(file)
    raise NotAKernel(
        "this is neither an ELF file nor a bzImage",
        advice="A kernel is expected: vmlinuz, vmlinux, bzImage, or a BSD's kernel file.",
    )


def _refuse_foreign(file: memoryview) -> None:
    for offset, magic, machine in _FOREIGN:
        if bytes(file[offset : offset + len(magic)]) == magic:
            raise WrongArchitecture(machine)
