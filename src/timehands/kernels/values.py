"""Values of C types in a guest's memory, read when they are looked at.

::

    tc = Value(pointer_type, reading, InRegister("rdi"))
    tc.tc_name                  # a member, through the pointer: Value
    str(tc.tc_name)             # "i8254"
    int(tc.tc_frequency)        # 1193182
    tc["tc_next"]               # the same as tc.tc_next, for names that Value itself has
    for one in follow(tc, "tc_next"): ...

A value that cannot be read, or is nowhere, prints as such and raises `ValueUnreadable` when it is
used. All reading is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from timehands.errors import KernelDamaged, NoSuchMember, UsageError, ValueUnreadable
from timehands.kernels.memory import Memory, Unreadable
from timehands.kernels.places import Gone, InMemory, InRegister, Known, Pieces, Place
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.types import (
    UNSIGNED_LONG,
    Array,
    Enum,
    Func,
    Int,
    Member,
    Pointer,
    Struct,
    Type,
    Void,
    is_char,
    pointer_to,
    strip,
)

MAX_STRING: Final = 200
MAX_ELEMENTS: Final = 65536
_MAX_VALUE: Final = 1 << 16
_MASK: Final = (1 << 64) - 1
_ALIASES: Final = {"pc": "rip", "sp": "rsp", "fp": "rbp", "eflags": "rflags"}


@dataclass(frozen=True)
class Reading:
    """What values are read from: memory, registers by name, and symbols that name addresses."""

    memory: Memory
    registers: Mapping[str, int] = field(default_factory=dict)
    symbols: SymbolTable | None = None


class Value:
    """One value: a type, and where it is.

    Args:
        type: as declared, typedefs and all.
        reading: what it is read from.
        place: where it is.
        bits: for a bit field: its first bit from the place's start, and its width.
    """

    __slots__ = ("bits", "place", "reading", "type")

    def __init__(
        self,
        type: Type,
        reading: Reading,
        place: Place,
        bits: tuple[int, int] | None = None,
    ) -> None:
        self.type = type
        self.reading = reading
        self.place = place
        self.bits = bits

    # ---- its bytes

    @property
    def address(self) -> int | None:
        """Where it is in memory; None when it is elsewhere."""
        return self.place.address if isinstance(self.place, InMemory) else None

    def raw(self) -> bytes:
        """Its bytes, as many as its type takes. Raises `ValueUnreadable`."""
        size = _size(self.type) if self.bits is None else -(-sum(self.bits) // 8)
        if size > _MAX_VALUE:
            raise ValueUnreadable(f"a value of {size} bytes is too large to read at once")
        return _read(self.place, size, self.reading)

    def __int__(self) -> int:
        """As a number: an integer, a pointer's address, an enumeration's value. An array and a
        function count as the address where they are, as in C."""
        kind = strip(self.type)
        if isinstance(kind, Array | Func):
            return self._address()
        if not isinstance(kind, Int | Pointer | Enum):
            raise UsageError(f"a value of type {self.type} is no number")
        number = int.from_bytes(self.raw(), "little")
        width = 8 * kind.size
        if self.bits is not None:
            start, width = self.bits
            number = number >> start & (1 << width) - 1
        signed = isinstance(kind, Int | Enum) and kind.signed
        return number - (1 << width) if signed and width and number >> (width - 1) else number

    __index__ = __int__

    def __bool__(self) -> bool:
        return int(self) != 0

    def __eq__(self, other: object) -> bool:
        return int(self) == int(other) if isinstance(other, Value | int) else NotImplemented

    def __hash__(self) -> int:
        return hash(int(self))

    def __str__(self) -> str:
        """A string for a pointer to characters or an array of them, else as `format` prints."""
        return self.string() if _is_string(self.type) else self.format()

    def __repr__(self) -> str:
        return f"<{self.type}: {self.format()}>"

    def format(self, depth: int = 4, elements: int = 64) -> str:
        """As a debugger prints it; see `timehands.kernels.printing`."""
        from timehands.kernels.printing import Printer

        return Printer(depth, elements).text(self)

    def string(self, most: int = MAX_STRING) -> str:
        """The C string, of at most ``most`` bytes, with what cannot be printed escaped."""
        data, whole = self.characters(most)
        return escape(data) + ("" if whole else "...")

    def characters(self, most: int = MAX_STRING) -> tuple[bytes, bool]:
        """The bytes of a C string without its NUL, and whether that is all of it."""
        kind = strip(self.type)
        if isinstance(kind, Array) and is_char(kind.element):
            limit = min(most, kind.count) if kind.count is not None else most
            whole_array = kind.count is not None and kind.count <= most
            data, whole = _string(self._address(), limit, self.reading.memory)
            return data, whole or whole_array
        if isinstance(kind, Pointer):
            return _string(self._pointer(), most, self.reading.memory)
        raise UsageError(f"a value of type {self.type} is no string")

    # ---- what it leads to

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):  # what Python itself asks for: copy, pickle
            raise AttributeError(name)
        return self.member(name)

    def __getitem__(self, key: str | int) -> Value:
        return self.member(key) if isinstance(key, str) else self.element(key)

    def member(self, name: str) -> Value:
        """A structure's member, of the structure pointed to when this is a pointer.

        Raises:
            NoSuchMember: it is none, or there is none of that name.
        """
        owner = self.deref() if isinstance(strip(self.type), Pointer) else self
        kind = strip(owner.type)
        if not isinstance(kind, Struct):
            raise NoSuchMember(f"a value of type {self.type} has no members (asked for {name})")
        found = kind.member(name)
        if found is None:
            raise _no_member(kind, name)
        return owner.at_member(found)

    def at_member(self, member: Member) -> Value:
        """The value of one of its type's members."""
        if member.bit_size:
            start = member.bit_offset // 8
            bits = member.bit_offset % 8, member.bit_size
            return Value(member.type, self.reading, _part(self.place, start), bits)
        return Value(member.type, self.reading, _part(self.place, member.offset))

    def element(self, index: int) -> Value:
        """``value[index]``, of an array or from a pointer; not checked against the array's end."""
        kind = strip(self.type)
        if isinstance(kind, Array):
            place = _part(self.place, index * kind.element.size)
            return Value(kind.element, self.reading, place)
        if isinstance(kind, Pointer):
            at = self._pointer() + index * max(kind.target.size, 1)
            return Value(kind.target, self.reading, InMemory(at & _MASK))
        raise UsageError(f"a value of type {self.type} cannot be indexed")

    def __len__(self) -> int:
        kind = strip(self.type)
        if isinstance(kind, Array):
            return kind.count or 0
        raise TypeError(f"a value of type {self.type} has no length")

    def __iter__(self) -> Iterator[Value]:
        """The elements of an array, at most `MAX_ELEMENTS`."""
        return (self.element(index) for index in range(min(len(self), MAX_ELEMENTS)))

    def deref(self) -> Value:
        """What it points to."""
        kind = strip(self.type)
        if isinstance(kind, Array):
            return self.element(0)
        if not isinstance(kind, Pointer):
            raise UsageError(f"a value of type {self.type} is no pointer")
        try:
            place: Place = InMemory(self._pointer())
        except ValueUnreadable as error:
            place = Gone(str(error))
        return Value(kind.target, self.reading, place)

    def address_of(self) -> Value:
        """A pointer to it. Raises `ValueUnreadable` when it is not in memory."""
        return literal(pointer_to(self.type), self._address(), self.reading)

    def cast(self, to: Type) -> Value:
        """The same number as another type: C's cast. Raises `UsageError` for what is no number."""
        kind = strip(to)
        if not isinstance(kind, Int | Pointer | Enum):
            raise UsageError(f"nothing can be cast to {to}")
        number = int(self)
        if isinstance(kind, Int) and kind.kind == "bool":
            number = int(number != 0)
        return literal(to, number, self.reading)

    def _pointer(self) -> int:
        return int.from_bytes(self.raw(), "little")

    def _address(self) -> int:
        if self.address is not None:
            return self.address
        why = self.place.why if isinstance(self.place, Gone) else "it is in a register"
        raise ValueUnreadable(f"this value has no address: {why}")


def literal(type: Type, number: int, reading: Reading) -> Value:
    """A value that is nowhere: a number, cut to its type's width."""
    size = max(_size(type), 1)
    return Value(type, reading, Known((number & (1 << 8 * size) - 1).to_bytes(size, "little")))


def register_value(name: str, reading: Reading) -> Value | None:
    """A register by any of its names: ``rax``, ``eax``, ``al``, ``pc``; None when not known."""
    name = _ALIASES.get(name, name)
    for whole in reading.registers:
        if name == whole:
            return Value(UNSIGNED_LONG, reading, InRegister(whole))
    for whole, (size, start) in _parts_of(name):
        if whole in reading.registers:
            kind = Int(f"register of {size} bytes", size, False)
            number = reading.registers[whole] >> 8 * start
            return literal(kind, number, reading)
    return None


def _parts_of(name: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The 64-bit register that a name is a part of, the part's size and first byte."""
    if name.startswith("e"):
        yield "r" + name[1:], (4, 0)
    if name.startswith("r") and name[-1:] in "dwb":
        yield name[:-1], ({"d": 4, "w": 2, "b": 1}[name[-1]], 0)
    if len(name) == 2:
        if name[1] in "lh" and name[0] in "abcd":
            yield f"r{name[0]}x", (1, int(name[1] == "h"))
        yield "r" + name, (2, 0)
    if len(name) == 3 and name[2] == "l":
        yield "r" + name[:2], (1, 0)


@dataclass(frozen=True)
class Chain:
    """A linked list as far as it could be followed.

    Attributes:
        values: each element, as a pointer to it.
        end: why it ends: empty at a null pointer, else in words.
    """

    values: tuple[Value, ...]
    end: str = ""

    def __iter__(self) -> Iterator[Value]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


def follow(first: Value, link: str, most: int = 1000) -> Chain:
    """The elements of a list, from a pointer to its first, by the member that points to the next.

    Ends at a null pointer, at an element that was there before, at one that cannot be read, and
    after ``most`` elements: the last three are said in ``end``.
    """
    found: list[Value] = []
    seen: set[int] = set()
    current = first
    try:
        while address := int(current):
            if address in seen:
                return Chain(tuple(found), f"it goes in circles, back to {address:#x}")
            if len(found) >= most:
                return Chain(tuple(found), f"more than {most} elements")
            following = literal(current.type, address, current.reading).member(link)
            int(following)  # an element that cannot be read is none
            seen.add(address)
            found.append(literal(current.type, address, current.reading))
            current = following
    except ValueUnreadable as error:
        return Chain(tuple(found), str(error))
    return Chain(tuple(found))


def escape(data: bytes) -> str:
    """Bytes as C writes them in a string: ``i8254\\n``, ``\\033``."""
    return "".join(_ESCAPES.get(byte) or _character(byte) for byte in data)


_ESCAPES: Final = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}


def _character(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def _is_string(of: Type) -> bool:
    kind = strip(of)
    if isinstance(kind, Array):
        return is_char(kind.element)
    return isinstance(kind, Pointer) and is_char(kind.target)


def _no_member(kind: Struct, name: str) -> NoSuchMember:
    if not kind.complete:
        return NoSuchMember(f"{kind} is only declared: its members are not known")
    names = [one.name for one in kind.named_members()]
    near = tuple(get_close_matches(name, names, n=3))
    return NoSuchMember(f"{kind} has no member {name}", near=near)


def _size(of: Type) -> int:
    try:
        return 1 if isinstance(strip(of), Void | Func) else of.size
    except KernelDamaged as error:
        raise ValueUnreadable(str(error)) from error


def _part(place: Place, offset: int) -> Place:
    """What lies ``offset`` bytes further."""
    if isinstance(place, InMemory):
        return InMemory((place.address + offset) & _MASK)
    if not offset or isinstance(place, Gone):
        return place
    return Pieces(((place, -offset),))  # a negative size: so many bytes of it are passed over


def _read(place: Place, size: int, reading: Reading) -> bytes:
    if isinstance(place, InMemory):
        try:
            return reading.memory.read(place.address, size)
        except Unreadable as error:
            at = place.address
            raise ValueUnreadable(f"cannot be read at {at:#x}", address=at) from error
    if isinstance(place, Gone):
        raise ValueUnreadable(place.why)
    data = _bytes_of(place, size, reading)
    if len(data) < size:
        raise ValueUnreadable(f"only {len(data)} of {size} bytes are known")
    return data[:size]


def _bytes_of(place: InRegister | Known | Pieces, size: int, reading: Reading) -> bytes:
    if isinstance(place, Known):
        return place.data
    if isinstance(place, InRegister):
        if place.name not in reading.registers:
            raise ValueUnreadable(f"the register {place.name} is not known")
        return (reading.registers[place.name] & _MASK).to_bytes(8, "little")
    data = b""
    for part, length in place.parts:
        if length < 0:
            data += _read(part, size - length, reading)[-length:]
        else:
            data += _read(part, length, reading)
    return data


def _string(address: int, most: int, memory: Memory) -> tuple[bytes, bool]:
    """The bytes before a NUL, and whether one was found."""
    found = b""
    while len(found) < most:
        at = (address + len(found)) & _MASK
        length = min(most - len(found), 64 - at % 64)
        try:
            part = memory.read(at, length)
        except Unreadable as error:
            if found:
                return found, False
            raise ValueUnreadable(f"cannot be read at {address:#x}", address=address) from error
        end = part.find(b"\0")
        if end >= 0:
            return found + part[:end], True
        found += part
    return found, False
