"""Callers by DWARF's call frame information: .debug_frame, .eh_frame.

The section is gone through once, entry by entry, to learn where each function's entry is (a kernel
has some 20,000: 15 ms); pyelftools reads the one that is needed.

Sources: DWARF 5, sections 6.4 and 7.24; Linux Standard Base, core, 10.6 (.eh_frame); System V ABI
for x86-64, figure 3.36 (register numbers).
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from timehands.kernels.elf import ElfImage, Section
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.kernels.unwind.frames import TOP, Caller, Cursor, End, How, returned_to
from timehands.kernels.unwind.image import Image, read_word

_REGISTERS: Final = (
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip
_RETURN: Final = 16
#: What a function must give back as it found it, where nothing else is said.
_PRESERVED: Final = ("rbx", "rbp", "r12", "r13", "r14", "r15")
_DEBUG_CIE: Final = 0xFFFF_FFFF
_LONG: Final = 0xFFFF_FFFF
_MAX_ENTRIES: Final = 1_000_000
#: The largest entry that is read, in bytes: the largest in a FreeBSD kernel has 252.
_MAX_ENTRY: Final = 16_384
_HEADER: Final = struct.Struct("<II")
_SPAN: Final = struct.Struct("<QQ")
# DW_EH_PE_*: the low half is the format, the high half what it is relative to
_PCREL: Final = 0x10
_FORMATS: Final = {
    0x00: "<Q",
    0x02: "<H",
    0x03: "<I",
    0x04: "<Q",
    0x0A: "<h",
    0x0B: "<i",
    0x0C: "<q",
}


class Cfi:
    """The call frame information of one kernel; ``usable`` False: it has none."""

    def __init__(self, kernel: Kernel) -> None:
        files: list[tuple[ElfImage, Callable[[], ElfImage]]] = []
        if kernel.facts.bits == 64:
            files.append((kernel.elf_headers, lambda: kernel.elf))
            other = kernel.debug_elf if kernel.debug_file else None
            if other is not None:
                files.append((other, lambda: other))
        self._tables = [
            _Table(elf, section)
            for headers, elf in files
            for section in headers.sections
            if section.name in (".debug_frame", ".eh_frame") and section.type != "SHT_NOBITS"
        ]

    @property
    def usable(self) -> bool:
        """Whether there is any."""
        return any(table.spans for table in self._tables)

    def row(self, address: int) -> dict[Any, Any] | None:
        """The rules (pyelftools' "line") at an address as linked; None: it is not covered."""
        return next((row for table in self._tables if (row := table.row(address))), None)

    def caller(self, image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
        """The caller; None: this function is not covered. Raises `End` and `Unreadable`."""
        row = self.row(image.linked(cursor.lookup))
        if row is None:
            return None
        cfa = _cfa(row["cfa"], cursor.registers)
        if cfa is None:
            return None
        kept = {name: cursor.registers.get(name) for name in _PRESERVED}
        for number, rule in row.items():
            if isinstance(number, int) and number < _RETURN:
                kept[_REGISTERS[number]] = _value(rule, number, cfa, cursor.registers, memory)
        kept.pop("rsp", None)
        rule = row.get(_RETURN)
        if rule is None or rule.type == "UNDEFINED":
            raise End("the call frame information says that nothing called this")
        rip = _value(rule, _RETURN, cfa, cursor.registers, memory)
        return None if rip is None else returned_to(rip, cfa, How.CFI, kept)


def _cfa(rule: Any, registers: Mapping[str, int]) -> int | None:
    """The frame's address; None for what is not understood: an expression, a lost register."""
    if rule.reg is None or not 0 <= rule.reg < len(_REGISTERS):
        return None
    base = registers.get(_REGISTERS[rule.reg])
    return None if base is None else (base + rule.offset) % TOP


def _value(
    rule: Any, number: int, cfa: int, registers: Mapping[str, int], memory: Memory
) -> int | None:
    """The caller's register by its rule; None: it is lost."""
    if rule.type == "OFFSET":
        if cfa + rule.arg < registers["rsp"]:  # taken back already: compilers do not say so
            return registers.get(_REGISTERS[number])
        return read_word(memory, cfa + rule.arg)
    if rule.type == "VAL_OFFSET":
        return int(cfa + rule.arg) % TOP
    if rule.type == "SAME_VALUE":
        return registers.get(_REGISTERS[number])
    if rule.type == "REGISTER" and 0 <= rule.arg < len(_REGISTERS):
        return registers.get(_REGISTERS[rule.arg])
    return None


class _Table:
    """One section, with an index of its entries that was made without reading them."""

    def __init__(self, elf: Callable[[], ElfImage], section: Section) -> None:
        self._elf = elf
        self._section = section
        self._exception = section.name == ".eh_frame"
        self._rows: dict[int, list[dict[Any, Any]]] = {}

    @cached_property
    def _data(self) -> bytes:
        return bytes(self._elf().contents(self._section))

    @cached_property
    def spans(self) -> list[tuple[int, int, int]]:
        """Each covered function: start, end, where its entry is; by start."""
        return sorted(self._entries())

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        data, at, encodings = self._data, 0, dict[int, int]()
        for _ in range(_MAX_ENTRIES):
            if at + _HEADER.size > len(data):
                return
            length, identity = _HEADER.unpack_from(data, at)
            if length in (0, _LONG) or at + 4 + length > len(data):
                return
            if identity == (0 if self._exception else _DEBUG_CIE):
                encodings[at] = self._encoding(at, length)
            elif length <= _MAX_ENTRY:
                cie = at + 4 - identity if self._exception else identity
                span = self._span(at + 8, encodings.get(cie, 0))
                if span and cie in encodings:
                    yield *span, at
            at += 4 + length

    def _encoding(self, at: int, length: int) -> int:
        """How addresses are written by the entries of a CIE (DW_EH_PE_*; 0: as they are)."""
        version, rest = self._data[at + 8], self._data[at + 9 : at + 4 + min(length, _MAX_ENTRY)]
        letters, _, rest = rest.partition(b"\0")
        if not letters.startswith(b"z") or b"R" not in letters:
            return 0
        # code alignment, data alignment, return register (a byte in version 1), length of the rest
        places = 1 if version == 1 else 3
        rest = _skip_numbers(rest, 2)[1:] if places == 1 else _skip_numbers(rest, 3)
        rest = _skip_numbers(rest, 1)
        for letter in letters[1:].decode("latin-1"):
            if letter == "R":
                return rest[0] if rest else 0
            if letter == "P":
                size = struct.calcsize(_FORMATS.get(rest[0] & 0xF, "<Q")) if rest else 0
                rest = rest[1 + size :]
            elif letter == "L":
                rest = rest[1:]
        return 0

    def _span(self, at: int, encoding: int) -> tuple[int, int] | None:
        layout = _FORMATS.get(encoding & 0xF)
        if layout is None or encoding & 0x70 not in (0, _PCREL):
            return None
        size = struct.calcsize(layout)
        if at + 2 * size > len(self._data):
            return None
        start = struct.unpack_from(layout, self._data, at)[0]
        count = struct.unpack_from(
            layout.upper() if layout[1] in "hiq" else layout, self._data, at + size
        )[0]
        if encoding & _PCREL:
            start += self._section.address + at
        start %= TOP
        return (start, start + count) if start else None

    def row(self, address: int) -> dict[Any, Any] | None:
        """The rules at an address, or None."""
        index = bisect_right(self.spans, (address, TOP, 0)) - 1
        if index < 0 or not address < self.spans[index][1]:
            return None
        rows = self._decoded(self.spans[index][2])
        found = bisect_right([row["pc"] for row in rows], address) - 1
        return rows[found] if found >= 0 else None

    def _decoded(self, at: int) -> list[dict[Any, Any]]:
        """The rules of the entry at an offset, by address; empty when they make no sense."""
        if at not in self._rows:
            try:
                entry = self._frames._parse_entry_at(at)
                rows = list(entry.get_decoded().table)
            except (MemoryError, RecursionError):
                raise
            except Exception:  # a broken entry: pyelftools promises no closed set of errors
                rows = []
            self._rows[at] = sorted(rows, key=lambda row: int(row["pc"]))
        return self._rows[at]

    @cached_property
    def _frames(self) -> Any:
        from elftools.dwarf.callframe import CallFrameInfo
        from elftools.dwarf.structs import DWARFStructs

        return CallFrameInfo(
            stream=io.BytesIO(self._data),
            size=len(self._data),
            address=self._section.address,
            base_structs=DWARFStructs(little_endian=True, dwarf_format=32, address_size=8),
            for_eh_frame=self._exception,
        )


def _skip_numbers(data: bytes, count: int) -> bytes:
    """What follows some LEB128 numbers."""
    at = 0
    for _ in range(count):
        while at < len(data) and data[at] & 0x80:
            at += 1
        at += 1
    return data[at:]
