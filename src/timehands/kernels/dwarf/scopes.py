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


class Scopes:
    """What the names of one kernel's functions stand for.

    Args:
        types: its DWARF.
    """

    def __init__(self, types: DwarfTypes) -> None:
        self._types = types

    def lookup(self, name: str, spot: Spot) -> Value | None:
        """An argument or a local variable, the innermost of that name; None when there is none."""
        function = self._types.function_at(spot.pc)
        if function is None or not isinstance(function.entry, Entry):
            return None
        found = None
        try:
            for entry in self._visible(function.entry, spot.pc, _MAX_NESTING):
                if self._types.search.origin_name(entry) == name:
                    found = entry  # the last is the innermost
            return None if found is None else self._value(found, function, name, spot)
        except KernelDamaged:
            return None

    def names(self, pc: int) -> list[str]:
        """The names that can be asked for at an address, outermost first; each once."""
        function = self._types.function_at(pc)
        if function is None or not isinstance(function.entry, Entry):
            return []
        try:
            entries = list(self._visible(function.entry, pc, _MAX_NESTING))
            named = [self._types.search.origin_name(one) for one in entries]
        except KernelDamaged:
            return []
        return list(dict.fromkeys(name for name in named if name))

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
