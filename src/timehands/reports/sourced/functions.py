"""The functions that a file of the tree defines, and where the kernel has them.

By the kernel's line tables; or, where it has none, by the names that the file defines and that the
kernel's symbols have.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final, NamedTuple

from timehands.errors import FileUnusable
from timehands.reports.sourced.places import Places
from timehands.sources.code.defined import functions_of
from timehands.sources.tree import SourceTree

_INLINED: Final = "copies of it may be inlined elsewhere"
_ABSENT: Final = "no symbol: left out, or inlined"


class Function(NamedTuple):
    """A function of a file.

    ``code`` are the stretches of its code as linked (from, to): more than one where a compiler
    split it, none where it is not known. ``alike`` counts the kernel's functions of that name where
    it is not known which is the file's. ``absent``: the kernel has none.
    """

    name: str
    line: int = 0
    code: tuple[tuple[int, int], ...] = ()
    note: str = ""
    alike: int = 1
    absent: bool = False


def by_lines(places: Places, tree: SourceTree, file: str, inlined: Set[str]) -> list[Function]:
    """By the line tables; and those of ``inlined`` that have no code of their own.

    Raises `SourceUnknown` when the kernel has no code from the file, or no line tables.
    """
    found: dict[tuple[str, int], Function] = {}
    for one in places.functions_of(_below(tree, file)):
        code = () if one.low_pc is None or one.high_pc is None else ((one.low_pc, one.high_pc),)
        note = _INLINED if one.inlined else ""
        known = found.get((one.name, one.line), Function(one.name, one.line))
        found[one.name, one.line] = known._replace(
            code=(*known.code, *code), note=known.note or note
        )
    for name in inlined - {name for name, _ in found}:
        info = places.info(name)
        if info is not None and places.paths.find(info.file) == file:
            found[name, info.line] = Function(name, info.line, note=_INLINED)
    return sorted(found.values(), key=lambda one: (one.line, one.name))


def _below(tree: SourceTree, file: str) -> str:
    """The path below the kernel's folder: a build may not have named what is above it."""
    return file.removeprefix(f"{tree.sys}/") if tree.sys else file


def by_names(places: Places, tree: SourceTree, file: str) -> list[Function]:
    """By the names that the file defines. Of a file that cannot be read: none."""
    try:
        defined = functions_of(tree, file)
    except FileUnusable:
        return []
    first = {one.name: one.line for one in reversed(defined)}
    rows = (_by_name(places, name, line) for name, line in first.items())
    return sorted(rows, key=lambda one: (one.line, one.name))


def _by_name(places: Places, name: str, line: int) -> Function:
    """One that the file may define several times, within ``#ifdef``: told once."""
    spans = places.spans(name)
    if spans is None:
        return Function(name, line)
    if len(spans) == 1:
        return Function(name, line, (spans[0],))
    if spans:
        note = f"the kernel has {len(spans)} functions of that name"
        return Function(name, line, note=note, alike=len(spans))
    return Function(name, line, note=_ABSENT, absent=True)
