"""A kernel's symbols, compact: 190,000 of them take about 6 MB.

Addresses are an array of 64-bit numbers in ascending order; names are one block of bytes, in the
same order. Nothing is kept per symbol until someone asks for names by pattern or likeness.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

from timehands.errors import KernelDamaged
from timehands.kernels.enums import SymbolSource

# magic, crc32 of the rest, symbols, bytes of names, source
_FILE_HEADER: Final = struct.Struct("<8sIQQ8s")
_FILE_MAGIC: Final = b"THsyms\x00\x01"
_LIKENESS_CANDIDATES: Final = 3000
#: So many names are looked for in the text, each in 1 ms of a big kernel; an index takes 30 ms.
_FEW: Final = 20


class Symbol(NamedTuple):
    """One symbol: virtual address, nm's type letter, name."""

    address: int
    type: str
    name: str


class Place(NamedTuple):
    """Where an address lies: ``name+offset``. ``size`` is that of the symbol in bytes, 0 when no
    symbol follows it."""

    name: str
    offset: int
    size: int


class SymbolTable:
    """Symbols by address and by name.

    Args:
        addresses: ascending; kept, not copied.
        types: one letter each.
        names: one each; no name holds a newline.
        source: where they were read from.

    Raises:
        ValueError: the three are not of one length.
    """

    def __init__(
        self,
        addresses: array[int],
        types: bytes,
        names: Sequence[bytes],
        source: SymbolSource | None = None,
    ) -> None:
        if not len(addresses) == len(types) == len(names):
            raise ValueError("a symbol table needs as many addresses as types and names")
        self._addresses = addresses
        self._types = types
        self._text = b"\n" + b"\n".join(names) + b"\n"
        self._spans: tuple[tuple[int, int], ...] = ()
        self._asked = 0
        self.source = source

    @classmethod
    def empty(cls) -> SymbolTable:
        """The table of a kernel that has no symbols."""
        return cls(array("Q"), b"", [])

    def within(self, spans: Iterable[tuple[int, int]]) -> SymbolTable:
        """This table, for a kernel that occupies these (start, end) ranges of memory: ``find``
        answers only within them."""
        self._spans = tuple(spans)
        return self

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Symbol]:
        names = self._text[1:-1].decode("latin-1").split("\n")
        return map(Symbol, self._addresses, self._types.decode("latin-1"), names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._text.find(_needle(name)) >= 0

    def __repr__(self) -> str:
        return f"<SymbolTable: {len(self):,} symbols>"

    @cached_property
    def _starts(self) -> array[int]:
        """Where each name begins in the text."""
        lengths = map(len, self._text[1:-1].split(b"\n"))
        return array("I", accumulate((length + 1 for length in lengths), initial=1))

    def _name(self, index: int) -> str:
        return self._text[self._starts[index] : self._starts[index + 1] - 1].decode("latin-1")

    def lookup(self, name: str) -> tuple[int, ...]:
        """Every address that bears a name, ascending; empty when none does.

        Kernels have static functions of the same name in several files, so there may be many.
        """
        return tuple(self._addresses[index] for index in self._indices(name))

    def _indices(self, name: str) -> Iterator[int]:
        self._asked += 1
        if self._asked > _FEW:
            first, others = self._index
            key = name.encode("utf-8", "replace")
            if key in first:
                yield first[key]
                yield from others.get(key, ())
            return
        needle = _needle(name)
        at = self._text.find(needle)
        while at >= 0:
            yield bisect_left(self._starts, at + 1)
            at = self._text.find(needle, at + 1)

    @cached_property
    def _index(self) -> tuple[dict[bytes, int], dict[bytes, list[int]]]:
        """Where each name is first, and where else those are that several symbols bear."""
        names = self._text[1:-1].split(b"\n") if len(self) else []
        first = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        others: dict[bytes, list[int]] = {}
        if len(first) < len(names):
            for index, name in enumerate(names):
                if first[name] != index:
                    others.setdefault(name, []).append(index)
        return first, others

    def symbols(self, name: str) -> tuple[Symbol, ...]:
        """Every symbol that bears a name, with its type, by ascending address."""
        return tuple(
            Symbol(self._addresses[i], chr(self._types[i]), name) for i in self._indices(name)
        )

    def find(self, address: int) -> Place | None:
        """The symbol that covers an address, or None outside the kernel.

        Of several symbols at one address the first is named, as the kernel itself does
        (kernel/kallsyms.c, ``get_symbol_pos``). The last symbol covers its own address only.
        """
        if self._spans and not any(start <= address < end for start, end in self._spans):
            return None
        after = bisect_right(self._addresses, address)
        if not after:
            return None
        base = self._addresses[after - 1]
        size = self._addresses[after] - base if after < len(self) else 0
        if not size and address != base:
            return None
        return Place(self._name(bisect_left(self._addresses, base)), address - base, size)

    def size_of(self, address: int) -> int:
        """Bytes from a symbol's address to the next symbol's; 0 when none follows."""
        after = bisect_right(self._addresses, address)
        return self._addresses[after] - address if after < len(self) else 0

    def variants(self, name: str) -> tuple[Symbol, ...]:
        """The parts that a compiler split off a function: ``name.cold``, ``name.part.0``."""
        needle = b"\n" + name.encode("utf-8", "replace") + b"."
        found: list[Symbol] = []
        at = self._text.find(needle)
        while at >= 0:
            index = bisect_left(self._starts, at + 1)
            found.append(Symbol(self._addresses[index], chr(self._types[index]), self._name(index)))
            at = self._text.find(needle, at + 1)
        return tuple(found)

    def match(self, pattern: str) -> list[Symbol]:
        """The symbols whose names fit a shell pattern, such as ``pvclock_*``, by address."""
        fits = re.compile(fnmatch.translate(pattern)).match
        return [symbol for symbol in self if fits(symbol.name)]

    def present(self, names: Iterable[str], suffix: re.Pattern[bytes] | None = None) -> set[str]:
        """Those of the names that some symbol bears.

        Args:
            names: what to look for; asking for many at once is cheap.
            suffix: what may stand behind a name in the table, such as a compiler's ``.isra.0``.
        """
        asked = {name.encode("utf-8", "replace"): name for name in names}
        there = self._text.split(b"\n")
        found = set(asked).intersection(there)
        if suffix:
            dotted = (suffix.sub(b"", name) for name in there if b"." in name)
            found |= set(asked).intersection(dotted)
        return {asked[name] for name in found}

    def nearest(self, name: str, count: int = 3) -> list[str]:
        """Names like one that is not there, best first: for messages that suggest a correction."""
        candidates = sorted(self._candidates(name), key=lambda one: abs(len(one) - len(name)))
        return difflib.get_close_matches(name, candidates[:_LIKENESS_CANDIDATES], n=count)

    def _candidates(self, name: str) -> set[str]:
        """Names that share a beginning, an ending, or a longer word with this one."""
        words = [word for word in name.split("_") if len(word) > 3] or [name]
        parts = [re.escape(word) for word in words]
        parts += ["^" + re.escape(name[:4]), re.escape(name[-4:]) + "$"] if len(name) > 4 else []
        fits = re.compile("|".join(parts), re.IGNORECASE).search
        return {text for text in self._text[1:-1].decode("latin-1").split("\n") if fits(text)}

    def to_bytes(self) -> bytes:
        """The table in a form that ``from_bytes`` reads back."""
        body = self._addresses.tobytes() + self._types + self._text
        source = self.source.value.encode() if self.source else b""
        sizes = len(self), len(self._text)
        return _FILE_HEADER.pack(_FILE_MAGIC, zlib.crc32(body), *sizes, source) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> SymbolTable:
        """Read what ``to_bytes`` wrote.

        Raises:
            KernelDamaged: it is of another version, truncated, or altered.
        """
        if len(data) < _FILE_HEADER.size:
            raise KernelDamaged("the stored symbol table is cut short")
        magic, checksum, count, text_size, source = _FILE_HEADER.unpack_from(data)
        body = memoryview(data)[_FILE_HEADER.size :]
        if magic != _FILE_MAGIC or len(body) != 9 * count + text_size:
            raise KernelDamaged("the stored symbol table is of another version")
        if zlib.crc32(body) != checksum:
            raise KernelDamaged("the stored symbol table is damaged")
        table = cls.empty()
        name = source.rstrip(b"\0").decode("latin-1")
        table.source = next((one for one in SymbolSource if one.value == name), None)
        table._addresses.frombytes(body[: 8 * count])
        table._types = bytes(body[8 * count : 9 * count])
        table._text = bytes(body[9 * count :])
        return table


def _needle(name: str) -> bytes:
    return b"\n" + name.encode("utf-8", "replace") + b"\n"
