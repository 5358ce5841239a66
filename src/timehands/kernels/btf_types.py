"""A Linux kernel's types from its BTF, joined with its symbols for addresses.

BTF has the types of functions, and of variables only where the kernel was built so (per-CPU ones);
where a variable's type is missing, it is not found here.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels import types as ct
from timehands.kernels.btf import Btf, BtfType
from timehands.kernels.enums import BtfKind
from timehands.kernels.symbols import SymbolTable

_MAX_DEPTH: Final = 64
_QUALIFIERS: Final = frozenset(
    (BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG)
)
_NAMED: Final = (BtfKind.TYPEDEF, BtfKind.INT, BtfKind.FLOAT)


class BtfTypes:
    """See `timehands.kernels.types.Types`. A broken type is as if it were not there.

    Args:
        btf: the kernel's.
        symbols: the kernel's.
    """

    def __init__(self, btf: Btf, symbols: SymbolTable) -> None:
        self._btf = btf
        self._symbols = symbols
        self._by_id: dict[int, ct.Type] = {}
        self._constants: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"<BtfTypes: {len(self._btf):,} types>"

    def struct(self, name: str) -> ct.Struct | None:
        """See `Types.struct`."""
        found = self._find(name, BtfKind.STRUCT, BtfKind.UNION) or self.named(name)
        try:
            behind = ct.strip(found) if found else None
        except KernelDamaged:
            return None
        return behind if isinstance(behind, ct.Struct) else None

    def enum(self, name: str) -> ct.Enum | None:
        """See `Types.enum`."""
        found = self._find(name, BtfKind.ENUM, BtfKind.ENUM64)
        return found if isinstance(found, ct.Enum) else None

    def named(self, name: str) -> ct.Type | None:
        """See `Types.named`."""
        return self._find(name, *_NAMED)

    def variable(self, name: str, address: int | None = None) -> ct.Variable | None:
        """See `Types.variable`."""
        found, places = self._entry(name, BtfKind.VAR), self._symbols.lookup(name)
        if found is None or not places or address not in (None, *places):
            return None
        place = places[0] if address is None else address
        return ct.Variable(name, self.type_at(found.size_or_type), place)

    def function(self, name: str, address: int | None = None) -> ct.FunctionInfo | None:
        """See `Types.function`."""
        found, places = self._entry(name, BtfKind.FUNC), self._symbols.lookup(name)
        kind = self.type_at(found.size_or_type) if found else None
        if not isinstance(kind, ct.Func) or address not in (None, *places):
            return None
        low = address if address is not None else places[0] if places else None
        return ct.FunctionInfo(name, kind, low_pc=low)

    def constant(self, name: str) -> int | None:
        """See `Types.constant`. The first time reads all enumerations, some 20 ms."""
        if self._constants is None:
            self._constants = {}
            try:
                for one in self._btf:
                    if one.kind in (BtfKind.ENUM, BtfKind.ENUM64):
                        self._constants = self._btf.enumerators(one) | self._constants
            except KernelDamaged:
                pass
        return self._constants.get(name)

    def _entry(self, name: str, *kinds: BtfKind) -> BtfType | None:
        try:
            return self._btf.find(name, *kinds)
        except KernelDamaged:
            return None

    def _find(self, name: str, *kinds: BtfKind) -> ct.Type | None:
        found = self._entry(name, *kinds)
        try:
            return self.type_at(found.id) if found else None
        except KernelDamaged:
            return None

    def type_at(self, type_id: int) -> ct.Type:
        """The type with a number; void for what is no type of a value."""
        if type_id not in self._by_id:
            found = self._btf.type(type_id)
            for _ in range(_MAX_DEPTH):
                if found.kind not in _QUALIFIERS:
                    break
                found = self._btf.type(found.size_or_type)
            self._by_id[type_id] = self._read(found)
        return self._by_id[type_id]

    def _later(self, type_id: int) -> ct.Later:
        return lambda: self.type_at(type_id)

    def _read(self, of: BtfType) -> ct.Type:
        match of.kind:
            case BtfKind.INT:
                return self._int(of)
            case BtfKind.FLOAT:
                return ct.Float(of.name, of.size_or_type)
            case BtfKind.PTR:
                return ct.Pointer(self._later(of.size_or_type))
            case BtfKind.ARRAY:
                element, count = self._btf.array(of)
                return ct.Array(self._later(element), count)
            case BtfKind.STRUCT | BtfKind.UNION:
                read = cache(lambda: self._members(of))
                union = of.kind is BtfKind.UNION
                return ct.Struct(of.name, of.size_or_type, union, True, read)
            case BtfKind.FWD:
                whole = self._find(of.name, BtfKind.STRUCT, BtfKind.UNION)
                return whole or ct.Struct(of.name, 0, of.kind_flag, False, tuple)
            case BtfKind.ENUM | BtfKind.ENUM64:
                return self._enum(of)
            case BtfKind.TYPEDEF:
                return ct.Typedef(of.name, self._later(of.size_or_type))
            case BtfKind.FUNC_PROTO:
                return self._func(of)
        return ct.VOID

    def _int(self, of: BtfType) -> ct.Type:
        signed, kind = self._btf.encoding(of)
        if of.name in ("char", "signed char", "unsigned char"):  # gcc's BTF marks them as integers
            kind = "char"
        return ct.Int(of.name, of.size_or_type, signed, kind)

    def _enum(self, of: BtfType) -> ct.Type:
        values = self._btf.enumerators(of)
        signed = min(values.values(), default=0) < 0
        return ct.Enum(of.name, of.size_or_type, signed, values)

    def _members(self, of: BtfType) -> tuple[ct.Member, ...]:
        return tuple(
            ct.Member(one.name, self._later(one.type_id), one.bit_offset, one.bit_size)
            for one in self._btf.members(of)
        )

    def _func(self, of: BtfType) -> ct.Type:
        named = self._btf.parameters(of)
        variadic = bool(named) and named[-1] == ("", 0)
        takes = named[:-1] if variadic else named
        return ct.Func(
            self._later(of.size_or_type),
            cache(lambda: tuple((name, self.type_at(number)) for name, number in takes)),
            variadic,
        )
