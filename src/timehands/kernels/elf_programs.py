"""An ELF kernel as a boot loader reads it: program headers and notes, and no sections.

`ElfImage.parse` reads everything, by pyelftools, which takes longer to be imported than a small VM
takes to be made. Here a plain file is read without it; whatever is not plain is left to it.
"""

from __future__ import annotations

from typing import Final

from timehands.kernels.elf import ElfImage, Segment, notes_in
from timehands.kernels.enums import ElfMachine
from timehands.kernels.structs import ELF32_HEAD, ELF32_PROGRAM, ELF64_HEAD, ELF64_PROGRAM

#: e_ident of what is read here: the magic, 64 or 32 bits, little endian.
_IDENTS: Final = {b"\x7fELF\x02\x01": 64, b"\x7fELF\x01\x01": 32}
_HEAD_AT: Final = 16
_HEADS: Final = {64: ELF64_HEAD, 32: ELF32_HEAD}
_MACHINES: Final = (ElfMachine.X86_64, ElfMachine.I386)
_MAX_PROGRAMS: Final = 512
_TYPES: Final = {1: "PT_LOAD", 4: "PT_NOTE"}


def parse_programs(data: memoryview) -> ElfImage:
    """As `ElfImage.parse`, where it can be without sections; those are then left out.

    ``Segment.type`` is a name for ``PT_LOAD`` and ``PT_NOTE`` alone. Raises what that raises, but
    not for sections that are broken.
    """
    return _plain(data) or ElfImage.parse(data)


def _plain(data: memoryview) -> ElfImage | None:
    """None: something is unusual, or wrong."""
    bits = _IDENTS.get(bytes(data[:6]))
    if bits is None or len(data) < _HEAD_AT + _HEADS[bits].size:
        return None
    _type, machine, _version, entry, start, _sections, _flags, _size, step, count, *_more = _HEADS[
        bits
    ].unpack_from(data, _HEAD_AT)
    whole = step == (ELF64_PROGRAM if bits == 64 else ELF32_PROGRAM).size
    if machine not in _MACHINES or not whole or count > _MAX_PROGRAMS:
        return None
    table = data[start : start + count * step]
    if len(table) < count * step:
        return None
    segments = tuple(_segments(table, bits))
    notes = any(segment.type == "PT_NOTE" for segment in segments)
    cut = any(s.type == "PT_LOAD" and s.offset + s.filesz > len(data) for s in segments)
    if cut or not notes:  # they may be in sections
        return None
    return ElfImage(data, bits, entry, segments, (), tuple(notes_in(data, segments, ())))


def _segments(table: memoryview, bits: int) -> list[Segment]:
    if bits == 64:
        return [
            Segment(_TYPES.get(kind, f"{kind:#x}"), offset, vaddr, paddr, filesz, memsz, flags)
            for kind, flags, offset, vaddr, paddr, filesz, memsz, _ in (
                ELF64_PROGRAM.iter_unpack(table)
            )
        ]
    return [
        Segment(_TYPES.get(kind, f"{kind:#x}"), offset, vaddr, paddr, filesz, memsz, flags)
        for kind, offset, vaddr, paddr, filesz, memsz, flags, _ in ELF32_PROGRAM.iter_unpack(table)
    ]
