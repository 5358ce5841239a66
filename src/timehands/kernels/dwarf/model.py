"""A kernel's types, variables and functions, from its DWARF.

::

    types = DwarfTypes(Sections.of(kernel.elf), kernel.symbols)
    types.struct("timecounter").member("tc_name").type      # const char *, const dropped
    types.variable("tsc_freq").address
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, TypeVar

from timehands.errors import KernelDamaged
from timehands.kernels import types as ct
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.lineprograms import LineProgram, read_program
from timehands.kernels.dwarf.search import Group, Search
from timehands.kernels.dwarf.sections import Sections, uleb
from timehands.kernels.dwarf.units import Entry, Unit
from timehands.kernels.symbols import SymbolTable

T = TypeVar("T")
_MAX_MEMBERS: Final = 1 << 16
_MAX_NAMESAKES: Final = 64
_OP_ADDR, _OP_ADDRX, _OP_PLUS_UCONST = 0x03, 0xA1, 0x23
_CHARS: Final = frozenset((n.ATE_SIGNED_CHAR, n.ATE_UNSIGNED_CHAR, n.ATE_UTF))


class DwarfTypes:
    """Reads types when asked for, each once. A broken one is as if it were not there.

    Args:
        sections: the debug information.
        symbols: addresses of variables and functions, to find them sooner and tell namesakes apart.
    """

    def __init__(self, sections: Sections, symbols: SymbolTable | None = None) -> None:
        self.search = Search(sections)
        self._symbols = symbols or SymbolTable.empty()
        self._by_offset: dict[int, ct.Type] = {}
        self._programs: dict[int, LineProgram] = {}
        self._answers: dict[tuple[str, str, int | None], object] = {}

    def __repr__(self) -> str:
        return f"<DwarfTypes: {len(self.search.units):,} units>"

    # ---- by name

    def struct(self, name: str) -> ct.Struct | None:
        """See `Types.struct`."""
        return self._once("struct", name, None, lambda: self._struct(name))

    def _struct(self, name: str) -> ct.Struct | None:
        for entry in self.search.find(Group.STRUCT, name):
            found = ct.strip(self.type_at(entry.offset))
            if isinstance(found, ct.Struct) and found.complete:
                return found
        alias = self.named(name)
        behind = ct.strip(alias) if alias else None
        return behind if isinstance(behind, ct.Struct) else None

    def enum(self, name: str) -> ct.Enum | None:
        """See `Types.enum`."""
        found = self._once("enum", name, None, lambda: self._first(Group.ENUM, name))
        return found if isinstance(found, ct.Enum) else None

    def named(self, name: str) -> ct.Type | None:
        """See `Types.named`."""
        return self._once("named", name, None, lambda: self._first(Group.NAMED, name))

    def _first(self, group: Group, name: str) -> ct.Type | None:
        return next((self.type_at(one.offset) for one in self.search.find(group, name)), None)

    def constant(self, name: str) -> int | None:
        """See `Types.constant`."""
        return self._once("constant", name, None, lambda: self._constant(name))

    def _constant(self, name: str) -> int | None:
        entry = next(self.search.find(Group.CONSTANT, name), None)
        return entry.number(n.AT_CONST_VALUE) if entry else None

    def variable(self, name: str, address: int | None = None) -> ct.Variable | None:
        """See `Types.variable`."""
        return self._once("variable", name, address, lambda: self._variable(name, address))

    def _variable(self, name: str, address: int | None) -> ct.Variable | None:
        found = None
        for entry in self._variable_entries(name, address):
            place = static_address(entry)
            if place is None:
                continue
            found = found or ct.Variable(name, self.type_of(entry), place)
            if address is None or place == address:
                return ct.Variable(name, self.type_of(entry), place)
        return found if address is None else None

    def _variable_entries(self, name: str, address: int | None) -> Iterator[Entry]:
        places = (address,) if address is not None else self._symbols.lookup(name)
        for place in places[:_MAX_NAMESAKES]:
            for unit in self.search.units_with_address(place):
                yield from self._entries_in(unit, Group.VARIABLE, name)
        yield from self.search.find(Group.VARIABLE, name)

    def _entries_in(self, unit: Unit, group: Group, name: str) -> Iterator[Entry]:
        for offset in self.search.names_in(unit).get((group, name), ()):
            yield self.search.entry(offset)

    def function(self, name: str, address: int | None = None) -> ct.FunctionInfo | None:
        """See `Types.function`."""
        return self._once("function", name, address, lambda: self._function(name, address))

    def _function(self, name: str, address: int | None) -> ct.FunctionInfo | None:
        found = None
        for entry in self._function_entries(name, address):
            one = self.function_of(entry)
            if one.low_pc is not None and address in (None, one.low_pc):
                return one
            found = found or one
        return found if address is None else None

    def _function_entries(self, name: str, address: int | None) -> Iterator[Entry]:
        places = (address,) if address is not None else self._symbols.lookup(name)
        for place in places[:_MAX_NAMESAKES]:
            unit = self.search.unit_at(place)
            if unit:
                yield from self._entries_in(unit, Group.FUNCTION, name)
        if address is None:
            yield from self.search.find(Group.FUNCTION, name)

    def function_at(self, address: int) -> ct.FunctionInfo | None:
        """The function whose code covers an address, not what is inlined there; or None."""
        return self._once("at", "", address, lambda: self._function_at(address))

    def _function_at(self, address: int) -> ct.FunctionInfo | None:
        unit = self.search.unit_at(address)
        for entry in self._functions(unit) if unit else ():
            if any(start <= address < end for start, end in entry.unit.ranges(entry)):
                return self.function_of(entry)
        return None

    def _functions(self, unit: Unit) -> Iterator[Entry]:
        for (group, _), offsets in self.search.names_in(unit).items():
            if group is Group.FUNCTION:
                yield from map(self.search.entry, offsets)

    def functions_in(self, unit: Unit) -> Iterator[ct.FunctionInfo]:
        """All functions that a unit defines, also those without code of their own."""
        return map(self.function_of, self._functions(unit))

    def _once(
        self, what: str, name: str, address: int | None, ask: Callable[[], T | None]
    ) -> T | None:
        key = what, name, address
        if key not in self._answers:
            try:
                self._answers[key] = ask()
            except KernelDamaged:
                self._answers[key] = None
        return self._answers[key]  # type: ignore[return-value]

    # ---- functions

    def function_of(self, entry: Entry) -> ct.FunctionInfo:
        """A DW_TAG_subprogram as a value."""
        origin = self.search.origin(entry)
        spans = entry.unit.ranges(entry)
        low = entry.unit.address(entry, n.AT_LOW_PC)
        low = low or entry.unit.address(entry, n.AT_ENTRY_PC) or (spans[0][0] if spans else None)
        first = next((end for start, end in spans if start == low), None)
        source = entry if n.AT_DECL_FILE in entry.values else origin or entry
        inline = entry.has(n.AT_INLINE) or bool(origin and origin.has(n.AT_INLINE))
        return ct.FunctionInfo(
            name=self.search.origin_name(entry),
            type=self._func(entry, origin),
            low_pc=low,
            high_pc=first,
            file=self.files(source.unit).get(source.number(n.AT_DECL_FILE) or 0, ""),
            line=source.number(n.AT_DECL_LINE) or 0,
            inlined=inline,
            usual_convention=entry.number(n.AT_CALLING_CONVENTION) != n.CC_NOCALL,
            entry=entry,
        )

    def files(self, unit: Unit) -> dict[int, str]:
        """The source files of a unit by the numbers that its entries use."""
        return self.program(unit).files

    def program(self, unit: Unit) -> LineProgram:
        """A unit's line number program, read once; an empty one when it is broken."""
        if unit.offset not in self._programs:
            try:
                self._programs[unit.offset] = read_program(unit)
            except KernelDamaged:
                self._programs[unit.offset] = LineProgram()
        return self._programs[unit.offset]

    def _func(self, entry: Entry, origin: Entry | None) -> ct.Func:
        typed = entry if n.AT_TYPE in entry.values else origin or entry
        variadic = entry.tag == n.TAG_SUBPROGRAM and any(
            one.tag == n.TAG_UNSPECIFIED_PARAMETERS for one in entry.unit.children(entry)
        )
        return ct.Func(lambda: self.type_of(typed), lambda: self._parameters(entry), variadic)

    def _parameters(self, entry: Entry) -> tuple[tuple[str, ct.Type], ...]:
        found = [
            (self.search.origin_name(one), self.type_of(self._typed(one)))
            for one in entry.unit.children(entry)
            if one.tag == n.TAG_FORMAL_PARAMETER
        ]
        return tuple(found[:256])

    def _typed(self, entry: Entry) -> Entry:
        if n.AT_TYPE in entry.values:
            return entry
        return self.search.origin(entry) or entry

    # ---- types

    def type_of(self, entry: Entry) -> ct.Type:
        """The type that an entry names; void when it names none."""
        typed = self._typed(entry)
        target = typed.unit.reference(typed, n.AT_TYPE)
        return ct.VOID if target is None else self.type_at(target)

    def type_at(self, offset: int) -> ct.Type:
        """The type at an offset of ``.debug_info``; void for what is no type."""
        if offset not in self._by_offset:
            entry = self.search.entry(offset)
            for _ in range(ct.MAX_DEPTH):
                if entry.tag not in n.QUALIFIERS:
                    break
                target = entry.unit.reference(entry, n.AT_TYPE)
                if target is None:
                    return ct.VOID
                entry = self.search.entry(target)
            self._by_offset[offset] = self._read(entry)
        return self._by_offset[offset]

    def _read(self, entry: Entry) -> ct.Type:
        readers: dict[int, Callable[[Entry], ct.Type]] = {
            n.TAG_BASE: _base,
            n.TAG_POINTER: self._pointer,
            n.TAG_REFERENCE: self._pointer,
            n.TAG_STRUCTURE: self._structure,
            n.TAG_UNION: self._structure,
            n.TAG_ARRAY: self._array,
            n.TAG_ENUMERATION: self._enum,
            n.TAG_TYPEDEF: lambda one: ct.Typedef(one.name, self._target(one)),
            n.TAG_SUBROUTINE_TYPE: lambda one: self._func(one, None),
        }
        reader = readers.get(entry.tag)
        return reader(entry) if reader else ct.VOID

    def _target(self, entry: Entry) -> ct.Later:
        return lambda: self.type_of(entry)

    def _pointer(self, entry: Entry) -> ct.Type:
        size = entry.number(n.AT_BYTE_SIZE) or entry.unit.widths.address
        return ct.Pointer(self._target(entry), min(size, ct.POINTER_BYTES))

    def _structure(self, entry: Entry) -> ct.Type:
        name = entry.name
        size = entry.number(n.AT_BYTE_SIZE)
        union, complete = entry.tag == n.TAG_UNION, size is not None
        if entry.has(n.AT_DECLARATION) and name:
            nowhere = ct.Struct(name, 0, union, False, tuple)
            return ct.Declared(
                f"{'union' if union else 'struct'} {name}", lambda: self.struct(name) or nowhere
            )
        if not 0 <= (size or 0) <= ct.MAX_BYTES:
            raise KernelDamaged(f"the structure {name} has no sensible size")
        read = _kept(lambda: tuple(self._members(entry)))
        return ct.Struct(name, size or 0, union, complete, read)

    def _members(self, entry: Entry) -> Iterator[ct.Member]:
        for count, one in enumerate(entry.unit.children(entry)):
            if count > _MAX_MEMBERS:
                raise KernelDamaged(f"the structure {entry.name} has too many members")
            if one.tag == n.TAG_MEMBER:
                yield ct.Member(
                    one.name, self._target(one), self._bit_offset(one),
                    one.number(n.AT_BIT_SIZE) or 0,
                )  # fmt: skip

    def _bit_offset(self, member: Entry) -> int:
        within = member.number(n.AT_DATA_BIT_OFFSET)
        if within is not None:
            return within
        start = 8 * _member_place(member)
        bits, from_top = member.number(n.AT_BIT_SIZE), member.number(n.AT_BIT_OFFSET)
        if bits is None or from_top is None:
            return start
        # DWARF 2 and 3 count from the most significant bit of the whole
        size = member.number(n.AT_BYTE_SIZE) or self.type_of(member).size
        return start + 8 * size - from_top - bits

    def _array(self, entry: Entry) -> ct.Type:
        counts = [_count(one) for one in entry.unit.children(entry) if one.tag == n.TAG_SUBRANGE]
        later = self._target(entry)
        for count in reversed(counts[1 : ct.MAX_DEPTH]):
            inner = ct.Array(later, count)
            later = _always(inner)
        return ct.Array(later, counts[0] if counts else None)

    def _enum(self, entry: Entry) -> ct.Type:
        under = ct.strip(self.type_of(entry))
        ones = [one for one in entry.unit.children(entry) if one.tag == n.TAG_ENUMERATOR]
        values = {one.name: one.number(n.AT_CONST_VALUE) or 0 for one in ones[:_MAX_MEMBERS]}
        signed = under.signed if isinstance(under, ct.Int) else min(values.values(), default=0) < 0
        size = entry.number(n.AT_BYTE_SIZE) or under.size or 4
        return ct.Enum(entry.name, min(size, 8), signed, values)


def static_address(entry: Entry) -> int | None:
    """Where a variable always is: its location is just an address. None for any other."""
    form, value = entry.values.get(n.AT_LOCATION, (0, b""))
    if form == n.FORM_SEC_OFFSET or not isinstance(value, bytes) or not value:
        return None
    width = entry.unit.widths.address
    if value[0] == _OP_ADDR and len(value) == 1 + width:
        return int.from_bytes(value[1:], "little")
    if value[0] == _OP_ADDRX:
        try:
            return entry.unit.indexed_address(uleb(value, 1)[0])
        except IndexError:
            return None
    return None


def _base(entry: Entry) -> ct.Type:
    size, encoding = entry.number(n.AT_BYTE_SIZE) or 0, entry.number(n.AT_ENCODING)
    if not 0 <= size <= 64:
        raise KernelDamaged(f"the type {entry.name} has no sensible size")
    if encoding == n.ATE_FLOAT:
        return ct.Float(entry.name, size)
    signed = encoding in (n.ATE_SIGNED, n.ATE_SIGNED_CHAR)
    kind = "bool" if encoding == n.ATE_BOOLEAN else "char" if encoding in _CHARS else "int"
    return ct.Int(entry.name, size, signed, kind)


def _member_place(member: Entry) -> int:
    _, value = member.values.get(n.AT_DATA_MEMBER_LOCATION, (0, 0))
    if isinstance(value, int):
        return value
    try:  # DWARF 2 wrote an expression
        return uleb(value, 1)[0] if value[:1] == bytes([_OP_PLUS_UCONST]) else 0
    except IndexError as error:
        raise KernelDamaged("the place of a member is broken") from error


def _count(subrange: Entry) -> int | None:
    count = subrange.number(n.AT_COUNT)
    if count is not None:
        return max(count, 0)
    form, value = subrange.values.get(n.AT_UPPER_BOUND, (0, None))
    if not isinstance(value, int) or form in n.REFERENCES:
        return None
    return 0 if value < 0 or value >= (1 << 64) - 1 else value + 1


def _always(found: ct.Type) -> ct.Later:
    return lambda: found


def _kept(read: Callable[[], T]) -> Callable[[], T]:
    return cache(read)
