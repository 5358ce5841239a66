"""A kernel's symbols as an ELF file that other debuggers read.

A packed kernel (bzImage) has its names in kallsyms, where only the kernel itself and Timehands find
them. Written as an ELF symbol table, gdb can load them: one section without contents for each
range of memory, so that code is known as code.

Layouts: ELF-64 Object File Format, version 1.5 (Elf64_Ehdr, Elf64_Shdr, Elf64_Sym).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final

from timehands.kernels.kernel import Kernel

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_IDENT: Final = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_ET_EXEC, _EM_X86_64 = 2, 62
_SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS = 2, 3, 8
_ALLOC, _WRITE, _EXEC = 2, 1, 4
_PF_X: Final = 1
_OBJECT, _FUNC, _GLOBAL = 1, 2, 1 << 4
_ABSOLUTE: Final = 0xFFF1
_CODE: Final = "tTwWiI"
_MAX_SPANS: Final = 64
_SECTION_NAMES: Final = b".text\0.data\0.symtab\0.strtab\0"


def symbol_file(kernel: Kernel) -> bytes:
    """An ELF file with the kernel's symbols, where it was linked to run, and nothing else."""
    spans = sorted((s.vaddr, s.memsz, s.flags & _PF_X) for s in kernel.elf_headers.loaded)
    spans = spans[:_MAX_SPANS]
    names, symbols = _symbols(kernel, [start for start, _, _ in spans])
    strings = names + _SECTION_NAMES
    at = _HEADER.size
    after = at + len(symbols)

    def named(name: bytes, *rest: int) -> bytes:
        return _SECTION.pack(len(names) + _SECTION_NAMES.index(name), *rest)

    rows = [bytes(_SECTION.size)]
    for start, size, code in spans:
        name, flags = (b".text", _ALLOC | _EXEC) if code else (b".data", _ALLOC | _WRITE)
        rows.append(named(name, _SHT_NOBITS, flags, start, at, size, 0, 0, 1, 0))
    link = len(rows) + 1
    rows.append(named(b".symtab", _SHT_SYMTAB, 0, 0, at, len(symbols), link, 1, 8, _SYMBOL.size))
    rows.append(named(b".strtab", _SHT_STRTAB, 0, 0, after, len(strings), 0, 0, 1, 0))
    header = _HEADER.pack(
        _IDENT, _ET_EXEC, _EM_X86_64, 1, 0, 0, after + len(strings), 0,
        _HEADER.size, 0, 0, _SECTION.size, len(rows), link,
    )  # fmt: skip
    return b"".join([header, symbols, strings, *rows])


def _symbols(kernel: Kernel, starts: list[int]) -> tuple[bytes, bytes]:
    """The names, and the entries that refer to them; the first of each is empty."""
    names, entries = bytearray(b"\0"), bytearray(_SYMBOL.size)
    for symbol in kernel.symbols:
        kind = _FUNC if symbol.type in _CODE else _OBJECT
        section = bisect_right(starts, symbol.address)
        size = kernel.symbols.size_of(symbol.address) if kind == _FUNC else 0
        entries += _SYMBOL.pack(
            len(names), _GLOBAL | kind, 0, section or _ABSOLUTE, symbol.address, size
        )
        names += symbol.name.encode("utf-8", "replace") + b"\0"
    return bytes(names), bytes(entries)
