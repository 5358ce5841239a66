"""Arguments and local variables by name, where a guest stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.locations import Spot, location_of
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.units import Entry
from timehands.kernels.places import Gone, Place, at_entry
from timehands.kernels.types import FunctionInfo
from timehands.kernels.values import Value

_SCOPES: Final = frozenset((n.TAG_LEXICAL_BLOCK, n.TAG_INLINED_SUBROUTINE))
_NAMED: Final = frozenset((n.TAG_VARIABLE, n.TAG_FORMAL_PARAMETER))
_MAX_NESTING: Final = 64
_MAX_KEPT: Final = 256


class Scopes:
    """What the names of one kernel's functions stand for.

    Args:
        types: its DWARF.
    """

    def __init__(self, types: DwarfTypes) -> None:
        self._types = types
        self._known: dict[int, tuple[FunctionInfo | None, dict[str, Entry]]] = {}

    def lookup(self, name: str, spot: Spot) -> Value | None:
        """An argument or a local variable, the innermost of that name; None when there is none."""
        function, named = self._at(spot.pc)
        entry = named.get(name)
        if function is None or entry is None:
            return None
        try:
            return self._value(entry, function, name, spot)
        except KernelDamaged:
            return None

    def knows(self, name: str, pc: int) -> bool:
        """Whether `lookup` would find that name at an address."""
        return name in self._at(pc)[1]

    def names(self, pc: int) -> list[str]:
        """The names that can be asked for at an address, outermost first; each once."""
        return [name for name in self._at(pc)[1] if name]

    def _at(self, pc: int) -> tuple[FunctionInfo | None, dict[str, Entry]]:
        """The function, and what each name is there, the innermost; kept for some addresses."""
        if pc not in self._known:
            if len(self._known) >= _MAX_KEPT:
                self._known.clear()
            function = self._types.function_at(pc)
            self._known[pc] = function, self._named(function, pc) if function else {}
        return self._known[pc]

    def _named(self, function: FunctionInfo, pc: int) -> dict[str, Entry]:
        if not isinstance(function.entry, Entry):
            return {}
        try:
            entries = list(self._visible(function.entry, pc, _MAX_NESTING))
            return {self._types.search.origin_name(one): one for one in entries}
        except KernelDamaged:
            return {}

    def arguments(self, spot: Spot) -> dict[str, Value]:
        """The arguments of the function where the guest stands, by name, in order."""
        function = self._types.function_at(spot.pc)
        if function is None or not isinstance(function.entry, Entry):
            return {}
        entry, found = function.entry, dict[str, Value]()
        with suppress(KernelDamaged):
            for one in entry.unit.children(entry):
                if one.tag == n.TAG_FORMAL_PARAMETER:
                    name = self._types.search.origin_name(one)
                    found[name] = self._value(one, function, name, spot)
        return found

    def _visible(self, scope: Entry, pc: int, depth: int) -> Iterator[Entry]:
        for one in scope.unit.children(scope):
            if one.tag in _NAMED:
                yield one
            elif one.tag in _SCOPES and depth:
                spans = one.unit.ranges(one)
                if not spans or any(start <= pc < end for start, end in spans):
                    yield from self._visible(one, pc, depth - 1)

    def _value(self, entry: Entry, function: FunctionInfo, name: str, spot: Spot) -> Value:
        owner = function.entry if isinstance(function.entry, Entry) else None
        place = location_of(self._placed(entry), owner, spot)
        if spot.pc == function.low_pc and entry.tag == n.TAG_FORMAL_PARAMETER:
            place = _at_first(function, name, place, spot)
        return Value(self._types.type_of(entry), spot.reading, place)

    def _placed(self, entry: Entry) -> Entry:
        """The entry with the location: gcc gives constants to the abstract one."""
        if n.AT_LOCATION in entry.values or n.AT_CONST_VALUE in entry.values:
            return entry
        origin = self._types.search.origin(entry)
        return origin if origin and n.AT_CONST_VALUE in origin.values else entry


def _at_first(function: FunctionInfo, name: str, place: Place, spot: Spot) -> Place:
    """At a function's first instruction arguments are where the ABI puts them, whatever the
    compiler lost later."""
    names = [one for one, _ in function.parameters]
    if name not in names or not function.usual_convention:
        return place
    if "." in _symbol(function, spot) and not isinstance(place, Gone):
        return place  # a clone (.isra, .constprop) may take fewer
    return at_entry(function.type, names.index(name), spot.reading.registers)


def _symbol(function: FunctionInfo, spot: Spot) -> str:
    symbols = spot.reading.symbols
    found = symbols.find(function.low_pc or 0) if symbols else None
    return found.name if found else ""


def entry_place(function: FunctionInfo, name: str, spot: Spot) -> Place:
    """Where an argument is at a function's first instruction, by its name, when only its type is
    known (BTF)."""
    names = [one for one, _ in function.parameters]
    if name not in names:
        return Gone("no such argument")
    return at_entry(function.type, names.index(name), spot.reading.registers)
