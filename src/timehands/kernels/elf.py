"""What an ELF kernel says about itself: segments, sections, notes.

The headers are read by pyelftools, once, into plain values with checked bounds. Notes are read
here, as boot loaders do, and symbols in ``symtab``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from timehands.errors import KernelDamaged, WrongArchitecture
from timehands.kernels import structs
from timehands.kernels.descriptions import machine_name
from timehands.kernels.enums import ElfMachine

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

MAGIC: Final = b"\x7fELF"
_MAX_SEGMENTS: Final = 512
_MAX_SECTIONS: Final = 4096
_MAX_NOTES: Final = 4096
_MAX_NOTE_PLACES: Final = 16
_MAX_NOTE_BYTES: Final = 1 << 20
_MAX_SECTION_NAME: Final = 256


_SHT_NOBITS: Final = "SHT_NOBITS"
_MAX_OFFSET: Final = 1 << 64
_GNU_BUILD_ID: Final = 3


@dataclass(frozen=True)
class Segment:
    """One program header. Offsets and sizes are bytes; ``type`` is its name, ``PT_LOAD``."""

    type: str
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    flags: int


@dataclass(frozen=True)
class Section:
    """One section header. ``type`` is its name, ``SHT_PROGBITS``; ``link`` a section's number."""

    name: str
    type: str
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Note:
    """One ELF note: owner without its final NUL, type number, descriptor."""

    owner: bytes
    type: int
    descriptor: bytes


@dataclass(frozen=True)
class ElfImage:
    """An ELF kernel in memory.

    Attributes:
        data: the whole file; it may be followed by other things.
        bits: 64 or 32.
        entry: ``e_entry``, as it stands (FreeBSD's is virtual, Linux' physical).
    """

    data: memoryview = field(repr=False)
    bits: int
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    notes: tuple[Note, ...] = field(repr=False)

    @classmethod
    def parse(cls, data: memoryview, *, partial: bool = False) -> ElfImage:
        """Read the headers of an ELF file.

        Args:
            data: the file.
            partial: it may lack the contents of its segments, as files with debug information do.

        Raises:
            WrongArchitecture: it is for a processor other than x86-64 or i386.
            KernelDamaged: the headers break the format or point outside the file.
        """
        try:
            return cls._parse(data, partial)
        except (KernelDamaged, WrongArchitecture, MemoryError):
            raise
        except Exception as error:  # pyelftools and construct promise no closed set
            raise KernelDamaged(f"the ELF headers are broken: {error}") from error

    @classmethod
    def _parse(cls, data: memoryview, partial: bool) -> ElfImage:
        from elftools.elf.elffile import ELFFile

        elf = ELFFile(_stream(data))
        machine = elf.header.e_machine
        _check_machine(machine, elf.little_endian)
        segments = tuple(_segments(elf, _MAX_OFFSET if partial else len(data)))
        sections = tuple(_sections(elf, len(data)))
        return cls(
            data=data,
            bits=elf.elfclass,
            entry=elf.header.e_entry,
            segments=segments,
            sections=sections,
            notes=tuple(notes_in(data, segments, sections)),
        )

    def section(self, name: str) -> Section | None:
        """The first section with a name, or None."""
        return next((s for s in self.sections if s.name == name), None)

    def contents(self, section: Section) -> memoryview:
        """The bytes of a section; empty when it has none in the file."""
        if section.type == _SHT_NOBITS:
            return self.data[:0]
        return self.data[section.offset : section.offset + section.size]

    @property
    def build_id(self) -> str:
        """What the linker calls this build (NT_GNU_BUILD_ID), in hexadecimal; may be empty."""
        for note in (*self.notes, *_notes_of_sections(self.data, self.sections)):
            if note.owner == b"GNU" and note.type == _GNU_BUILD_ID:
                return note.descriptor.hex()
        return ""

    @property
    def loaded(self) -> tuple[Segment, ...]:
        """The segments that are loaded into memory."""
        return tuple(s for s in self.segments if s.type == "PT_LOAD" and s.memsz)

    @property
    def loaded_data(self) -> memoryview:
        """The file up to the end of what is loaded: without debug information behind it."""
        return self.data[: max((s.offset + s.filesz for s in self.loaded), default=0)]

    def address_of(self, offset: int) -> int | None:
        """The virtual address of a byte of the file, None when it is not loaded."""
        for segment in self.loaded:
            if segment.offset <= offset < segment.offset + segment.filesz:
                return segment.vaddr + offset - segment.offset
        return None


def _stream(data: memoryview) -> Any:
    """A view as a stream, without a copy of the whole."""
    return io.BufferedReader(_ViewStream(data), buffer_size=1 << 16)


class _ViewStream(io.RawIOBase):
    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._view[self._at : self._at + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        self._at = max(0, start + offset)
        return self._at


def _check_machine(machine: str | int, little_endian: bool) -> None:
    from elftools.elf.enums import ENUM_E_MACHINE

    number = machine if isinstance(machine, int) else ENUM_E_MACHINE[machine]
    if number not in (ElfMachine.X86_64, ElfMachine.I386) or not little_endian:
        raise WrongArchitecture(machine_name(number))


def _segments(elf: ELFFile, size: int) -> Iterator[Segment]:
    if elf.num_segments() > _MAX_SEGMENTS:
        raise KernelDamaged(f"the ELF header claims {elf.num_segments()} segments")
    for number in range(elf.num_segments()):
        header = elf._get_segment_header(number)  # the constructors of segments read ahead
        if header.p_type == "PT_LOAD" and header.p_offset + header.p_filesz > size:
            raise KernelDamaged(
                f"the ELF file is cut short: segment {number} ends at "
                f"{header.p_offset + header.p_filesz} and the file at {size}"
            )
        yield Segment(
            type=str(header.p_type),
            offset=header.p_offset,
            vaddr=header.p_vaddr,
            paddr=header.p_paddr,
            filesz=header.p_filesz,
            memsz=header.p_memsz,
            flags=header.p_flags,
        )


def _sections(elf: ELFFile, size: int) -> Iterator[Section]:
    """The sections that lie in the file. A kernel boots without them, so broken ones are left."""
    count = elf.num_sections()
    if count > _MAX_SECTIONS:
        raise KernelDamaged(f"the ELF header claims {count} sections")
    for number in range(count):
        header = elf._get_section_header(number)
        nobits = header.sh_type == _SHT_NOBITS
        if not nobits and header.sh_offset + header.sh_size > size:
            raise KernelDamaged(f"the ELF file is cut short: section {number} ends outside it")
        yield Section(
            name=_section_name(elf, header),
            type=str(header.sh_type),
            flags=header.sh_flags,
            address=header.sh_addr,
            offset=header.sh_offset,
            size=header.sh_size,
            link=header.sh_link,
        )


def _section_name(elf: Any, header: Any) -> str:
    """A section's name, read here because pyelftools would look for its end in the whole file."""
    table = elf._get_section_header(elf.get_shstrndx())
    elf.stream.seek(table.sh_offset + header.sh_name)
    name: bytes = elf.stream.read(_MAX_SECTION_NAME)
    return name.partition(b"\0")[0].decode("latin-1")


def notes_in(
    data: memoryview, segments: tuple[Segment, ...], sections: tuple[Section, ...]
) -> Iterator[Note]:
    """Every note, by program headers where there are any (as boot loaders do), else sections."""
    places = [(s.offset, s.filesz) for s in segments if s.type == "PT_NOTE"]
    places = places or [(s.offset, s.size) for s in sections if s.type == "SHT_NOTE"]
    for offset, size in places[:_MAX_NOTE_PLACES]:
        yield from _parse_notes(data[offset : offset + min(size, _MAX_NOTE_BYTES)])


def _notes_of_sections(data: memoryview, sections: tuple[Section, ...]) -> Iterator[Note]:
    """Also those that no program header names, or whose bytes a partial file has elsewhere."""
    return notes_in(data, (), sections)


def _parse_notes(data: memoryview) -> Iterator[Note]:
    at = 0
    for _ in range(_MAX_NOTES):
        if at + structs.NOTE_HEADER.size > len(data):
            return
        name_size, size, kind = structs.NOTE_HEADER.unpack_from(data, at)
        name_at = at + structs.NOTE_HEADER.size
        descriptor_at = name_at + _align4(name_size)
        if descriptor_at + size > len(data):
            return
        owner = bytes(data[name_at : name_at + name_size]).rstrip(b"\0")
        yield Note(owner, kind, bytes(data[descriptor_at : descriptor_at + size]))
        at = descriptor_at + _align4(size)


def _align4(value: int) -> int:
    return value + 3 & ~3
