"""Places in the source, and the functions that a compiler put into others, by DWARF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from weakref import WeakKeyDictionary

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.units import Entry
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind.frames import Frame

_AT_CALL_FILE: Final = 0x58
_AT_CALL_LINE: Final = 0x59
#: Functions in functions, blocks in blocks: no deeper than this.
_DEEPEST: Final = 64
#: Entries of one function that are looked at, at most.
_MOST_ENTRIES: Final = 50_000
#: Addresses whose place in the source is kept.
_MOST_KEPT: Final = 4096
#: A function inlined (the last: not), with the file and line in it.
_Row = tuple[str, str | None, int | None]
_kept: WeakKeyDictionary[Kernel, dict[int, tuple[_Row, ...]]] = WeakKeyDictionary()


def in_source(kernel: Kernel, frame: Frame, address: int) -> list[Frame]:
    """A frame with its place in the source, after the functions that were inlined there.

    Args:
        kernel: the guest's.
        frame: as it was found.
        address: within the instruction that was under way, as linked.

    Returns:
        Innermost first, the last one is the frame itself. Without DWARF that is all.
    """
    *inner, (_, file, line) = _told(kernel, address)
    frames = [
        replace(frame, name=name, offset=0, inlined=True, file=at, line=number)
        for name, at, number in inner
    ]
    return [*frames, replace(frame, file=file, line=line)]


def _told(kernel: Kernel, address: int) -> tuple[_Row, ...]:
    """The functions there, innermost first, with the place in each; kept for some addresses."""
    kept = _kept.setdefault(kernel, {})
    if address not in kept:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[address] = tuple(_rows(kernel, address))
    return kept[address]


def _rows(kernel: Kernel, address: int) -> list[_Row]:
    dwarf, lines = kernel.dwarf, kernel.lines
    if dwarf is None or lines is None:
        return [("", None, None)]
    try:
        place = lines.place(address)
        inlined = list(_inlined(dwarf, address))
    except KernelDamaged:
        return [("", None, None)]
    file, line = (place.path, place.line or None) if place else (None, None)
    rows: list[_Row] = []
    for entry in reversed(inlined):
        rows.append((dwarf.search.origin_name(entry), file, line))
        file = dwarf.files(entry.unit).get(entry.number(_AT_CALL_FILE) or 0)
        line = entry.number(_AT_CALL_LINE) or None
    return [*rows, ("", file, line)]


def inlined_at(kernel: Kernel, address: int) -> tuple[str, ...]:
    """The names of the functions that were inlined around an address, innermost first.

    ``address`` lies within the instruction, as linked. Empty without DWARF.
    """
    dwarf = kernel.dwarf
    if dwarf is None:
        return ()
    try:
        found = tuple(dwarf.search.origin_name(entry) for entry in _inlined(dwarf, address))
    except KernelDamaged:
        return ()
    return tuple(name for name in reversed(found) if name)


def _inlined(dwarf: DwarfTypes, address: int) -> Iterator[Entry]:
    """The inlined functions whose code covers an address, the outermost first."""
    function = dwarf.function_at(address)
    scope = function.entry if function else None
    budget = _MOST_ENTRIES
    for _ in range(_DEEPEST):
        inner = None
        for child in scope.unit.children(scope) if isinstance(scope, Entry) else ():
            budget -= 1
            if budget < 0:
                return
            if child.tag in (n.TAG_INLINED_SUBROUTINE, n.TAG_LEXICAL_BLOCK) and _covers(
                child, address
            ):
                inner = child
                break
        if inner is None:
            return
        if inner.tag == n.TAG_INLINED_SUBROUTINE:
            yield inner
        scope = inner


def _covers(entry: Entry, address: int) -> bool:
    return any(start <= address < end for start, end in entry.unit.ranges(entry))
