"""Source lines and addresses, each from the other.

Only the line tables that are needed are read: those of the units whose source has the name asked
for, or whose code covers the address.

::

    lines = Lines(DwarfTypes(...))
    lines.addresses("local_apic.c", 547)    # Code(path=".../x86/x86/local_apic.c", line=548, ...)
    lines.place(0xffffffff805c9610)         # Source(path=".../kern/kern_tc.c", line=1184)
    lines.functions_of("pvclock.c")         # all functions that it defines
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from timehands.errors import KernelDamaged, SourceUnknown
from timehands.kernels.dwarf.lineprograms import Row, program_span
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.units import Unit
from timehands.kernels.types import FunctionInfo

_MAX_CANDIDATES: Final = 10
_MAX_PLACES: Final = 10_000


@dataclass(frozen=True)
class Source:
    """A line of a source file; ``path`` as the compiler knew it."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{PurePosixPath(self.path).name}:{self.line}"


@dataclass(frozen=True)
class Code:
    """The addresses where a source line's code begins, ascending.

    ``line`` is the one that has code: the one ``asked`` for, or the next after it.
    """

    path: str
    line: int
    asked: int
    addresses: tuple[int, ...]


class Lines:
    """The line tables of a kernel.

    Args:
        types: its DWARF.
    """

    def __init__(self, types: DwarfTypes) -> None:
        self._types = types
        self._search = types.search
        self._rows: dict[int, list[Row]] = {}
        self._by_address: dict[int, list[Row]] = {}

    # ---- from an address

    def place(self, address: int) -> Source | None:
        """The line that an address belongs to, of what was inlined there if anything was."""
        unit = self._search.unit_at(address)
        if unit is None:
            return None
        table = self._sorted(unit)
        index = bisect_right(table, address, key=lambda row: row.address) - 1
        if index < 0 or table[index].end:
            return None
        row = table[index]
        path = self._types.files(unit).get(row.file)
        return Source(path, row.line) if path else None

    def _sorted(self, unit: Unit) -> list[Row]:
        """Rows by address; where one sequence ends and another begins, the beginning counts."""
        if unit.offset not in self._by_address:
            rows = sorted(self._table(unit), key=lambda row: (row.address, not row.end))
            self._by_address[unit.offset] = rows
        return self._by_address[unit.offset]

    def _table(self, unit: Unit) -> list[Row]:
        if unit.offset not in self._rows:
            try:
                self._rows[unit.offset] = self._types.program(unit).rows()
            except KernelDamaged:
                self._rows[unit.offset] = []
        return self._rows[unit.offset]

    # ---- from a line

    def addresses(self, path: str, line: int) -> Code:
        """Where the code of a line begins; of the next line with code when it has none.

        Args:
            path: the file, or the end of its path: ``local_apic.c``, ``x86/local_apic.c``.
            line: from 1.

        Raises:
            SourceUnknown: no such file, more than one, or no code at or after the line.
        """
        found = self._rows_of(path)
        whole = self._only(path, found)
        rows = [row for row in found[whole] if row.statement and not row.end and row.line >= line]
        if not rows:
            raise SourceUnknown(f"{path} has no code at line {line} or after it")
        nearest = min(row.line for row in rows)
        places = sorted({row.address for row in rows if row.line == nearest and row.address})
        kept = self._beginnings(places)
        return Code(whole, nearest, line, tuple(kept[:_MAX_PLACES]))

    def _beginnings(self, places: list[int]) -> list[int]:
        """Of places that follow each other without another line between, the first."""
        kept: list[int] = []
        for place in places:
            if kept and self._same_run(kept[-1], place):
                continue
            kept.append(place)
        return kept

    def _same_run(self, first: int, second: int) -> bool:
        unit = self._search.unit_at(first)
        if unit is None or unit is not self._search.unit_at(second):
            return False
        table = self._sorted(unit)
        low = bisect_left(table, first, key=lambda row: row.address)
        high = bisect_left(table, second, key=lambda row: row.address)
        line = table[low].line if low < len(table) else 0
        return all(row.line == line and not row.end for row in table[low:high])

    def _rows_of(self, path: str) -> dict[str, list[Row]]:
        """The rows of each file whose path ends so, by its whole path."""
        found: dict[str, list[Row]] = {}
        for unit in self._units_naming(path):
            wanted = {
                index: whole
                for index, whole in self._types.files(unit).items()
                if _ends(whole, path)
            }
            for row in self._table(unit) if wanted else ():
                if row.file in wanted:
                    found.setdefault(wanted[row.file], []).append(row)
        return found

    def _only(self, path: str, found: Iterable[str]) -> str:
        paths = sorted(set(found))
        if len(paths) == 1:
            return paths[0]
        if path in paths:
            return path
        if paths:
            shown = tuple(paths[:_MAX_CANDIDATES])
            raise SourceUnknown(
                f"{path} may be any of {len(paths)} files",
                candidates=shown,
                advice="Give more of the path: " + ", ".join(shown),
            )
        near = get_close_matches(path, sorted({_base(one.name) for one in self._named_units}))
        raise SourceUnknown(
            f"no code of this kernel comes from {path}",
            candidates=tuple(near),
            advice=f"Perhaps {', '.join(near)}." if near else "",
        )

    def _units_naming(self, path: str) -> list[Unit]:
        """Units made from such a file; for a header, those whose line numbers name it."""
        units = [unit for unit in self._named_units if _ends(unit.name, path)]
        return units or self._units_mentioning(_base(path))

    @cached_property
    def _named_units(self) -> list[Unit]:
        named = []
        for unit in self._search.units:
            try:
                if unit.name:
                    named.append(unit)
            except KernelDamaged:
                continue
        return named

    def _units_mentioning(self, base: str) -> list[Unit]:
        """Units whose file table has a name: it stands in ``.debug_line``, or (DWARF 5) in
        ``.debug_line_str``, whose offset stands in ``.debug_line``."""
        sections, needle = self._search.sections, base.encode("utf-8", "replace") + b"\0"
        needles = [needle] + [
            at.to_bytes(4, "little") for at in _places(sections.line_str, needle, 64)
        ]
        starts = [start for start, _ in self._programs]
        found: dict[int, Unit] = {}
        for one in needles:
            for at in _places(sections.line, one, _MAX_PLACES):
                index = bisect_right(starts, at) - 1
                if index >= 0:
                    unit = self._programs[index][1]
                    found[unit.offset] = unit
        return list(found.values())

    @cached_property
    def _programs(self) -> list[tuple[int, Unit]]:
        """Where each unit's line program begins."""
        found = []
        for unit in self._search.units:
            try:
                span = program_span(unit)
            except KernelDamaged:
                continue
            if span:
                found.append((span[0], unit))
        return sorted(found, key=lambda one: one[0])

    # ---- functions of a file

    def functions_of(self, path: str) -> list[FunctionInfo]:
        """All functions with code of their own that a source file defines, by address.

        Args:
            path: as for `addresses`. For a header: its inline functions that were not inlined.

        Raises:
            SourceUnknown: no such file, or more than one.
        """
        units = self._units_naming(path)
        found: dict[str, dict[int, FunctionInfo]] = {}
        for unit in units:
            for one in self._types.functions_in(unit):
                if one.low_pc is not None and _ends(one.file, path):
                    found.setdefault(one.file, {})[one.low_pc] = one
        whole = self._only(path, found)
        return [found[whole][address] for address in sorted(found[whole])]


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _ends(whole: str, part: str) -> bool:
    """Whether a path ends with another, at a folder's name."""
    return whole == part or whole.endswith("/" + part.lstrip("/"))


def _places(data: bytes, needle: bytes, most: int) -> Iterable[int]:
    at = data.find(needle)
    for _ in range(most):
        if at < 0:
            return
        yield at
        at = data.find(needle, at + 1)
