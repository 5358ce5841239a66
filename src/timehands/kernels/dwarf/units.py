"""Units of debug information, and the entries in them.

A unit is what the compiler said of one source file. Its header is read at first, the rest when it
is asked for::

    unit = units_of(sections)[3]
    entry = unit.entry(unit.first)          # DW_TAG_compile_unit
    unit.string(entry, numbers.AT_NAME)     # "/usr/src/sys/kern/kern_tc.c"

Everything read may be a lie: what lies outside its section, or has no end, is `KernelDamaged`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.abbrevs import (
    Abbreviation,
    Abbreviations,
    Widths,
    fixed_size,
    pass_over,
)
from timehands.kernels.dwarf.sections import Sections, number, sleb, text, uleb

_MAX_UNITS: Final = 100_000
_MAX_DEPTH: Final = 256
_MAX_RANGES: Final = 1 << 16
_EXTENDED: Final = 0xFFFFFFFF
_END = (1 << 64) - 1

Raw = int | bytes


@dataclass(slots=True)
class Entry:
    """One entry: its tag, and attributes as (form, raw value)."""

    unit: Unit
    offset: int
    tag: int
    children: bool
    values: dict[int, tuple[int, Raw]]
    end: int

    def number(self, attribute: int) -> int | None:
        """An attribute that is a constant or an offset, None when there is none."""
        form, value = self.values.get(attribute, (0, None))
        if value is None or isinstance(value, int):
            return value
        return int.from_bytes(value, "little") if form == n.FORM_DATA16 else None

    def has(self, attribute: int) -> bool:
        """Whether an attribute is there, and not a flag that is off."""
        return self.values.get(attribute, (0, 0))[1] != 0

    @property
    def name(self) -> str:
        """DW_AT_name; may be empty."""
        return self.unit.string(self, n.AT_NAME)


class Unit:
    """One unit. ``offset``, ``first`` and ``end`` lie in ``.debug_info``."""

    def __init__(self, sections: Sections, offset: int) -> None:
        info = sections.info
        length, at, width = number(info, offset, 4), offset + 4, 4
        if length == _EXTENDED:
            length, at, width = number(info, at, 8), at + 8, 8
        self.sections, self.offset, self.end = sections, offset, at + length
        version = number(info, at, 2)
        if self.end > len(info) or not 2 <= version <= 5:
            raise KernelDamaged(f"the unit at {offset:#x} of the debug information is broken")
        at += 2
        self.kind = 0
        if version >= 5:
            self.kind, address = info[at], number(info, at + 1, 1)
            self._abbrev_at, at = number(info, at + 2, width), at + 2 + width
            at += {n.UT_TYPE: 8 + width, n.UT_SPLIT_TYPE: 8 + width}.get(self.kind, 0)
            at += 8 if self.kind in (n.UT_SKELETON, n.UT_SPLIT_COMPILE) else 0
        else:
            self._abbrev_at, address, at = number(info, at, width), info[at + width], at + width + 1
        if address not in (4, 8) or at > self.end:
            raise KernelDamaged(f"the unit at {offset:#x} of the debug information is broken")
        self.widths = Widths(width, address, version)
        self.first = at

    def __repr__(self) -> str:
        return f"<Unit {self.offset:#x}: {self.name}>"

    @cached_property
    def abbreviations(self) -> Abbreviations:
        """How its entries are laid out, by code."""
        return Abbreviations(self.sections.abbrev, self._abbrev_at, self.widths)

    @cached_property
    def root(self) -> Entry:
        """Its first entry, which describes the whole."""
        found = self.entry(self.first)
        if found is None:
            raise KernelDamaged(f"the unit at {self.offset:#x} of the debug information is empty")
        return found

    @cached_property
    def name(self) -> str:
        """The source file, as it was given to the compiler; may be empty."""
        return self.string(self.root, n.AT_NAME)

    @cached_property
    def base_pc(self) -> int:
        """What addresses in lists are counted from."""
        return self.address(self.root, n.AT_LOW_PC) or 0

    # ---- entries

    def entry(self, at: int) -> Entry | None:
        """The entry at an offset; None where a list of children ends."""
        if not self.first <= at < self.end:
            raise KernelDamaged("debug information names an entry outside its unit")
        try:
            return self._entry(at)
        except IndexError as error:
            raise KernelDamaged(f"the debug information ends in the entry at {at:#x}") from error

    def _entry(self, at: int) -> Entry | None:
        info, offset = self.sections.info, at
        code, at = uleb(info, at)
        if not code:
            return None
        shape = self._shape(code)
        values: dict[int, tuple[int, Raw]] = {}
        for attribute, form, constant in shape.specs:
            values[attribute] = form, constant
            if form != n.FORM_IMPLICIT_CONST:
                actual, value, at = self._value(form, at)
                values[attribute] = actual, value
        if at > self.end:
            raise KernelDamaged(f"the debug information ends in the entry at {offset:#x}")
        return Entry(self, offset, shape.tag, shape.children, values, at)

    def _shape(self, code: int) -> Abbreviation:
        shape = self.abbreviations.get(code)
        if shape is None:
            raise KernelDamaged(f"an entry has an abbreviation that is not there ({code})")
        return shape

    def _value(self, form: int, at: int) -> tuple[int, Raw, int]:
        info = self.sections.info
        if form == n.FORM_INDIRECT:
            form, at = uleb(info, at)
        size = fixed_size(form, self.widths)
        if form == n.FORM_FLAG_PRESENT:
            return form, 1, at
        if form == n.FORM_DATA16:
            return form, info[at : at + 16], at + 16
        if size is not None:
            return form, int.from_bytes(info[at : at + size], "little"), at + size
        if form in n.LEB:
            return form, *(sleb(info, at) if form == n.FORM_SDATA else uleb(info, at))
        end = pass_over(info, at, form, self.widths)
        if form == n.FORM_STRING:
            return form, info[at : min(end - 1, at + 4096)], end
        width = n.BLOCKS[form]
        start = at + width if width else uleb(info, at)[1]
        return form, info[start:end], end

    def children(self, of: Entry) -> Iterator[Entry]:
        """The direct children of an entry, one after the other."""
        at = of.end
        while of.children and at < self.end:
            child = self.entry(at)
            if child is None:
                return
            yield child
            at = self.after(child)

    def after(self, entry: Entry) -> int:
        """Where what follows an entry and its children begins."""
        if not entry.children:
            return entry.end
        sibling = self.reference(entry, n.AT_SIBLING)
        if sibling is not None and entry.end < sibling <= self.end:
            return sibling
        at, depth = entry.end, 1
        while depth and at < self.end:
            at, shape, _, _ = self.skim(at)
            depth += shape.children if shape else -1
            if depth > _MAX_DEPTH:
                raise KernelDamaged("entries of debug information lie too deep in each other")
        return at

    def skim(self, at: int) -> tuple[int, Abbreviation | None, tuple[int, int] | None, int]:
        """Pass over one entry: where it ends, its shape (None: the end of a list), the form and
        place of its name, and its sibling (0: none)."""
        info = self.sections.info
        try:
            code, at = uleb(info, at)
            if not code:
                return at, None, None, 0
            shape = self._shape(code)
            name, sibling = None, 0
            for fixed, form, attribute in shape.steps:
                at += fixed
                if attribute == n.AT_NAME:
                    name = form, at
                elif attribute == n.AT_SIBLING and form in n.REFERENCES:
                    value = self._value(form, at)[1]
                    sibling = self.offset + value if isinstance(value, int) else 0
                at = pass_over(info, at, form, self.widths)
        except IndexError as error:
            raise KernelDamaged("the debug information ends within an entry") from error
        return at + shape.tail, shape, name, sibling

    # ---- what raw values mean

    def string(self, entry: Entry, attribute: int) -> str:
        """An attribute that is a string; empty when there is none."""
        form, value = entry.values.get(attribute, (0, b""))
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace") if form == n.FORM_STRING else ""
        return self.string_at(form, value)

    def string_at(self, form: int, value: int) -> str:
        """The string that a form's raw value names."""
        if form == n.FORM_STRP:
            return text(self.sections.str, value)
        if form == n.FORM_LINE_STRP:
            return text(self.sections.line_str, value)
        if form in n.STRING_INDEXES:
            width = self.widths.offset
            place = self.strings_base + value * width
            return text(self.sections.str, number(self.sections.str_offsets, place, width))
        return ""

    @cached_property
    def strings_base(self) -> int:
        """Where this unit's part of ``.debug_str_offsets`` begins."""
        return self._base(n.AT_STR_OFFSETS_BASE, 2 * self.widths.offset)

    def _base(self, attribute: int, default: int) -> int:
        # not through ``root``: its own strings may need the base
        _, value = self.root.values.get(attribute, (0, default))
        return value if isinstance(value, int) else default

    def address(self, entry: Entry, attribute: int) -> int | None:
        """An attribute that is an address, None when there is none."""
        form, value = entry.values.get(attribute, (0, None))
        if not isinstance(value, int):
            return None
        return self.indexed_address(value) if form in n.ADDRESS_INDEXES else value

    def indexed_address(self, index: int) -> int:
        """An address of ``.debug_addr`` (DWARF 5)."""
        base, width = self._base(n.AT_ADDR_BASE, 8), self.widths.address
        return number(self.sections.addr, base + index * width, width)

    @property
    def lists_base(self) -> int:
        """Where this unit's part of ``.debug_loclists`` counts its lists from."""
        return self._base(n.AT_LOCLISTS_BASE, 4 + 2 * self.widths.offset)

    def reference(self, entry: Entry, attribute: int) -> int | None:
        """The offset in ``.debug_info`` that an attribute names, None when there is none."""
        form, value = entry.values.get(attribute, (0, None))
        if not isinstance(value, int):
            return None
        if form in n.REFERENCES:
            return self.offset + value
        return value if form == n.FORM_REF_ADDR else None

    # ---- where its code is

    def ranges(self, entry: Entry) -> list[tuple[int, int]]:
        """The (start, end) ranges of code that an entry covers; empty when it has none."""
        low = self.address(entry, n.AT_LOW_PC)
        form, high = entry.values.get(n.AT_HIGH_PC, (0, None))
        if low is not None and isinstance(high, int):
            if form in n.ADDRESS_INDEXES:
                return [(low, self.indexed_address(high))]
            return [(low, high if form == n.FORM_ADDR else low + high)]
        if n.AT_RANGES not in entry.values:
            return [(low, low + 1)] if low is not None else []
        return list(self._listed(*entry.values[n.AT_RANGES]))

    def _listed(self, form: int, value: Raw) -> Iterator[tuple[int, int]]:
        if not isinstance(value, int):
            return iter(())
        if self.widths.version < 5:
            return self._old_ranges(value)
        if form == n.FORM_RNGLISTX:
            base = self._base(n.AT_RNGLISTS_BASE, 4 + 2 * self.widths.offset)
            width = self.widths.offset
            value = base + number(self.sections.rnglists, base + value * width, width)
        return self._ranges(value)

    def _old_ranges(self, at: int) -> Iterator[tuple[int, int]]:
        """DWARF 4, section 2.17.3."""
        data, width, base = self.sections.ranges, self.widths.address, self.base_pc
        selector = (1 << 8 * width) - 1
        for _ in range(_MAX_RANGES):
            start, end = number(data, at, width), number(data, at + width, width)
            at += 2 * width
            if start == end == 0:
                return
            if start == selector:
                base = end
            elif start < end:
                yield (base + start) & _END, (base + end) & _END

    def _ranges(self, at: int) -> Iterator[tuple[int, int]]:
        """DWARF 5, section 2.17.3."""
        base = self.base_pc
        for kind, first, second, _ in list_entries(self, self.sections.rnglists, at, counted=False):
            if kind == "base":
                base = first
            elif kind == "offsets":
                yield (base + first) & _END, (base + second) & _END
            else:
                yield first, second


_KINDS: Final = {
    # kind: (what the two numbers are, forms: x index, u number, a address, l length)
    1: ("base", "x"),
    2: ("span", "xx"),
    3: ("span", "xl"),
    4: ("offsets", "uu"),
}
_RANGE_KINDS: Final = {**_KINDS, 5: ("base", "a"), 6: ("span", "aa"), 7: ("span", "al")}
_LOCATION_KINDS: Final = {
    **_KINDS, 5: ("default", ""), 6: ("base", "a"), 7: ("span", "aa"), 8: ("span", "al"),
}  # fmt: skip


def list_entries(
    unit: Unit, data: bytes, at: int, *, counted: bool
) -> Iterator[tuple[str, int, int, bytes]]:
    """The entries of a DWARF 5 list of ranges, or with ``counted`` of locations (section 7.7.3):
    what it is (``base``, ``span``, ``offsets``, ``default``), two numbers, an expression."""
    kinds = _LOCATION_KINDS if counted else _RANGE_KINDS
    for _ in range(_MAX_RANGES):
        code = number(data, at, 1)
        if not code:
            return
        if code not in kinds:
            raise KernelDamaged(f"a list in the debug information has an entry of kind {code}")
        what, forms = kinds[code]
        values, at = _list_numbers(unit, data, at + 1, forms)
        expression = b""
        if counted and what != "base":
            length, at = _checked_uleb(data, at)
            expression, at = data[at : at + length], at + length
        yield what, values[0], values[1], expression


def _list_numbers(unit: Unit, data: bytes, at: int, forms: str) -> tuple[list[int], int]:
    values: list[int] = []
    for form in forms:
        if form == "a":
            value, at = number(data, at, unit.widths.address), at + unit.widths.address
        else:
            value, at = _checked_uleb(data, at)
        if form == "x":
            value = unit.indexed_address(value)
        values.append(values[0] + value if form == "l" else value)
    return values + [0] * (2 - len(values)), at


def _checked_uleb(data: bytes, at: int) -> tuple[int, int]:
    try:
        return uleb(data, at)
    except IndexError as error:
        raise KernelDamaged("a list in the debug information has no end") from error


def units_of(sections: Sections) -> list[Unit]:
    """All units, by offset. A broken header ends the list: what lies behind cannot be found."""
    found: list[Unit] = []
    at = 0
    while at < len(sections.info) and len(found) < _MAX_UNITS:
        try:
            unit = Unit(sections, at)
        except (KernelDamaged, IndexError):
            break
        found.append(unit)
        at = unit.end
    return found
