"""The Linux/x86 boot image: a boot sector with a header, real-mode code, and a packed kernel.

Source of facts: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from timehands.errors import KernelDamaged, NotAKernel
from timehands.kernels import structs
from timehands.kernels.compression import MAGICS, decompress, detect
from timehands.kernels.enums import Compression, XLoadFlags

_MAGIC: Final = b"HdrS"
_SECTOR: Final = 512
_PROTOCOL_PAYLOAD: Final = 0x0208
_PROTOCOL_XLOADFLAGS: Final = 0x020C
_MAX_VERSION_STRING: Final = 512
_MAX_TRIES: Final = 8
# .lzma begins with too little to search for.
_SEARCHED: Final = re.compile(
    b"|".join(re.escape(MAGICS[c]) for c in MAGICS if c is not Compression.LZMA)
)


@dataclass(frozen=True)
class BzImage:
    """What the boot header says.

    Attributes:
        protocol: boot protocol version, 0x020f for 2.15.
        kernel_version: the version string of the setup code, empty when it has none.
        entry_64bit: the image has the 64-bit entry point (XLF_KERNEL_64).
        code_offset: where the protected-mode code begins in the file, in bytes.
        payload_offset, payload_length: the packed kernel in the file, in bytes; both 0 when the
            protocol is older than 2.08 and does not say.
    """

    protocol: int
    kernel_version: str
    entry_64bit: bool
    code_offset: int
    payload_offset: int
    payload_length: int


def is_bzimage(data: memoryview) -> bool:
    """Whether data begins as a Linux/x86 boot image."""
    return bytes(data[structs.BOOT_MAGIC : structs.BOOT_MAGIC + 4]) == _MAGIC


def read_header(data: memoryview) -> BzImage:
    """Read the boot header.

    Raises:
        KernelDamaged: the file ends inside the header.
    """
    if len(data) < structs.BOOT_HEADER_END:
        raise KernelDamaged("the bzImage ends inside its boot header")
    protocol = structs.U16.unpack_from(data, structs.BOOT_VERSION)[0]
    code_offset = ((data[structs.BOOT_SETUP_SECTS] or 4) + 1) * _SECTOR
    offset, length = 0, 0
    if protocol >= _PROTOCOL_PAYLOAD:
        offset, length = structs.PAYLOAD.unpack_from(data, structs.BOOT_PAYLOAD)
    flags = 0
    if protocol >= _PROTOCOL_XLOADFLAGS:
        flags = structs.U16.unpack_from(data, structs.BOOT_XLOADFLAGS)[0]
    return BzImage(
        protocol=protocol,
        kernel_version=_kernel_version(data),
        entry_64bit=XLoadFlags.KERNEL_64 in XLoadFlags(flags),
        code_offset=code_offset,
        payload_offset=code_offset + offset if length else 0,
        payload_length=length,
    )


def _kernel_version(data: memoryview) -> str:
    pointer = structs.U16.unpack_from(data, structs.BOOT_KERNEL_VERSION)[0]
    if not pointer:
        return ""
    start = pointer + 0x200
    text = bytes(data[start : start + _MAX_VERSION_STRING]).partition(b"\0")[0]
    return text.decode("latin-1") if text.isascii() else ""


def unpack(data: memoryview, header: BzImage) -> tuple[Compression, bytes | memoryview]:
    """Unpack the kernel inside a bzImage.

    Returns:
        how it was packed, and the unpacked kernel: an ELF file, with relocations after it when
        the kernel can be moved.

    Raises:
        KernelDamaged: the payload lies outside the file, or cannot be unpacked.
        NotAKernel: no payload was found.
    """
    if header.payload_length:
        return _unpack_declared(data, header)
    for at in _payload_candidates(data, header.code_offset):
        payload = data[at:]
        compression = detect(payload)
        if compression is None:
            continue
        try:
            image = decompress(payload, compression)
        except KernelDamaged:
            continue
        if image.startswith(b"\x7fELF"):
            return compression, image
    raise NotAKernel("this bzImage names no payload, and none was found in it")


def _unpack_declared(data: memoryview, header: BzImage) -> tuple[Compression, bytes | memoryview]:
    end = header.payload_offset + header.payload_length
    if end > len(data):
        raise KernelDamaged(
            f"the bzImage is cut short: its payload ends at {end} and the file at {len(data)}"
        )
    # The last four bytes are the unpacked size (scripts/Makefile.lib, size_append), which is no
    # part of the stream; in gzip they are its own trailer. Every decoder stops at its stream's
    # end, so they may be left in place.
    payload = data[header.payload_offset : end]
    compression = detect(payload)
    if compression is not None:
        return compression, decompress(payload, compression)
    if bytes(payload[:4]) == b"\x7fELF":
        return Compression.NONE, payload
    raise KernelDamaged(f"the bzImage's payload begins with {bytes(payload[:4]).hex(' ')}, unknown")


def _payload_candidates(data: memoryview, start: int) -> Iterator[int]:
    for tries, found in enumerate(_SEARCHED.finditer(data[start:])):
        if tries == _MAX_TRIES:
            return
        yield start + found.start()
