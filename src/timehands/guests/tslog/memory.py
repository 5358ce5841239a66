"""The log in a guest's memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from timehands.errors import KernelDamaged
from timehands.guests.tslog.log import MOST_RECORDS, Record, Tslog, What
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import MAX_READ, PAGE, Memory, Unreadable, need
from timehands.kernels.types import Array, Struct

_LONGEST: Final = 256
_PIECE: Final = 64
_PF_W: Final = 2
#: A boot's strings lie in some hundreds of pages, most of them in the kernel file.
_MOST_PAGES: Final = 8192
_WHAT: Final = {int(what): what for what in What}


@dataclass(frozen=True, slots=True)
class Layout:
    """struct timestamp: its size and where its members are, in bytes."""

    size: int
    td: int
    type: int
    f: int
    s: int
    tsc: int
    td_size: int = 8

    def reader(self) -> struct.Struct:
        """What reads one record; `order` tells the members in it."""
        form, at = "<", 0
        for offset, size, code in sorted(self._members()):
            form += f"{offset - at}x{code}"
            at = offset + size
        return struct.Struct(f"{form}{self.size - at}x")

    def order(self) -> tuple[int, int, int, int, int]:
        """Where td, type, f, s and tsc come among what `reader` gives."""
        offsets = sorted(offset for offset, _, _ in self._members())
        td, kind, name, detail, tsc = (offsets.index(offset) for offset, _, _ in self._members())
        return td, kind, name, detail, tsc

    def _members(self) -> list[tuple[int, int, str]]:
        td = (self.td, self.td_size, "Q" if self.td_size == 8 else "i")
        words = [(offset, 8, "Q") for offset in (self.f, self.s, self.tsc)]
        return [td, (self.type, 4, "i"), *words]


_POINTERS: Final = Layout(size=40, td=0, type=8, f=16, s=24, tsc=32)
_NUMBERS: Final = Layout(size=32, td=0, type=4, f=8, s=16, tsc=24, td_size=4)


def read_tslog(kernel: Kernel, memory: Memory) -> Tslog | None:
    """The log in a guest's memory. Pure: it may be run several times.

    None when the kernel has no TSLOG (no symbols ``nrecs`` and ``timestamps``), or its memory
    cannot be read. A log that has no records yet is empty.
    """
    place = _variables(kernel)
    if place is None:
        return None
    counter, table = place
    layout, room = layout_of(kernel)
    try:
        written = int.from_bytes(memory.read(counter, 8), "little", signed=True)
        count = max(0, min(written, room, MOST_RECORDS))
        data = _table(memory, table, count * layout.size)
    except Unreadable:
        return None
    rows = list(layout.reader().iter_unpack(data))
    return _decode(rows, layout, max(0, written), _Strings(kernel, memory))


def _variables(kernel: Kernel) -> tuple[int, int] | None:
    """Where ``nrecs`` and ``timestamps`` are: of several of a name the two nearest."""
    pairs = [
        (abs(counter - table), counter, table)
        for counter in kernel.symbols.lookup("nrecs")[:8]
        for table in kernel.symbols.lookup("timestamps")[:8]
    ]
    return min(pairs)[1:] if pairs else None


def layout_of(kernel: Kernel) -> tuple[Layout, int]:
    """The layout of a record in this kernel, and for how many there is room.

    By DWARF where there is any; else by the system, and by the symbol's size.
    """
    told = _from_types(kernel)
    if told is not None:
        return told
    layout = _NUMBERS if kernel.os == "netbsd" else _POINTERS
    size = kernel.symbol_sizes.get("timestamps", 0)
    return layout, size // layout.size or MOST_RECORDS


def _from_types(kernel: Kernel) -> tuple[Layout, int] | None:
    try:
        variable = kernel.dwarf.variable("timestamps") if kernel.dwarf else None
        table = variable.type if variable else None
        record = table.element if isinstance(table, Array) else None
        if not isinstance(table, Array) or not isinstance(record, Struct):
            return None
        members = {member.name: member for member in record.members}
        td = members.get("td") or members["lid"]
        offsets = {name: members[name].offset for name in ("type", "f", "s", "tsc")}
        layout = Layout(record.size, td.offset, td_size=td.type.size, **offsets)
        return (layout, table.count or 0) if _sensible(layout) else None
    except (KernelDamaged, KeyError):
        return None


def _sensible(layout: Layout) -> bool:
    """Whether the members follow each other within the record."""
    spans = sorted(layout._members())
    ends = [0, *(offset + size for offset, size, _ in spans)]
    apart = all(span[0] >= end for span, end in zip(spans, ends, strict=False))
    return apart and layout.td_size in (4, 8) and ends[-1] <= layout.size <= 256


def _table(memory: Memory, start: int, size: int) -> bytes:
    pieces = [(at, min(MAX_READ, start + size - at)) for at in range(start, start + size, MAX_READ)]
    need(memory, pieces)
    return b"".join(memory.read(at, length) for at, length in pieces)


def _decode(rows: list[tuple[int, ...]], layout: Layout, written: int, strings: _Strings) -> Tslog:
    td, kind, name, detail, tsc = layout.order()
    good = [row for row in rows if row[kind] in _WHAT and row[name]]
    told: dict[int, str | None] = dict.fromkeys(p for row in good for p in (row[name], row[detail]))
    told.pop(0, None)
    strings.need(told)
    for pointer in told:
        told[pointer] = strings.at(pointer)
    threads = 1 << 8 * layout.td_size
    records = tuple(
        Record(
            row[td] % threads,
            _WHAT[row[kind]],
            row[tsc],
            told[row[name]] or "",
            told[row[detail]] if row[detail] else None,
        )
        for row in good
    )
    return Tslog(records, written, len(rows) - len(good))


class _Strings:
    """C strings by pointer: those that cannot change are read from the kernel file.

    Of those in the guest's memory so many are read as lie in `_MOST_PAGES`; of others the pointer
    is told.
    """

    def __init__(self, kernel: Kernel, memory: Memory) -> None:
        self._file = kernel.file_memory
        self._memory = memory
        self._fixed = [
            (s.vaddr, s.filesz) for s in kernel.elf_headers.loaded if not s.flags & _PF_W
        ]
        self._pages: set[int] = set()

    def need(self, pointers: Iterable[int]) -> None:
        """Have these strings fetched together."""
        pieces = []
        for pointer in pointers:
            if len(self._pages) < _MOST_PAGES and not self._is_fixed(pointer):
                self._pages.add(pointer // PAGE)
            if pointer // PAGE in self._pages:
                pieces.append((pointer, _LONGEST))
        need(self._memory, pieces)

    def _is_fixed(self, pointer: int) -> bool:
        return any(0 <= pointer - start < size for start, size in self._fixed)

    def at(self, pointer: int) -> str:
        """The string, on one line and without blanks at its ends; the pointer when it has none."""
        raw = self._bytes(self._file, pointer) if self._is_fixed(pointer) else None
        if raw is None and pointer // PAGE in self._pages:
            raw = self._bytes(self._memory, pointer)
        text = (raw or b"").decode("utf-8", errors="replace")
        if not text.isprintable():
            text = "".join(c if c.isprintable() else "?" for c in text)
        return text.strip() or f"{pointer:#x}"

    @staticmethod
    def _bytes(memory: Memory, pointer: int) -> bytes | None:
        """Up to 256 bytes before the first zero; None: they cannot be read."""
        found, at, piece = b"", pointer, _PIECE
        while len(found) < _LONGEST:
            length = piece - at % piece
            try:
                head, zero, _ = memory.read(at, length).partition(b"\0")
            except Unreadable:
                if length == 1:
                    return found or None
                piece = 1  # the end of what can be read may be near
                continue
            found += head
            if zero:
                break
            at += length
        return found[:_LONGEST]
