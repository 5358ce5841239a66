"""The file that a kernel's debug information was put into, when it is not in the kernel itself.

FreeBSD installs ``kernel`` and ``kernel.debug`` (named by ``.gnu_debuglink``), NetBSD and OpenBSD
build ``netbsd`` and ``netbsd.gdb``, Linux distributions put ``vmlinux`` under ``/usr/lib/debug``.

A file of another build gives wrong types and lines, so one is used only when it is shown to be of
the same build; why each other was not is kept.

Sources: gdb's manual, "Debugging Information in Separate Files"; ELF gABI.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from timehands.errors import KernelDamaged, KernelError
from timehands.kernels.elf import ElfImage, Section
from timehands.kernels.files import read_file
from timehands.kernels.structs import U32
from timehands.kernels.symtab import read_symtab

#: Where systems keep debug information, as gdb's debug-file-directory.
DEBUG_ROOT = Path("/usr/lib/debug")
MAX_DEBUG_FILE: Final = 1 << 30
"""The largest debug file that is read, in bytes."""
_SHF_WRITE, _SHF_ALLOC = 1, 2
_NAME: Final = re.compile(r"[^/\0]{1,255}")
#: What kernels call the file with their debug information, beside them.
_ENDINGS: Final = (".debug", ".full", ".gdb")


@dataclass(frozen=True)
class Link:
    """What ``.gnu_debuglink`` says: the debug file's name, and its CRC-32."""

    name: str
    crc32: int


@dataclass(frozen=True)
class Refused:
    """A file that could have been the one, and why it is not used."""

    path: Path
    why: str


@dataclass(frozen=True)
class DebugFile:
    """A kernel's debug file. ``how`` says what shows that it is of the same build."""

    path: Path
    how: str
    stamp: tuple[int, ...] = field(repr=False)

    @cached_property
    def elf(self) -> ElfImage:
        """Its headers and contents, read when first asked for.

        Raises:
            KernelError: it cannot be read any more, or was changed since it was found.
        """
        if _stamp(self.path) != self.stamp:
            raise KernelDamaged("this debug file was changed while it was used", path=self.path)
        return _read(self.path)[1]


@dataclass(frozen=True)
class Search:
    """What a search for debug information came to."""

    found: DebugFile | None = None
    refused: tuple[Refused, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As values that ``json`` can write."""
        found = self.found and {**asdict(self.found), "path": str(self.found.path)}
        return {"found": found, "refused": [[str(one.path), one.why] for one in self.refused]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what ``to_dict`` made. Raises `KeyError`, `TypeError`, `ValueError`."""
        one = values["found"]
        stamp = tuple(map(int, one["stamp"])) if one else ()
        found = DebugFile(Path(one["path"]), str(one["how"]), stamp) if one else None
        return cls(found, tuple(Refused(Path(p), str(w)) for p, w in values["refused"]))


def debug_link(elf: ElfImage) -> Link | None:
    """The kernel's ``.gnu_debuglink``; None: it has none, or one that makes no sense."""
    section = elf.section(".gnu_debuglink")
    data = bytes(elf.contents(section)[:512]) if section else b""
    name, end, _ = data.partition(b"\0")
    at = len(name) + 4 & ~3
    text = os.fsdecode(name)
    if not end or at + 4 > len(data) or not _NAME.fullmatch(text) or text in (".", ".."):
        return None
    return Link(text, U32.unpack_from(data, at)[0])


def candidates(path: Path, elf: ElfImage, release: str) -> list[Path]:
    """The files that are there and could be the debug file of a kernel, the likeliest first.

    Args:
        path: of the kernel.
        elf: the unpacked kernel, with its contents.
        release: of the system, for ``vmlinux-RELEASE``; may be empty.
    """
    folder = Path(os.path.realpath(path)).parent
    link, identity = debug_link(elf), elf.build_id
    places = [*_linked(folder, link.name)] if link else []
    if identity:
        places.append(DEBUG_ROOT / ".build-id" / identity[:2] / f"{identity[2:]}.debug")
    for ending in _ENDINGS:
        places += _linked(folder, path.name + ending)
    places += _vmlinux(folder, release)
    return _there(path, places)


def _linked(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    yield folder / ".debug" / name
    yield DEBUG_ROOT / folder.relative_to(folder.anchor) / name


def _vmlinux(folder: Path, release: str) -> Iterator[Path]:
    yield folder / "vmlinux"
    if release and _NAME.fullmatch(release):
        yield folder / f"vmlinux-{release}"
        yield DEBUG_ROOT / "boot" / f"vmlinux-{release}"
        yield DEBUG_ROOT / "lib" / "modules" / release / "vmlinux"


def _there(kernel: Path, places: Iterable[Path]) -> list[Path]:
    """Those that exist, each file once, and not the kernel itself."""
    seen, found = {_stamp(kernel)}, []
    for place in places:
        stamp = _stamp(place)
        if stamp and stamp not in seen:
            seen.add(stamp)
            found.append(place)
    return found


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does; empty: there is none."""
    try:
        one = path.stat()
    except (OSError, ValueError):
        return ()
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)


def stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """The files and what tells whether they were changed, as JSON types."""
    return [[str(path), *_stamp(path)] for path in paths]


def search(elf: ElfImage, places: Iterable[Path]) -> Search:
    """The first of some files that has DWARF and is of the same build as a kernel."""
    link, refused = debug_link(elf), list[Refused]()
    for place in places:
        try:
            stamp = _stamp(place)
            return Search(DebugFile(place, _agreement(elf, link, place), stamp), tuple(refused))
        except (KernelError, _Other) as error:
            message = getattr(error, "message", str(error))
            refused.append(Refused(place, message))
    return Search(None, tuple(refused))


class _Other(Exception):
    """A file is of another build, or of no use: the message says why."""


def _agreement(elf: ElfImage, link: Link | None, place: Path) -> str:
    """What shows that a file is of the kernel's build. Raises `_Other` and `KernelError`."""
    crc32, other = _read(place)
    if not (other.section(".debug_info") or other.section(".zdebug_info")):
        raise _Other("it has no DWARF")
    if other.bits != elf.bits:
        raise _Other(f"it has {other.bits} bits and the kernel {elf.bits}")
    ours, theirs = elf.build_id, other.build_id
    if ours and theirs and ours != theirs:
        raise _Other(f"its build ID is {theirs[:12]}..., the kernel's {ours[:12]}...")
    named = link is not None and link.name == place.name
    if link and named and crc32 != link.crc32:
        raise _Other(
            f"its CRC-32 is {crc32:08x}, the kernel's .gnu_debuglink says {link.crc32:08x}"
        )
    _same_places(elf, other)
    if ours and ours == theirs:
        return "same build ID"
    if named:
        return "CRC-32 as .gnu_debuglink says"
    return _same_contents(elf, other)


def _read(place: Path) -> tuple[int, ElfImage]:
    data = read_file(place, MAX_DEBUG_FILE)
    return zlib.crc32(data), ElfImage.parse(memoryview(data), partial=True)


def _loaded(elf: ElfImage) -> dict[str, Section]:
    return {one.name: one for one in elf.sections if one.flags & _SHF_ALLOC}


def _same_places(elf: ElfImage, other: ElfImage) -> None:
    """Both must be laid out in memory alike."""
    theirs = _loaded(other)
    for name, ours in _loaded(elf).items():
        one = theirs.get(name)
        if one is None:
            raise _Other(f"it has no section {name}")
        if one.address != ours.address:
            raise _Other(f"its {name} is at {one.address:#x}, the kernel's at {ours.address:#x}")
        if one.size != ours.size:
            raise _Other(f"its {name} has {one.size:,} bytes, the kernel's {ours.size:,}")


def _same_contents(elf: ElfImage, other: ElfImage) -> str:
    """What cannot be written must be the same byte for byte; where it is left out, symbols."""
    compared = False
    theirs = _loaded(other)
    for name, ours in _loaded(elf).items():
        if ours.flags & _SHF_WRITE or "SHT_NOBITS" in (ours.type, theirs[name].type):
            continue
        compared = compared or bool(ours.size)
        if bytes(elf.contents(ours)) != bytes(other.contents(theirs[name])):
            raise _Other(f"its {name} holds something else than the kernel's")
    if compared and _code_is_there(elf, theirs):
        return "same code"
    return _same_symbols(elf, other)


def _code_is_there(elf: ElfImage, theirs: dict[str, Section]) -> bool:
    text = elf.section(".text")
    return text is not None and text.size > 0 and theirs[".text"].type != "SHT_NOBITS"


def _same_symbols(elf: ElfImage, other: ElfImage) -> str:
    """All of the kernel's symbols must be at the same addresses."""
    ours, theirs = read_symtab(elf), read_symtab(other)
    if not ours or not theirs:
        raise _Other("nothing shows that it is of the same build: no build ID, no code, no symbols")
    elsewhere = {(one.address, one.name) for one in ours}
    elsewhere -= {(one.address, one.name) for one in theirs}
    if elsewhere:
        address, name = min(elsewhere)
        raise _Other(f"its {name} is not at {address:#x}")
    return "same sections and symbols"
