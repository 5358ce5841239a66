"""Holding values that came from a file against the types that a dataclass declares."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Integers of a recording fit into 64 bits, signed or unsigned.
LEAST, MOST = -(1 << 63), (1 << 64) - 1


def require_types(value: DataclassInstance) -> None:
    """Check every member of a dataclass, and of those in it. Raises TypeError naming the member."""
    hints = _hints(type(value))
    for member in fields(value):
        if not is_a(getattr(value, member.name), hints[member.name]):
            raise TypeError(f"{member.name} is not {hints[member.name]}")


def is_a(value: object, hint: Any) -> bool:
    """Whether a value has a declared type; an integer also has to fit into 64 bits.

    Knows classes, dataclasses, unions, Literal, Any, and tuple, list and dict with their items.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(is_a(value, one) for one in arguments)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and _items(value, arguments)
    if origin is dict:
        key, item = arguments
        return isinstance(value, dict) and all(
            is_a(k, key) and is_a(v, item) for k, v in value.items()
        )
    return _is_plain(value, hint)


def _items(value: tuple[object, ...], hints: tuple[Any, ...]) -> bool:
    if hints[1:] == (...,):
        return all(is_a(item, hints[0]) for item in value)
    return len(value) == len(hints) and all(map(is_a, value, hints))


def _is_plain(value: object, hint: type) -> bool:
    if hint is int:
        return type(value) is int and LEAST <= value <= MOST
    if not isinstance(value, hint):
        return False
    if is_dataclass(value) and not isinstance(value, type):
        require_types(value)
    return True


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
