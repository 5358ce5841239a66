"""What is given as a ramdisk, by its first bytes, and what each system does with such a thing.

Pure functions of the head of the file (up to 64 KiB) and of the kernel's symbols.

Sources: NetBSD sys/arch/amd64/conf/MICROVM 1.5 (2025-12-05: ramdisks in generic PVH mode; the
first bytes tell modules and splash screens from file systems), sys/dev/md_root.c; Linux
init/initramfs.c and lib/decompress.c; sys/ufs/ffs/fs.h, fs/ext4/ext4.h for the places of magics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from timehands.kernels.kernel import Kernel


class Sort(StrEnum):
    """What a ramdisk is to those who look at it."""

    ARCHIVE = "cpio archive"
    COMPRESSED = "compressed"
    FILE_SYSTEM = "file system"
    MODULE = "ELF file"
    PICTURE = "picture"
    EMPTY = "empty"
    OTHER = "nothing known"


@dataclass(frozen=True, slots=True)
class Contents:
    """What the first bytes show: its sort, and its name in words."""

    sort: Sort
    name: str


@dataclass(frozen=True, slots=True)
class _Magic:
    offset: int
    bytes: bytes
    contents: Contents


def _magic(sort: Sort, name: str, *magics: bytes, at: int = 0) -> list[_Magic]:
    return [_Magic(at, magic, Contents(sort, name)) for magic in magics]


_MAGICS = (
    *_magic(Sort.MODULE, "an ELF file", b"\x7fELF"),
    *_magic(Sort.PICTURE, "a PNG picture", b"\x89PNG"),
    *_magic(Sort.PICTURE, "a JPEG picture", b"\xff\xd8\xff"),
    *_magic(Sort.ARCHIVE, "a cpio archive (newc)", b"070701", b"070702"),
    *_magic(Sort.OTHER, "a cpio archive in the old form", b"070707", b"\xc7\x71"),
    *_magic(Sort.COMPRESSED, "gzip", b"\x1f\x8b", b"\x1f\x9e"),
    *_magic(Sort.COMPRESSED, "bzip2", b"BZh"),
    *_magic(Sort.COMPRESSED, "xz", b"\xfd7zXZ\0"),
    *_magic(Sort.COMPRESSED, "lzma", b"\x5d\0\0"),
    *_magic(Sort.COMPRESSED, "lzop", b"\x89LZO"),
    *_magic(Sort.COMPRESSED, "lz4 (legacy frame)", b"\x02\x21\x4c\x18"),
    *_magic(Sort.COMPRESSED, "zstd", b"\x28\xb5\x2f\xfd"),
    *_magic(Sort.FILE_SYSTEM, "an FFS (UFS1) file system", b"\x54\x19\x01\0", at=8192 + 1372),
    *_magic(Sort.FILE_SYSTEM, "an ext2, ext3 or ext4 file system", b"\x53\xef", at=1024 + 56),
    *_magic(Sort.FILE_SYSTEM, "an ISO 9660 file system", b"CD001", at=32769),
    *_magic(Sort.FILE_SYSTEM, "a boot sector: FAT or a partitioned disk", b"\x55\xaa", at=510),
)
#: The memory disk that takes a file-system image for the root (sys/dev/md_root.c).
_ROOT_DISK = "md_root_setconf"
_NO_ROOT_DISK = (
    "this kernel has no memory disk for a root file system (no md_root_setconf): it does not look "
    "at the ramdisk, and asks for its root device"
)


def contents_of(head: bytes) -> Contents:
    """What a file is that begins with these bytes."""
    if not head.strip(b"\0") and len(head) < 512:
        return Contents(Sort.EMPTY, "empty")
    for magic in _MAGICS:
        if head.startswith(magic.bytes, magic.offset):
            return magic.contents
    return Contents(Sort.OTHER, "nothing that is known by its first bytes")


def on_netbsd(kernel: Kernel, head: bytes) -> str | None:
    """What NetBSD's generic PVH entry takes it for; None: for the file system that it is.

    An ELF file is a module to it, a PNG or a JPEG a splash screen, and all else a file system. A
    UFS2 superblock lies beyond the head, so what is not known may be one.
    """
    if not kernel.symbols.lookup(_ROOT_DISK):
        return _NO_ROOT_DISK
    contents = contents_of(head)
    match contents.sort:
        case Sort.MODULE:
            return (
                "NetBSD takes an ELF file for a kernel module, not for a root file system; modules "
                "over PVH did not work yet when they were added"
            )
        case Sort.PICTURE:
            return f"NetBSD takes {contents.name} for a splash screen, not for a root file system"
        case Sort.ARCHIVE | Sort.COMPRESSED | Sort.EMPTY:
            return (
                f"NetBSD takes it for a file-system image, but it is {_article(contents)}: no root "
                "can be mounted from it"
            )
        case _:
            return None


def on_linux(kernel: Kernel, head: bytes) -> str | None:
    """What Linux takes it for; None: it unpacks it.

    Archives may follow padding, so zeros before one are no fault.
    """
    contents = contents_of(head.lstrip(b"\0"))
    if contents.sort in (Sort.ARCHIVE, Sort.COMPRESSED):
        return None
    disk = bool(kernel.symbols.lookup("rd_load_image"))
    told = f"Linux unpacks cpio archives (newc), also compressed ones; this is {contents.name}"
    if disk:
        return f"{told}: it is kept as a disk image, for root=/dev/ram0"
    return f"{told}, which this kernel drops"


def _article(contents: Contents) -> str:
    if contents.sort is Sort.COMPRESSED:
        return f"compressed ({contents.name})"
    return contents.name
