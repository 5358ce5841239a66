"""The x87 registers, as KVM has them (FXSAVE's form) and as gdb wants them (FSAVE's form).

Intel SDM volume 1, 8.1 (x87 environment), 10.5.1.1 (FXSAVE's abridged tag word: one bit a register,
by its physical number; the full one has two, and 3 means empty).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.kvm.structs import Fpu
    from timehands.monitor.gdb_server.registers import State

#: In gdb's order.
CONTROL = ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop")
_VALID, _ZERO, _SPECIAL, _EMPTY = range(4)
_BYTES, _EXPONENT, _INTEGER_BIT = 10, 0x7FFF, 1 << 63
_LOW = 0xFFFF_FFFF


def get_stack(number: int) -> Callable[[State], int]:
    """How ST(number) is had."""
    return lambda state: _stack(state.fpu, number)


def set_stack(number: int) -> Callable[[State, int], None]:
    """How it is set."""

    def put(state: State, value: int) -> None:
        state.fpu.fpr[number][:_BYTES] = value.to_bytes(_BYTES, "little")

    return put


def getter(name: str) -> Callable[[State], int]:
    """How one of `CONTROL` is had."""
    return lambda state: _GET[name](state.fpu)


def setter(name: str) -> Callable[[State, int], None]:
    """How it is set."""
    return lambda state, value: _SET[name](state.fpu, value)


def full_tags(fpu: Fpu) -> int:
    """The tag word with two bits a register."""
    top = fpu.fsw >> 11 & 7
    tags = 0
    for physical in range(8):
        tag = _EMPTY
        if fpu.ftwx >> physical & 1:
            tag = _tag(_stack(fpu, (physical - top) % 8))
        tags |= tag << 2 * physical
    return tags


def abridged_tags(tags: int) -> int:
    """One bit a register: whether it holds something."""
    return sum(1 << n for n in range(8) if tags >> 2 * n & 3 != _EMPTY)


def _stack(fpu: Fpu, number: int) -> int:
    return int.from_bytes(bytes(fpu.fpr[number])[:_BYTES], "little")


def _tag(value: int) -> int:
    exponent, fraction = value >> 64 & _EXPONENT, value & (1 << 64) - 1
    if exponent == 0:
        return _ZERO if fraction == 0 else _SPECIAL
    return _VALID if exponent != _EXPONENT and fraction & _INTEGER_BIT else _SPECIAL


def _set_tags(fpu: Fpu, value: int) -> None:
    fpu.ftwx = abridged_tags(value)


def _pointer(name: str, high: bool) -> Callable[[Fpu], int]:
    def get(fpu: Fpu) -> int:
        pointer: int = getattr(fpu, name)
        return pointer >> 32 & 0xFFFF if high else pointer & _LOW

    return get


def _set_pointer(name: str, high: bool) -> Callable[[Fpu, int], None]:
    def put(fpu: Fpu, value: int) -> None:
        old: int = getattr(fpu, name)
        new = value << 32 | old & _LOW if high else old & ~_LOW | value
        setattr(fpu, name, new & (1 << 64) - 1)

    return put


_GET: dict[str, Callable[[Fpu], int]] = {
    "fctrl": lambda fpu: fpu.fcw,
    "fstat": lambda fpu: fpu.fsw,
    "ftag": full_tags,
    "fiseg": _pointer("last_ip", True),
    "fioff": _pointer("last_ip", False),
    "foseg": _pointer("last_dp", True),
    "fooff": _pointer("last_dp", False),
    "fop": lambda fpu: fpu.last_opcode,
}
_SET: dict[str, Callable[[Fpu, int], None]] = {
    "fctrl": lambda fpu, value: setattr(fpu, "fcw", value & 0xFFFF),
    "fstat": lambda fpu, value: setattr(fpu, "fsw", value & 0xFFFF),
    "ftag": _set_tags,
    "fiseg": _set_pointer("last_ip", True),
    "fioff": _set_pointer("last_ip", False),
    "foseg": _set_pointer("last_dp", True),
    "fooff": _set_pointer("last_dp", False),
    "fop": lambda fpu, value: setattr(fpu, "last_opcode", value & 0x7FF),
}
