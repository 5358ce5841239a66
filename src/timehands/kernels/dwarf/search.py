"""Finding the one entry that defines a name, among millions, without reading them.

A name stands once in ``.debug_str``; what bears it holds its offset. So those bytes are looked for
in ``.debug_info``, and a hit counts when it stands where some abbreviation of its unit has its
name. Only then is the unit's list of names read, which settles it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import cached_property
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.abbrevs import Abbreviation
from timehands.kernels.dwarf.sections import Sections
from timehands.kernels.dwarf.units import Entry, Unit, units_of

_MAX_HITS: Final = 50_000
_MAX_NAME_PLACES: Final = 64
_MAX_DEPTH: Final = 256


class Group(Enum):
    """What a name is looked for as; C keeps some of them apart."""

    STRUCT = "struct"
    ENUM = "enum"
    NAMED = "named"
    VARIABLE = "variable"
    FUNCTION = "function"
    CONSTANT = "constant"


_GROUPS: Final = {
    n.TAG_STRUCTURE: Group.STRUCT,
    n.TAG_UNION: Group.STRUCT,
    n.TAG_ENUMERATION: Group.ENUM,
    n.TAG_TYPEDEF: Group.NAMED,
    n.TAG_BASE: Group.NAMED,
    n.TAG_VARIABLE: Group.VARIABLE,
    n.TAG_SUBPROGRAM: Group.FUNCTION,
    n.TAG_ENUMERATOR: Group.CONSTANT,
}
Names = dict[tuple[Group, str], list[int]]


class Search:
    """The units of one kernel, by address and by the names in them."""

    def __init__(self, sections: Sections) -> None:
        self.sections = sections

    @cached_property
    def units(self) -> list[Unit]:
        """All units that can be read, by offset."""
        return units_of(self.sections)

    @cached_property
    def _offsets(self) -> list[int]:
        return [unit.offset for unit in self.units]

    def unit_of(self, offset: int) -> Unit:
        """The unit that an offset of ``.debug_info`` lies in."""
        index = bisect_right(self._offsets, offset) - 1
        if index < 0 or offset >= self.units[index].end:
            raise KernelDamaged("debug information names a place outside its units")
        return self.units[index]

    def entry(self, offset: int) -> Entry:
        """The entry at an offset of ``.debug_info``."""
        found = self.unit_of(offset).entry(offset)
        if found is None:
            raise KernelDamaged("debug information names an entry that is none")
        return found

    # ---- by address

    @cached_property
    def _spans(self) -> list[tuple[int, int, Unit]]:
        """Where each unit's code is, by start."""
        spans = []
        for unit in self.units:
            try:
                spans += [(start, end, unit) for start, end in unit.ranges(unit.root) if start]
            except KernelDamaged:
                continue  # one broken unit must not hide the others
        return sorted(spans, key=lambda span: span[:2])

    def unit_at(self, address: int) -> Unit | None:
        """The unit whose code covers an address."""
        index = bisect_right(self._spans, address, key=lambda span: span[0]) - 1
        if index < 0 or address >= self._spans[index][1]:
            return None
        return self._spans[index][2]

    # ---- by name

    def find(self, group: Group, name: str) -> Iterator[Entry]:
        """The entries that define a name, the likeliest first; each once."""
        seen = set()
        for unit in self._candidates(group, name):
            if unit.offset in seen:
                continue
            seen.add(unit.offset)
            for offset in self.names_in(unit).get((group, name), ()):
                yield self.entry(offset)

    def names_in(self, unit: Unit) -> Names:
        """Where each name that a unit defines at its top lies; empty for a broken unit."""
        if unit.offset not in self._names:
            found: Names = defaultdict(list)
            with suppress(KernelDamaged):  # what stood before the damage is as good as ever
                self._read_names(unit, found)
            self._names[unit.offset] = dict(found)
        return self._names[unit.offset]

    @cached_property
    def _names(self) -> dict[int, Names]:
        return {}

    def _read_names(self, unit: Unit, found: Names) -> None:
        at, depth, enum_depth = unit.first, 0, -1
        while at < unit.end:
            offset = at
            at, shape, name, sibling = unit.skim(at)
            if shape is None:
                depth -= 1
                if depth <= 0:
                    return
                continue
            wanted = depth == 1 or (shape.tag == n.TAG_ENUMERATOR and depth == enum_depth)
            if wanted and (group := _GROUPS.get(shape.tag)) and _defines(shape):
                text = self._name(unit, offset, shape, name)
                if text:
                    found[group, text].append(offset)
            if shape.children:
                depth += 1
                enum_depth = depth if shape.tag == n.TAG_ENUMERATION and depth == 2 else enum_depth
                if depth > _MAX_DEPTH:
                    raise KernelDamaged("entries of debug information lie too deep")
                if depth == 2 and at < sibling <= unit.end and enum_depth != depth:
                    at, depth = sibling, 1
            if depth == 1:
                enum_depth = -1

    def _name(
        self, unit: Unit, offset: int, shape: Abbreviation, name: tuple[int, int] | None
    ) -> str:
        if name is not None:
            form, at = name
            if form == n.FORM_STRING:
                end = self.sections.info.find(b"\0", at, at + 4096)
                return self.sections.info[at : max(end, at)].decode("utf-8", "replace")
            value = unit._value(form, at)[1]
            return unit.string_at(form, value) if isinstance(value, int) else ""
        if shape.tag in (n.TAG_VARIABLE, n.TAG_SUBPROGRAM):
            return self.origin_name(self.entry(offset))
        return ""

    def origin_name(self, entry: Entry) -> str:
        """An entry's name, or that of the one that it completes."""
        for _ in range(4):
            if n.AT_NAME in entry.values:
                return entry.name
            target = self.origin(entry)
            if target is None:
                return ""
            entry = target
        return ""

    def origin(self, entry: Entry) -> Entry | None:
        """The entry that this one completes (DW_AT_specification, DW_AT_abstract_origin)."""
        for attribute in (n.AT_SPECIFICATION, n.AT_ABSTRACT_ORIGIN):
            target = entry.unit.reference(entry, attribute)
            if target is not None:
                return self.entry(target)
        return None

    # ---- likely units

    def _candidates(self, group: Group, name: str) -> Iterator[Unit]:
        encoded = name.encode("utf-8", "replace") + b"\0"
        info, unsure = self.sections.info, []
        for at in _places(info, encoded, _MAX_HITS):
            if self._is_name(group, at, n.FORM_STRING):
                yield self.unit_of(at)
        for place in self._name_places(encoded):
            for at in _places(info, place.to_bytes(4, "little"), _MAX_HITS):
                sure = self._is_name(group, at, n.FORM_STRP)
                if sure:
                    yield self.unit_of(at)
                elif sure is None:
                    unsure.append(at)
            yield from self._indexed(group, place)
        yield from (self.unit_of(at) for at in unsure)

    def _name_places(self, encoded: bytes) -> list[int]:
        """Where a name lies in ``.debug_str``: whole ones first, then ends of longer ones, which
        linkers use too."""
        places = list(_places(self.sections.str, encoded, _MAX_HITS))
        data = self.sections.str
        places.sort(key=lambda at: at > 0 and data[at - 1] != 0)
        return places[:_MAX_NAME_PLACES]

    def _is_name(self, group: Group, at: int, form: int) -> bool | None:
        """Whether bytes stand where an entry of the group has its name; None: perhaps."""
        try:
            unit = self.unit_of(at)
            shapes = unit.abbreviations.all()
        except KernelDamaged:
            return False
        info, perhaps = self.sections.info, False
        for shape in shapes:
            if _GROUPS.get(shape.tag) is not group or not _defines(shape):
                continue
            fixed, first_form, attribute = shape.steps[0] if shape.steps else (0, 0, 0)
            if attribute == n.AT_NAME and first_form == form:
                start = at - fixed - len(shape.code)
                if start >= 0 and info.startswith(shape.code, start):
                    return True
            elif shape.form(n.AT_NAME) == form:
                perhaps = True
        return None if perhaps else False

    def _indexed(self, group: Group, place: int) -> Iterator[Unit]:
        """Units whose part of ``.debug_str_offsets`` (DWARF 5) has a name, and that define it."""
        starts = [base for base, _ in self._string_bases]
        for at in _places(self.sections.str_offsets, place.to_bytes(4, "little"), _MAX_HITS):
            index = bisect_right(starts, at) - 1
            if index >= 0 and not (at - starts[index]) % 4:
                unit = self._string_bases[index][1]
                if (group, (at - starts[index]) // 4) in self._indexed_names(unit):
                    yield unit

    def _indexed_names(self, unit: Unit) -> set[tuple[Group, int]]:
        """The numbers of the names that a unit defines; read once."""
        if unit.offset not in self._index_sets:
            found = set()
            for shape, form, place in self._named(unit):
                if form in n.STRING_INDEXES:
                    value = unit._value(form, place)[1]
                    if isinstance(value, int):
                        found.add((_GROUPS[shape.tag], value))
            self._index_sets[unit.offset] = found
        return self._index_sets[unit.offset]

    @cached_property
    def _index_sets(self) -> dict[int, set[tuple[Group, int]]]:
        return {}

    def _named(self, unit: Unit) -> Iterator[tuple[Abbreviation, int, int]]:
        at = unit.first
        try:
            while at < unit.end:
                at, shape, name, _ = unit.skim(at)
                if shape and name and shape.tag in _GROUPS and _defines(shape):
                    yield shape, *name
        except KernelDamaged:
            return

    @cached_property
    def _string_bases(self) -> list[tuple[int, Unit]]:
        bases = []
        for unit in self.units:
            try:
                if n.AT_STR_OFFSETS_BASE in unit.root.values and unit.widths.offset == 4:
                    bases.append((unit.strings_base, unit))
            except KernelDamaged:
                continue
        return sorted(bases, key=lambda one: one[0])

    def units_with_address(self, address: int) -> Iterator[Unit]:
        """Units that hold an address as the place of a variable (DW_OP_addr)."""
        needle = b"\x03" + address.to_bytes(8, "little")
        for at in _places(self.sections.info, needle, 64):
            try:
                yield self.unit_of(at)
            except KernelDamaged:
                continue


def _defines(shape: Abbreviation) -> bool:
    """Whether entries of a shape define, and do not only declare."""
    attributes = [spec.attribute for spec in shape.specs]
    if shape.tag == n.TAG_VARIABLE:
        return n.AT_LOCATION in attributes
    return n.AT_DECLARATION not in attributes


def _places(data: bytes, needle: bytes, most: int) -> Iterator[int]:
    at = data.find(needle)
    for _ in range(most):
        if at < 0:
            return
        yield at
        at = data.find(needle, at + 1)
