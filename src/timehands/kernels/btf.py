"""BTF: the compact type descriptions that a Linux kernel carries.

Source of facts: Linux include/uapi/linux/btf.h and Documentation/bpf/btf.rst.

Only the place of each type is noted at first (about 0.1 s for 150,000 types); a type is read when
asked for::

    btf = Btf(section)
    btf.member("timekeeper", "tkr_mono.mult").offset    # bytes from the structure's start
    btf.enum("clocksource_ids")["CSID_X86_KVM_CLK"]
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels import structs
from timehands.kernels.enums import BtfKind

_MAGIC: Final = 0xEB9F
_VERSION: Final = 1
_MAX_TYPES: Final = 1_000_000
_MAX_NAME: Final = 4096
_MAX_DEPTH: Final = 64
_MAX_MEMBERS: Final = 1 << 16
_MAX_BYTES: Final = 1 << 48  # larger than anything in memory: arrays of arrays can lie
_POINTER_BYTES: Final = 8

_SIZED: Final = frozenset(
    (
        BtfKind.INT,
        BtfKind.STRUCT,
        BtfKind.UNION,
        BtfKind.ENUM,
        BtfKind.ENUM64,
        BtfKind.FLOAT,
        BtfKind.DATASEC,
    )
)
_TRANSPARENT: Final = frozenset(
    (BtfKind.TYPEDEF, BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG)
)
_COMPOSITE: Final = frozenset((BtfKind.STRUCT, BtfKind.UNION))
_ENUMS: Final = frozenset((BtfKind.ENUM, BtfKind.ENUM64))

# Bytes after struct btf_type: (fixed, for each of vlen).
_TAIL: Final[dict[int, tuple[int, int]]] = {
    BtfKind.INT: (4, 0),
    BtfKind.ARRAY: (12, 0),
    BtfKind.STRUCT: (0, 12),
    BtfKind.UNION: (0, 12),
    BtfKind.ENUM: (0, 8),
    BtfKind.FUNC_PROTO: (0, 8),
    BtfKind.VAR: (4, 0),
    BtfKind.DATASEC: (0, 12),
    BtfKind.DECL_TAG: (4, 0),
    BtfKind.ENUM64: (0, 12),
}


@dataclass(frozen=True)
class BtfType:
    """One type. ``size_or_type`` is a size in bytes or another type's number, by kind."""

    id: int
    kind: BtfKind
    name: str
    vlen: int
    kind_flag: bool
    size_or_type: int


@dataclass(frozen=True)
class Member:
    """One member of a structure or union.

    Attributes:
        name: empty for an anonymous structure or union.
        type_id: its type.
        bit_offset: from the start of the structure that was asked for.
        bit_size: the width of a bit field, 0 for any other member.
    """

    name: str
    type_id: int
    bit_offset: int
    bit_size: int

    @property
    def offset(self) -> int:
        """Bytes from the structure's start (of the byte that holds a bit field's first bit)."""
        return self.bit_offset // 8


class Btf:
    """The types of one kernel.

    Args:
        data: the contents of the ``.BTF`` section.

    Raises:
        KernelDamaged: it is no BTF, or a type lies outside it. Any method may raise it too.
    """

    def __init__(self, data: memoryview) -> None:
        if len(data) < structs.BTF_HEADER.size:
            raise KernelDamaged("the BTF section is too small for its header")
        magic, version, _flags, header_size, *places = structs.BTF_HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise KernelDamaged("the BTF section does not begin as BTF")
        types_at, types_size, strings_at, strings_size = places
        if header_size + max(types_at + types_size, strings_at + strings_size) > len(data):
            raise KernelDamaged("the BTF section is cut short")
        self._types = data[header_size + types_at :][:types_size]
        self._strings = bytes(data[header_size + strings_at :][:strings_size])

    def __repr__(self) -> str:
        return f"<Btf: {len(self):,} types>"

    def __len__(self) -> int:
        """How many types there are, void not counted; they are numbered from 1."""
        return len(self._places) - 1

    @cached_property
    def _places(self) -> array[int]:
        """Where each type begins; number 0, void, has no place."""
        # Kinds that the format gains later would have a tail of unknown size: refused.
        tails = [_TAIL.get(kind, (0, 0)) if kind <= max(BtfKind) else None for kind in range(32)]
        unpack, types, end = structs.U32.unpack_from, self._types, len(self._types)
        places, at = [0], 0
        while at + 12 <= end:
            places.append(at)
            info = unpack(types, at + 4)[0]
            tail = tails[info >> 24 & 0x1F]
            if tail is None or len(places) > _MAX_TYPES:
                raise KernelDamaged(f"the BTF type at {at} is of a kind that BTF does not have")
            at += 12 + tail[0] + tail[1] * (info & 0xFFFF)
        if at != end:
            raise KernelDamaged("the last BTF type is cut short")
        return array("I", places)

    def _string(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset, offset + _MAX_NAME)
        if end < 0:
            raise KernelDamaged(f"the BTF name at {offset} has no end")
        return self._strings[offset:end].decode("latin-1")

    def type(self, type_id: int) -> BtfType:
        """The type with a number; number 0 is void."""
        if type_id == 0:
            return BtfType(0, BtfKind.VOID, "void", 0, False, 0)
        if type_id >= len(self._places):
            raise KernelDamaged(f"BTF names a type {type_id}, but has only {len(self)}")
        name_at, info, value = structs.BTF_TYPE.unpack_from(self._types, self._places[type_id])
        return BtfType(
            id=type_id,
            kind=BtfKind(info >> 24 & 0x1F),
            name=self._string(name_at),
            vlen=info & 0xFFFF,
            kind_flag=bool(info >> 31),
            size_or_type=value,
        )

    def __iter__(self) -> Iterator[BtfType]:
        return (self.type(number) for number in range(1, len(self._places)))

    def find(self, name: str, *kinds: BtfKind) -> BtfType | None:
        """The first type with a name, of one of the kinds (of any kind, when none is named)."""
        wanted = name.encode("latin-1", "replace")
        for type_id in self._by_name.get(self._name_offset(wanted), ()):
            found = self.type(type_id)
            if not kinds or found.kind in kinds:
                return found
        return None

    @cached_property
    def _by_name(self) -> dict[int, list[int]]:
        """Type numbers by where their name lies in the strings."""
        unpack, types = structs.U32.unpack_from, self._types
        found: dict[int, list[int]] = {}
        for number, at in enumerate(self._places[1:], 1):
            found.setdefault(unpack(types, at)[0], []).append(number)
        return found

    def _name_offset(self, name: bytes) -> int:
        """Where a name lies in the strings (each is there once: pahole and libbpf see to that)."""
        at = self._strings.find(b"\0" + name + b"\0")
        return at + 1 if at >= 0 and name else -1

    def struct(self, name: str) -> BtfType | None:
        """The structure or union with a name, or behind a typedef of that name; or None."""
        found = self.find(name, *_COMPOSITE)
        if found:
            return found
        alias = self.find(name, BtfKind.TYPEDEF)
        target = self.resolve(alias.id) if alias else None
        return target if target and target.kind in _COMPOSITE else None

    def resolve(self, type_id: int) -> BtfType:
        """The type behind typedefs and qualifiers."""
        for _ in range(_MAX_DEPTH):
            found = self.type(type_id)
            if found.kind not in _TRANSPARENT:
                return found
            type_id = found.size_or_type
        raise KernelDamaged(f"the BTF type {type_id} is behind more than {_MAX_DEPTH} names")

    def members(self, of: BtfType) -> list[Member]:
        """The members of a structure or union as declared, anonymous ones among them."""
        if of.kind not in _COMPOSITE:
            return []
        at = self._places[of.id] + structs.BTF_TYPE.size
        tail = self._types[at : at + of.vlen * structs.BTF_MEMBER.size]
        return [
            self._member(name_at, type_id, offset, of.kind_flag)
            for name_at, type_id, offset in structs.BTF_MEMBER.iter_unpack(tail)
        ]

    def _member(self, name_at: int, type_id: int, offset: int, packed: bool) -> Member:
        # With kind_flag set, an offset holds the width of a bit field in its upper 8 bits.
        bit_size = offset >> 24 if packed else 0
        bit_offset = offset & 0xFFFFFF if packed else offset
        return Member(self._string(name_at), type_id, bit_offset, bit_size)

    def flat_members(self, of: BtfType) -> Iterator[Member]:
        """The named members, those inside anonymous structures and unions included, with offsets
        from the start of the outermost."""
        pending = [(member, 0) for member in reversed(self.members(of))]
        for _ in range(_MAX_MEMBERS):
            if not pending:
                return
            member, base = pending.pop()
            offset = base + member.bit_offset
            if member.name:
                yield Member(member.name, member.type_id, offset, member.bit_size)
            else:
                inner = self.members(self.resolve(member.type_id))
                pending.extend((one, offset) for one in reversed(inner))
        raise KernelDamaged(f"the BTF structure {of.name} has more than {_MAX_MEMBERS} members")

    def member(self, struct: str, path: str) -> Member | None:
        """A member by its dotted path, such as ``tkr_mono.clock``; None when either is not there.

        The path goes through members that are structures, not through pointers; anonymous ones
        need not be named.
        """
        current = self.struct(struct)
        found: Member | None = None
        base = 0
        for name in path.split("."):
            if current is None:
                return None
            found = next((m for m in self.flat_members(current) if m.name == name), None)
            if found is None:
                return None
            base += found.bit_offset
            inner = self.resolve(found.type_id)
            current = inner if inner.kind in _COMPOSITE else None
        return Member(found.name, found.type_id, base, found.bit_size) if found else None

    def size_of(self, type_id: int) -> int:
        """Bytes that a value of a type takes; 0 for void, functions, and unfinished types."""
        factor = 1
        for _ in range(_MAX_DEPTH):
            found = self.resolve(type_id)
            if found.kind is BtfKind.VAR:
                type_id = found.size_or_type
                continue
            if found.kind is not BtfKind.ARRAY:
                return factor * _plain_size(found)
            type_id, _index, count = self._array(found)
            factor *= count
            if factor > _MAX_BYTES:
                break
        raise KernelDamaged(f"the BTF array {type_id} has no sensible size")

    def _array(self, of: BtfType) -> tuple[int, int, int]:
        """Element type, index type, number of elements."""
        at = self._places[of.id] + structs.BTF_TYPE.size
        element, index, count = structs.BTF_ARRAY.unpack_from(self._types, at)
        return element, index, count

    def array(self, of: BtfType) -> tuple[int, int]:
        """An array's element type and number of elements."""
        element, _, count = self._array(of)
        return element, count

    def encoding(self, of: BtfType) -> tuple[bool, str]:
        """Whether an integer is signed, and whether it is an ``int``, a ``char`` or a ``bool``."""
        at = self._places[of.id] + structs.BTF_TYPE.size
        flags = structs.U32.unpack_from(self._types, at)[0] >> 24 & 0xF
        return bool(flags & 1), "char" if flags & 2 else "bool" if flags & 4 else "int"

    def parameters(self, of: BtfType) -> list[tuple[str, int]]:
        """A function type's parameters: names, which may be empty, and types. A last one of
        ``("", 0)`` stands for ``...``."""
        at = self._places[of.id] + structs.BTF_TYPE.size
        tail = self._types[at : at + of.vlen * structs.BTF_PARAMETER.size]
        pairs = structs.BTF_PARAMETER.iter_unpack(tail)
        return [(self._string(name_at), type_id) for name_at, type_id in pairs]

    def enum(self, name: str) -> dict[str, int] | None:
        """The values of an enumeration by name, or None. Signed as declared."""
        found = self.find(name, *_ENUMS)
        return self.enumerators(found) if found else None

    @cached_property
    def _enums_have_signs(self) -> bool:
        """Whether kind_flag tells signed enumerations from unsigned ones: since Linux 6.0, commit
        6089fb325cf7. Before, all were signed. A kernel has both kinds, so a flag shows."""
        infos = (structs.U32.unpack_from(self._types, at + 4)[0] for at in self._places[1:])
        return any(info >> 31 and info >> 24 & 0x1F in _ENUMS for info in infos)

    def enumerators(self, of: BtfType) -> dict[str, int]:
        """The values of an enumeration, named or not."""
        if of.kind not in _ENUMS:
            return {}
        at = self._places[of.id] + structs.BTF_TYPE.size
        if of.kind is BtfKind.ENUM64:
            tail = self._types[at : at + of.vlen * structs.BTF_ENUM64.size]
            wide = structs.BTF_ENUM64.iter_unpack(tail)
            return {self._string(n): _value64(low, high, of.kind_flag) for n, low, high in wide}
        signed = of.kind_flag or not self._enums_have_signs
        layout = structs.BTF_ENUM if signed else structs.BTF_ENUM_UNSIGNED
        tail = self._types[at : at + of.vlen * layout.size]
        return {self._string(name_at): value for name_at, value in layout.iter_unpack(tail)}


def _plain_size(of: BtfType) -> int:
    if of.kind in _SIZED:
        return of.size_or_type
    return _POINTER_BYTES if of.kind is BtfKind.PTR else 0


def _value64(low: int, high: int, signed: bool) -> int:
    value = high << 32 | low
    return value - (1 << 64) if signed and value >> 63 else value
