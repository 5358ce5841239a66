"""Where a variable or an argument is when a guest stands at some address.

DWARF tells it as a small program for a stack machine (DWARF 5, section 2.5), one for each range of
addresses. What was optimised out, or is known only to the caller, is said to be so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.sections import number
from timehands.kernels.dwarf.units import Entry, Unit, list_entries
from timehands.kernels.memory import Unreadable
from timehands.kernels.places import Gone, InMemory, InRegister, Known, Pieces, Place
from timehands.kernels.values import Reading

_MAX_EXPRESSION: Final = 1024
_MAX_STACK: Final = 64
_MAX_LIST: Final = 1 << 14
_MASK: Final = (1 << 64) - 1
_ENTRY_VALUE: Final = Gone("optimised out: only the caller knows its value here")
_NOT_HERE: Final = Gone("optimised out here")


@dataclass(frozen=True)
class Spot:
    """Where a guest stands.

    Attributes:
        reading: its registers and memory.
        pc: the address, as the kernel was linked; of a caller, that of its call.
        cfa: the frame's canonical address (what ``rsp`` was before the call), None when the
            unwinder does not know it.
    """

    reading: Reading
    pc: int
    cfa: int | None = None


class _Stop(Exception):
    """The expression cannot tell; ``place`` says why."""

    def __init__(self, place: Gone) -> None:
        super().__init__(place.why)
        self.place = place


def location_of(entry: Entry, function: Entry | None, spot: Spot) -> Place:
    """Where what an entry describes is, at a spot.

    Args:
        entry: a variable or a formal parameter.
        function: the subprogram that it belongs to, for its frame base.
    """
    try:
        return _location_of(entry, function, spot)
    except _Stop as stop:
        return stop.place
    except (KernelDamaged, Unreadable) as error:
        return Gone(f"not known: {error}")


def _location_of(entry: Entry, function: Entry | None, spot: Spot) -> Place:
    constant = entry.values.get(n.AT_CONST_VALUE)
    if constant is not None:
        value = constant[1]
        data = value if isinstance(value, bytes) else (value & _MASK).to_bytes(8, "little")
        return Known(data)
    code = _expression_of(entry, n.AT_LOCATION, spot.pc)
    if code is None:
        return _NOT_HERE if n.AT_LOCATION in entry.values else Gone()
    return _Machine(entry.unit, function, spot).place(code)


def _expression_of(entry: Entry, attribute: int, pc: int) -> bytes | None:
    """The expression that holds at an address; None when none does."""
    form, value = entry.values.get(attribute, (0, None))
    if isinstance(value, bytes):
        return value
    if value is None:
        return None
    return next(
        (code for start, end, code in _list(entry.unit, form, value) if start <= pc < end), None
    )


def _list(unit: Unit, form: int, value: int) -> Iterator[tuple[int, int, bytes]]:
    """A location list: (start, end, expression). A default location holds everywhere else."""
    if unit.widths.version < 5:
        yield from _old_list(unit, value)
        return
    data = unit.sections.loclists
    if form == n.FORM_LOCLISTX:
        base, width = unit.lists_base, unit.widths.offset
        value = base + number(data, base + value * width, width)
    base = unit.base_pc
    default = b""
    for kind, first, second, code in list_entries(unit, data, value, counted=True):
        if kind == "base":
            base = first
        elif kind == "default":
            default = code
        else:
            shift = base if kind == "offsets" else 0
            yield first + shift & _MASK, second + shift & _MASK, code
    if default:
        yield 0, _MASK, default


def _old_list(unit: Unit, at: int) -> Iterator[tuple[int, int, bytes]]:
    """DWARF 4, section 2.6.2."""
    data, width, base = unit.sections.loc, unit.widths.address, unit.base_pc
    selector = (1 << 8 * width) - 1
    for _ in range(_MAX_LIST):
        start, end = number(data, at, width), number(data, at + width, width)
        at += 2 * width
        if start == end == 0:
            return
        if start == selector:
            base = end
            continue
        length = number(data, at, 2)
        yield base + start & _MASK, base + end & _MASK, data[at + 2 : at + 2 + length]
        at += 2 + length


_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "plus": operator.add,
    "minus": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "shl": lambda one, two: one << two if two < 64 else 0,
    "shr": lambda one, two: one >> two if two < 64 else 0,
    "shra": lambda one, two: _signed(one) >> min(two, 63),
    "eq": lambda one, two: _signed(one) == _signed(two),
    "ne": lambda one, two: _signed(one) != _signed(two),
    "lt": lambda one, two: _signed(one) < _signed(two),
    "gt": lambda one, two: _signed(one) > _signed(two),
    "le": lambda one, two: _signed(one) <= _signed(two),
    "ge": lambda one, two: _signed(one) >= _signed(two),
}
_UNARY: Final[dict[str, Callable[[int], int]]] = {
    "neg": operator.neg,
    "not": operator.invert,
    "abs": lambda one: abs(_signed(one)),
}
_CONSTANTS: Final = frozenset(
    ("addr", "constu", "consts", *(f"const{size}{sign}" for size in (1, 2, 4, 8) for sign in "us"))
)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


class _Machine:
    """Runs one expression. A value on the stack is an address until the expression says more."""

    def __init__(self, unit: Unit, function: Entry | None, spot: Spot) -> None:
        self._unit, self._function, self._spot = unit, function, spot
        self._stack: list[int] = []
        self._place: Place | None = None  # set by an operation that names a place itself
        self._parts: list[tuple[Place, int]] = []

    def place(self, code: bytes) -> Place:
        """What the expression says."""
        if not code:
            return Gone()
        for name, arguments in operations(self._unit, code):
            if self._place is not None and name not in ("piece", "bit_piece"):
                raise _Stop(Gone("its location makes no sense"))
            self._step(name, arguments)
        return Pieces(tuple(self._parts)) if self._parts else self._result()

    def number(self, code: bytes) -> int:
        """What is on the stack in the end, or in the register that is named."""
        place = self.place(code)
        if isinstance(place, InRegister):
            return self._register(place.name)
        if isinstance(place, InMemory):
            return place.address
        raise _Stop(Gone("its frame is not known"))

    def _result(self) -> Place:
        place = self._place
        if place is None:
            place = InMemory(self._stack[-1]) if self._stack else Gone()
        self._place = None
        return place

    def _step(self, name: str, arguments: list[Any]) -> None:
        if name in _BINARY:
            second, first = self._pop(), self._pop()
            self._push(int(_BINARY[name](first, second)))
        elif name in _UNARY:
            self._push(_UNARY[name](self._pop()))
        elif name in _CONSTANTS:
            self._push(arguments[0])
        elif name.startswith("lit"):
            self._push(int(name[3:]))
        elif name.startswith("breg"):
            self._push(self._register(_register_name(int(name[4:]))) + arguments[0])
        elif name.startswith("reg") and name != "regx":
            self._place = InRegister(_register_name(int(name[3:])))
        elif name in ("piece", "bit_piece"):
            self._piece(name, arguments)
        else:
            self._special(name, arguments)

    def _special(self, name: str, arguments: list[Any]) -> None:
        if name == "fbreg":
            self._push(self._frame_base() + arguments[0])
        elif name == "call_frame_cfa":
            self._push(self._cfa())
        elif name == "plus_uconst":
            self._push(self._pop() + arguments[0])
        elif name in ("addrx", "constx"):
            self._push(self._unit.indexed_address(arguments[0]))
        elif name == "stack_value":
            self._place = Known(self._pop().to_bytes(8, "little"))
        elif name == "implicit_value":
            self._place = Known(bytes(arguments[0]))
        elif name in ("entry_value", "GNU_entry_value"):
            raise _Stop(_ENTRY_VALUE)
        elif name in ("deref", "deref_size"):
            self._deref(8 if name == "deref" else arguments[0])
        elif name in ("dup", "drop", "swap", "over", "rot"):
            self._shuffle(name)
        elif name == "convert" and not arguments[0]:
            return
        elif name != "nop":
            raise _Stop(Gone(f"its location is told in a way that is not understood ({name})"))

    def _piece(self, name: str, arguments: list[Any]) -> None:
        if name == "bit_piece" and (arguments[0] % 8 or arguments[1]):
            raise _Stop(Gone("it is spread over single bits"))
        size = arguments[0] // 8 if name == "bit_piece" else arguments[0]
        place = self._result() if self._place is not None or self._stack else Gone()
        self._stack.clear()
        self._parts.append((place, size))

    def _deref(self, size: int) -> None:
        if not 1 <= size <= 8:
            raise _Stop(Gone("its location makes no sense"))
        data = self._spot.reading.memory.read(self._pop(), size)
        self._push(int.from_bytes(data, "little"))

    def _shuffle(self, name: str) -> None:
        top = self._pop()
        if name == "drop":
            return
        if name == "dup":
            self._stack += [top, top]
            return
        under = self._pop()
        if name == "rot":
            third = self._pop()
            self._stack += [top, third, under]
            return
        self._stack += [top, under] if name == "swap" else [under, top, under]

    def _push(self, value: int) -> None:
        if len(self._stack) >= _MAX_STACK:
            raise _Stop(Gone("its location makes no sense"))
        self._stack.append(value & _MASK)

    def _pop(self) -> int:
        if not self._stack:
            raise _Stop(Gone("its location makes no sense"))
        return self._stack.pop()

    def _register(self, name: str) -> int:
        if name == "rip":
            return self._spot.pc
        if name not in self._spot.reading.registers:
            raise _Stop(Gone(f"the register {name} is not known here"))
        return self._spot.reading.registers[name]

    def _cfa(self) -> int:
        if self._spot.cfa is None:
            raise _Stop(Gone("its frame is not known"))
        return self._spot.cfa

    def _frame_base(self) -> int:
        function = self._function
        code = _expression_of(function, n.AT_FRAME_BASE, self._spot.pc) if function else None
        if code is None or any(name == "fbreg" for name, _ in operations(self._unit, code)):
            raise _Stop(Gone("its frame is not known"))
        return _Machine(self._unit, None, self._spot).number(code)


def _register_name(index: int) -> str:
    if index >= len(n.REGISTERS):
        raise _Stop(Gone("in a register that is not read"))
    return n.REGISTERS[index]


def operations(unit: Unit, code: bytes) -> list[tuple[str, list[Any]]]:
    """The operations of an expression: names without ``DW_OP_``, and arguments."""
    if len(code) > _MAX_EXPRESSION:
        raise KernelDamaged("an expression in the debug information is too long")
    try:
        parsed = _parser(*unit.widths).parse_expr(code)
    except Exception as error:  # pyelftools promises no closed set
        raise KernelDamaged(f"an expression in the debug information is broken: {error}") from error
    return [(one.op_name.removeprefix("DW_OP_"), one.args) for one in parsed]


@lru_cache
def _parser(offset: int, address: int, version: int) -> Any:
    from elftools.dwarf.dwarf_expr import DWARFExprParser
    from elftools.dwarf.structs import DWARFStructs

    return DWARFExprParser(
        DWARFStructs(
            little_endian=True,
            dwarf_format=32 if offset == 4 else 64,
            address_size=address,
            dwarf_version=version,
        )
    )
