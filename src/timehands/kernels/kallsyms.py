"""Linux's own symbol table, read from the unpacked kernel.

``kallsyms_find`` finds the tables; here their names are expanded. Source of facts: Linux
kernel/kallsyms.c (``kallsyms_expand_symbol``, ``kallsyms_get_symbol_type``).
"""

from __future__ import annotations

from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.elf import ElfImage
from timehands.kernels.enums import SymbolSource
from timehands.kernels.kallsyms_find import KallsymsTables, find_tables
from timehands.kernels.symbols import SymbolTable

_MAX_TEXT: Final = 64 << 20


def read_kallsyms(elf: ElfImage) -> SymbolTable | None:
    """The symbols of an unpacked Linux kernel, those that its ``/proc/kallsyms`` shows; None when
    it has no kallsyms.

    Raises:
        KernelDamaged: the tables were found, but their names make no sense.
    """
    tables = find_tables(elf)
    return decode(elf.data, tables) if tables else None


def decode(data: memoryview, tables: KallsymsTables) -> SymbolTable:
    """Expand every name.

    Raises:
        KernelDamaged: a name is empty, or all names together are past 64 MiB.
    """
    records = _expand(data, tables).split(b"\n")[1:]
    if not all(records):
        raise KernelDamaged("kallsyms holds a symbol without a type")
    return SymbolTable(
        tables.addresses,
        bytes([record[0] for record in records]),
        [record[1:] for record in records],
        SymbolSource.KALLSYMS,
    )


def _expand(data: memoryview, tables: KallsymsTables) -> bytes:
    """All names, each after a newline and its type letter.

    Every byte of the stream is replaced by its token at once; then the few that are lengths, not
    tokens, are put right. This is many times faster than going name by name.
    """
    names, tokens = tables.names, tables.tokens.tokens
    stream = bytes(data[names.start : names.end])
    _check_size(stream, tokens)
    # as text, because joining bytes takes 80 bytes of memory for each piece
    pieces = list(map([token.decode("latin-1") for token in tokens].__getitem__, stream))
    for at in names.positions:
        pieces[at] = "\n"
        if stream[at] & 0x80:
            pieces[at + 1] = ""
    return "".join(pieces).encode("latin-1")


def _check_size(stream: bytes, tokens: tuple[bytes, ...]) -> None:
    lengths = [len(token) for token in tokens]
    if len(stream) * max(lengths) > _MAX_TEXT and sum(map(lengths.__getitem__, stream)) > _MAX_TEXT:
        raise KernelDamaged(f"kallsyms names expand past {_MAX_TEXT >> 20} MiB")
