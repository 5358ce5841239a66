"""C types as a kernel's debug information tells them: plain values, whoever read them.

A type names others by what reads them when asked (``Pointer.target``), for structures point to
themselves. ``const``, ``volatile`` and the like are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from timehands.errors import KernelDamaged

POINTER_BYTES: Final = 8
#: Typedefs of typedefs, members in anonymous members, arrays of arrays: no deeper than this.
MAX_DEPTH: Final = 64
MAX_BYTES: Final = 1 << 48

Later = Callable[[], "Type"]


@dataclass(frozen=True)
class Type:
    """Any type. ``size`` is in bytes; 0 when there is none: void, functions, declarations only."""

    @property
    def size(self) -> int:
        """Bytes that a value takes."""
        return 0

    def __str__(self) -> str:
        return spell(self)


@dataclass(frozen=True)
class Void(Type):
    """No value, or one of a type that the kernel does not tell."""


@dataclass(frozen=True)
class Int(Type):
    """An integer. ``kind`` is ``int``, ``char`` or ``bool``."""

    name: str
    bytes: int
    signed: bool
    kind: str = "int"

    @property
    def size(self) -> int:
        return self.bytes


@dataclass(frozen=True)
class Float(Type):
    """A floating point number."""

    name: str
    bytes: int

    @property
    def size(self) -> int:
        return self.bytes


@dataclass(frozen=True)
class Pointer(Type):
    """An address of ``bytes`` bytes where a ``target`` lies."""

    later: Later = field(repr=False, compare=False)
    bytes: int = POINTER_BYTES

    @property
    def size(self) -> int:
        return self.bytes

    @property
    def target(self) -> Type:
        """What it points to."""
        return self.later()


@dataclass(frozen=True)
class Array(Type):
    """``count`` elements; None for a flexible array, which takes no room."""

    later: Later = field(repr=False, compare=False)
    count: int | None

    @property
    def element(self) -> Type:
        """The type of each element."""
        return self.later()

    @property
    def size(self) -> int:
        total, inner = self.count or 0, self.element
        for _ in range(MAX_DEPTH):
            inner = strip(inner)
            if not isinstance(inner, Array):
                total *= inner.size
                break
            total, inner = total * (inner.count or 0), inner.element
        if not 0 <= total <= MAX_BYTES:
            raise KernelDamaged("an array's size makes no sense")
        return total


@dataclass(frozen=True)
class Member:
    """One member. ``bit_offset`` from the structure's start; ``bit_size`` 0 unless a bit field;
    ``name`` is empty for an anonymous structure or union."""

    name: str
    later: Later = field(repr=False, compare=False)
    bit_offset: int
    bit_size: int = 0

    @property
    def type(self) -> Type:
        """Its type."""
        return self.later()

    @property
    def offset(self) -> int:
        """Bytes from the structure's start, of the byte with a bit field's first bit."""
        return self.bit_offset // 8


@dataclass(frozen=True)
class Struct(Type):
    """A structure or, with ``union``, a union. ``complete`` is False when only declared."""

    name: str
    bytes: int
    union: bool
    complete: bool
    read: Callable[[], tuple[Member, ...]] = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        return self.bytes

    @property
    def members(self) -> tuple[Member, ...]:
        """As declared, anonymous ones among them."""
        return self.read()

    def member(self, name: str) -> Member | None:
        """A member by name, also one inside an anonymous member; None when there is none."""
        return next((one for one in self.named_members() if one.name == name), None)

    def named_members(self) -> Iterator[Member]:
        """Those with names, those of anonymous members among them, from this one's start."""
        return _flat(self, 0, MAX_DEPTH)


def _flat(struct: Struct, base: int, depth: int) -> Iterator[Member]:
    for one in struct.members:
        offset = base + one.bit_offset
        if one.name:
            yield Member(one.name, one.later, offset, one.bit_size)
        elif depth and isinstance(inner := strip(one.type), Struct):
            yield from _flat(inner, offset, depth - 1)


@dataclass(frozen=True)
class Enum(Type):
    """An enumeration and its names."""

    name: str
    bytes: int
    signed: bool
    values: Mapping[str, int] = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        return self.bytes


@dataclass(frozen=True)
class Typedef(Type):
    """Another name for a type."""

    name: str
    later: Later = field(repr=False, compare=False)

    @property
    def target(self) -> Type:
        """What it stands for."""
        return self.later()

    @property
    def size(self) -> int:
        return strip(self).size


@dataclass(frozen=True)
class Declared(Typedef):
    """A structure that is only declared here; ``target`` is the one defined elsewhere, which is
    looked for when it is asked for."""


@dataclass(frozen=True)
class Func(Type):
    """A function's type: ``parameters`` are (name, type) in order; a name may be empty."""

    later: Later = field(repr=False, compare=False)
    read: Callable[[], tuple[tuple[str, Type], ...]] = field(repr=False, compare=False)
    variadic: bool = False

    @property
    def result(self) -> Type:
        """What it returns."""
        return self.later()

    @property
    def parameters(self) -> tuple[tuple[str, Type], ...]:
        """What it takes."""
        return self.read()


@dataclass(frozen=True)
class Variable:
    """A global or static variable: ``address`` is virtual, as the kernel was linked."""

    name: str
    type: Type
    address: int


@dataclass(frozen=True)
class FunctionInfo:
    """A function as debug information tells it.

    Attributes:
        low_pc: where it begins; None when it has no code of its own (always inlined).
        high_pc: where it ends, without parts that were split off; None when not known.
        file: its source file, empty when not known; ``line`` is 0 then.
        inlined: whether the compiler made it to be inlined somewhere.
        usual_convention: False when the compiler changed how arguments are passed.
        entry: where its debug information lies; the source's own matter.
    """

    name: str
    type: Func
    low_pc: int | None = None
    high_pc: int | None = None
    file: str = ""
    line: int = 0
    inlined: bool = False
    usual_convention: bool = True
    entry: object = field(default=None, repr=False, compare=False)

    @property
    def parameters(self) -> tuple[tuple[str, Type], ...]:
        """(name, type) in order."""
        return self.type.parameters


class Types(Protocol):
    """A kernel's types, by name. What is not there is None."""

    def struct(self, name: str) -> Struct | None:
        """A structure or union, also behind a typedef of that name; defined, not declared, if
        it is defined anywhere."""

    def enum(self, name: str) -> Enum | None:
        """An enumeration by its tag."""

    def named(self, name: str) -> Type | None:
        """A typedef or a base type, such as ``uint64_t``."""

    def variable(self, name: str, address: int | None = None) -> Variable | None:
        """A variable; of several statics of one name, that at an address."""

    def function(self, name: str, address: int | None = None) -> FunctionInfo | None:
        """A function; of several statics of one name, that at an address."""

    def constant(self, name: str) -> int | None:
        """The value of an enumeration's name."""


VOID: Final = Void()
CHAR: Final = Int("char", 1, True, "char")
INT: Final = Int("int", 4, True)
UNSIGNED: Final = Int("unsigned int", 4, False)
LONG: Final = Int("long", 8, True)
UNSIGNED_LONG: Final = Int("unsigned long", 8, False)
BOOL: Final = Int("_Bool", 1, False, "bool")


def pointer_to(target: Type) -> Pointer:
    """``target *``."""
    return Pointer(lambda: target)


def strip(of: Type) -> Type:
    """The type behind typedefs. Raises `KernelDamaged` when they go in circles."""
    for _ in range(MAX_DEPTH):
        if not isinstance(of, Typedef):
            return of
        of = of.target
    raise KernelDamaged("a typedef stands for itself")


def is_char(of: Type) -> bool:
    """Whether this is what strings are made of."""
    if isinstance(of, Declared):
        return False
    of = strip(of)
    return isinstance(of, Int) and of.kind == "char" and of.bytes == 1


# ---- as C writes them


def spell(of: Type) -> str:
    """A type as C writes it: ``struct timecounter *``, ``void (*)(int)``, ``char [16]``."""
    return _declare(of, "", 8).strip()


def _declare(of: Type, inner: str, depth: int) -> str:
    if not depth:
        return "..."
    if isinstance(of, Pointer):
        target = of.target
        grouped = isinstance(target, Array | Func)
        return _declare(target, f"(*{inner})" if grouped else f"*{inner}", depth - 1)
    if isinstance(of, Array):
        count = "" if of.count is None else of.count
        return _declare(of.element, f"{inner}[{count}]", depth - 1)
    if isinstance(of, Func):
        takes = [_declare(one, "", depth - 1).strip() for _, one in of.parameters[:16]]
        takes += ["..."] if of.variadic else []
        return _declare(of.result, f"{inner}({', '.join(takes) or 'void'})", depth - 1)
    return f"{_word(of)} {inner}"


def _word(of: Type) -> str:
    if isinstance(of, Struct):
        return f"{'union' if of.union else 'struct'} {of.name or '{...}'}"
    if isinstance(of, Enum):
        return f"enum {of.name or '{...}'}"
    return of.name if isinstance(of, Int | Float | Typedef) else "void"


# ---- the types that C itself has

_KEYWORDS: Final = frozenset(
    ("char", "short", "int", "long", "signed", "unsigned", "void", "float", "double")
) | {"_Bool", "bool"}
#: For a kernel that tells no types: names that mean the same everywhere.
_COMMON: Final = {
    **{f"{u}int{n}_t": (n // 8, not u) for n in (8, 16, 32, 64) for u in ("", "u")},
    **{f"u_int{n}_t": (n // 8, False) for n in (8, 16, 32, 64)},
    **{f"{s}{n}": (n // 8, s == "s") for n in (8, 16, 32, 64) for s in ("u", "s")},
    **dict.fromkeys(("size_t", "uintptr_t", "u_long", "register_t", "vaddr_t"), (8, False)),
    **dict.fromkeys(("ssize_t", "intptr_t", "ptrdiff_t"), (8, True)),
    "u_int": (4, False),
    "uint": (4, False),
    "u_char": (1, False),
    "u_short": (2, False),
}


def is_keyword(word: str) -> bool:
    """Whether a word is one of those that C's own types are made of."""
    return word in _KEYWORDS


def common(name: str) -> Type | None:
    """``uint64_t``, ``u32``, ``size_t`` and such, for a kernel that tells no types."""
    found = _COMMON.get(name)
    return Int(name, *found) if found else None


def builtin(words: list[str]) -> Type | None:
    """The type that C's keywords make in any order: ``long unsigned int``; None for nonsense."""
    if words in (["void"], ["float"], ["double"]):
        return VOID if words == ["void"] else Float(words[0], 4 if words == ["float"] else 8)
    if words in (["_Bool"], ["bool"]):
        return BOOL
    if not words or not set(words) <= {"char", "short", "int", "long", "signed", "unsigned"}:
        return None
    counts = {word: words.count(word) for word in set(words)}
    longs = counts.pop("long", 0)
    base = sum(word in counts for word in ("char", "short"))
    if longs > 2 or max(counts.values(), default=1) > 1 or base + bool(longs) > 1:
        return None
    if {"signed", "unsigned"} <= set(counts) or {"char", "int"} <= set(counts):
        return None
    return _integer(set(counts), longs)


def _integer(words: set[str], longs: int) -> Int:
    prefix = "unsigned " if "unsigned" in words else ""
    if "char" in words:
        name = prefix + ("signed " if "signed" in words else "") + "char"
        return Int(name, 1, not prefix, "char")
    name, size = ("short", 2) if "short" in words else ("int", 4)
    if longs:
        name, size = ("long long" if longs == 2 else "long"), 8
    return Int(prefix + name, size, not prefix)
