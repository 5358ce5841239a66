"""The symbol table of an ELF kernel, with the type letters that nm prints.

pyelftools takes 3 s for the 150,000 symbols of a big kernel; this takes 0.3 s.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final

from timehands.errors import KernelDamaged
from timehands.kernels import structs
from timehands.kernels.elf import ElfImage, Section
from timehands.kernels.enums import SymbolSource
from timehands.kernels.symbols import SymbolTable

_MAX_SYMBOLS: Final = 1_000_000
_MAX_STRINGS: Final = 64 << 20
_MAX_NAME: Final = 4096
_MAX_TEXT: Final = 64 << 20
_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC = 1, 2, 4
_STT_SECTION, _STT_FILE, _STT_IFUNC = 3, 4, 10
_STB_LOCAL, _STB_WEAK, _STB_UNIQUE = 0, 2, 10
_STT_OBJECT: Final = 1
_SHN_UNDEF, _SHN_ABS, _SHN_COMMON = 0, 0xFFF1, 0xFFF2
_SHT_NOBITS: Final = "SHT_NOBITS"


def read_symtab(elf: ElfImage) -> SymbolTable | None:
    """The symbols of ``.symtab``, typed as nm types them; None when there is none.

    Raises:
        KernelDamaged: the table claims more symbols than a kernel can have.
    """
    found = _table(elf)
    return _collect(*found, _section_letters(elf.sections)) if found else None


def read_sizes(elf: ElfImage) -> dict[str, int]:
    """The sizes of variables in bytes by name; of several of one name that of the first.

    Raises:
        KernelDamaged: as for ``read_symtab``.
    """
    found: dict[str, int] = {}
    records, strings = _table(elf) or (iter(()), b"")
    for name_at, info, _other, _index, _value, size in records:
        if info & 0xF == _STT_OBJECT and size:
            end = strings.find(b"\0", name_at, name_at + _MAX_NAME)
            name = strings[name_at : max(name_at, end)].decode("utf-8", "replace")
            found.setdefault(name, size)
    return found


def _table(elf: ElfImage) -> tuple[Iterator[tuple[Any, ...]], bytes] | None:
    """The records of the symbol table, as in a 64-bit kernel, and the names they point to."""
    section = next((s for s in elf.sections if s.type == "SHT_SYMTAB" and s.size), None)
    if section is None or section.link >= len(elf.sections):
        return None
    layout = structs.ELF64_SYM if elf.bits == 64 else structs.ELF32_SYM
    table = elf.contents(section)
    count = len(table) // layout.size
    if count > _MAX_SYMBOLS:
        raise KernelDamaged(f"the ELF symbol table claims {count} symbols")
    records = layout.iter_unpack(table[: count * layout.size])
    if elf.bits == 32:
        records = ((n, i, o, x, v, s) for n, v, s, i, o, x in records)
    if elf.sections[section.link].size > _MAX_STRINGS:
        raise KernelDamaged("the ELF symbol names take more than 64 MiB")
    return records, bytes(elf.contents(elf.sections[section.link]))


def _collect(
    records: Iterator[tuple[Any, ...]], strings: bytes, letters: list[str]
) -> SymbolTable | None:
    addresses, types, names = array("Q"), bytearray(), list[bytes]()
    text = 0
    for name_at, info, _other, index, value, _size in records:
        if not name_at or index == _SHN_UNDEF or info & 0xF in (_STT_SECTION, _STT_FILE):
            continue
        name_end = strings.find(b"\0", name_at, name_at + _MAX_NAME)
        name = strings[name_at : max(name_at, name_end)]
        if not name or b"\n" in name:
            continue
        addresses.append(value)
        types.append(_letter(info, index, letters))
        names.append(name)
        text += len(name)
        if text > _MAX_TEXT:
            raise KernelDamaged("the ELF symbol names expand past 64 MiB")
    return _by_address(addresses, types, names) if names else None


def _by_address(addresses: array[int], types: bytearray, names: list[bytes]) -> SymbolTable:
    order = sorted(range(len(names)), key=addresses.__getitem__)
    return SymbolTable(
        array("Q", map(addresses.__getitem__, order)),
        bytes(map(types.__getitem__, order)),
        list(map(names.__getitem__, order)),
        SymbolSource.ELF,
    )


def _section_letters(sections: tuple[Section, ...]) -> list[str]:
    """nm's letter for a symbol in each section (binutils: bfd/syms.c, ``decode_section_type``)."""
    return [_section_letter(section) for section in sections]


def _section_letter(section: Section) -> str:
    if section.flags & _SHF_EXEC:
        return "t"
    if not section.flags & _SHF_ALLOC:
        return "n"
    if section.type == _SHT_NOBITS:
        return "b"
    return "d" if section.flags & _SHF_WRITE else "r"


def _letter(info: int, index: int, letters: list[str]) -> int:
    kind, binding = info & 0xF, info >> 4
    if binding == _STB_WEAK:
        return ord("V" if kind == _STT_OBJECT else "W")
    if kind == _STT_IFUNC:
        return ord("i")
    if binding == _STB_UNIQUE:
        return ord("u")
    if index == _SHN_COMMON:
        return ord("C")
    letter = letters[index] if index < len(letters) else "a" if index == _SHN_ABS else "?"
    return ord(letter if binding == _STB_LOCAL else letter.upper())
