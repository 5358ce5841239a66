"""Which operating system a kernel is of, by what stands in its file.

Linux prints the banner that it carries; the BSDs carry strings for what(1), and ELF notes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from timehands.kernels.elf import ElfImage, Note
from timehands.kernels.enums import XenNote

UNKNOWN: Final = "unknown"
_XEN: Final = b"Xen"
_MAX_BANNERS: Final = 16
_BUILD_NUMBER: Final = re.compile(rb"#\d")


@dataclass(frozen=True)
class _Marks:
    """How an operating system's kernels are known.

    Attributes:
        guest_os: what its XEN_ELFNOTE_GUEST_OS says, in lower case.
        note_owner: the owner of an ELF note that only its files have.
        banner: finds its version: the first group is the release, the whole the banner.
    """

    os: str
    guest_os: bytes
    note_owner: bytes
    banner: re.Pattern[bytes]


_REST = rb"[^\n\0]{0,400}"
_KNOWN: Final = (
    # init/version.c, linux_banner
    _Marks("linux", b"linux", b"Linux", re.compile(rb"Linux version (\d[^ \n\0]{0,100})" + _REST)),
    # sys/conf/newvers.sh of each: sccs and version
    _Marks(
        "freebsd",
        b"freebsd",
        b"FreeBSD",
        re.compile(rb"FreeBSD (\d+\.\d+-[^ \n\0]{1,60})" + _REST),
    ),
    _Marks("netbsd", b"netbsd", b"NetBSD", re.compile(rb"NetBSD (\d+\.[^ \n\0]{1,60})" + _REST)),
    _Marks(
        "openbsd",
        b"openbsd",
        b"OpenBSD",
        re.compile(rb"OpenBSD (\d+\.\d[^ \n\0]{0,60})" + _REST),
    ),
)


@dataclass(frozen=True)
class Identity:
    """Which operating system, which release, and its banner whole; empty where not found."""

    os: str
    release: str
    banner: str


def identify(elf: ElfImage) -> Identity:
    """Tell the operating system of an ELF kernel.

    Notes are believed first: they are in fixed places. Without them a banner must be in what is
    loaded, and Linux' comes before others, as Linux names no other system in such a form.
    """
    data = elf.loaded_data
    for marks in _KNOWN:
        if any(_speaks_for(note, marks) for note in elf.notes):
            return _with_banner(data, marks) or Identity(marks.os, "", "")
    for marks in _KNOWN:
        found = _with_banner(data, marks)
        if found:
            return found
    return Identity(UNKNOWN, "", "")


def _speaks_for(note: Note, marks: _Marks) -> bool:
    if note.owner == _XEN and note.type == XenNote.GUEST_OS:
        return note.descriptor.rstrip(b"\0").lower() == marks.guest_os
    return note.owner == marks.note_owner


def _with_banner(data: memoryview, marks: _Marks) -> Identity | None:
    found = _best(marks.banner, data)
    if found is None:
        return None
    release, banner = bytes(found[1]).decode("latin-1"), bytes(found[0]).decode("latin-1")
    return Identity(marks.os, _printable(release), _printable(banner).strip())


def _best(banner: re.Pattern[bytes], data: memoryview) -> re.Match[bytes] | None:
    """The first match that has a build number.

    Linux links a banner without one, and then the real one (init/version.c and
    init/version-timestamp.c, since 2df8220cc511): both stay in the file.
    """
    first = None
    for found in islice(banner.finditer(data), _MAX_BANNERS):
        first = first or found
        if _BUILD_NUMBER.search(found[0]):
            return found
    return first


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def pvh_entry(notes: tuple[Note, ...]) -> int | None:
    """The physical address of the 32-bit PVH entry, or None.

    The descriptor has 4 bytes or 8 (Xen: xen/include/public/elfnote.h; Linux uses 8 in a 64-bit
    kernel).
    """
    for note in notes:
        is_entry = note.owner == _XEN and note.type == XenNote.PHYS32_ENTRY
        if is_entry and len(note.descriptor) in (4, 8):
            return int.from_bytes(note.descriptor, "little")
    return None
