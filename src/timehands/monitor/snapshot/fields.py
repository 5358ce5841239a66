"""JSON that nobody has to be believed: each value is taken by name, type and range, all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")
_SHOWN = 40


class Unfit(ValueError):
    """A value is not what it has to be: says which one."""


def parse(text: bytes) -> object:
    """JSON as it is meant: no name twice, no NaN. Raises `Unfit`."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except Unfit:
        raise
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise Unfit(f"it is no JSON ({error})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Unfit("a name is there twice")
    return result


def _no_constant(name: str) -> Any:
    raise Unfit(f"{name} is no number of JSON's")


class Fields:
    """The members of an object. Each must be taken; `end` complains of those that were not.

    ``where`` is how errors name the object. All methods raise `Unfit`.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Unfit(f"{where} is not an object")
        self._left: dict[str, Any] = dict(value)
        self._where = where

    def __enter__(self) -> Fields:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None and self._left:
            raise Unfit(f"{self._where} has {_short(min(self._left))}, which is not known")

    def take(self, name: str) -> object:
        """Any value."""
        if name not in self._left:
            raise Unfit(f"{self._where} has no {name}")
        return self._left.pop(name)

    def part(self, name: str) -> Fields:
        """An object in it."""
        return Fields(self.take(name), self._name(name))

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        return whole(self.take(name), low, high, self._name(name))

    def switch(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise Unfit(f"{self._name(name)} is not true or false")
        return value

    def text(self, name: str, most: int) -> str:
        """A string, of ``most`` characters."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > most:
            raise Unfit(f"{self._name(name)} is not a string of {most} characters at most")
        return value

    def data(self, name: str, least: int, most: int) -> bytes:
        """Bytes, as hexadecimal digits."""
        return data(self.take(name), least, most, self._name(name))

    def each(self, name: str, most: int, read: Callable[[object, str], _T]) -> tuple[_T, ...]:
        """A list of ``most`` entries at most, each as ``read`` takes it from value and name."""
        entries = listed(self.take(name), 0, most, self._name(name))
        return tuple(read(e, f"{self._name(name)}[{at}]") for at, e in enumerate(entries))

    def maybe(self, name: str, read: Callable[[object, str], _T]) -> _T | None:
        """What ``read`` makes of it; None for null."""
        value = self.take(name)
        return None if value is None else read(value, self._name(name))

    def named(
        self, name: str, known: Mapping[str, Any], read: Callable[[str, object], _T]
    ) -> dict[str, _T]:
        """An object with names out of ``known``."""
        value = self.take(name)
        if not isinstance(value, dict) or not value.keys() <= known.keys():
            raise Unfit(f"{self._name(name)} is not an object with names out of {', '.join(known)}")
        return {each: read(each, value[each]) for each in value}

    def _name(self, name: str) -> str:
        return f"{self._where}.{name}"


def whole(value: object, low: int, high: int, where: str) -> int:
    """A whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Unfit(f"{where} is not a whole number from {low} to {high}")
    return value


def data(value: object, least: int, most: int, where: str) -> bytes:
    """Bytes, as hexadecimal digits."""
    try:
        result = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        result = None
    if result is None or not least <= len(result) <= most or value != result.hex():
        count = f"{least}" if least == most else f"{least} to {most}"
        raise Unfit(f"{where} is not {count} bytes in hexadecimal digits")
    return result


def listed(value: object, least: int, most: int, where: str) -> list[Any]:
    """A list of so many entries."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        raise Unfit(f"{where} is not a list of {count} entries")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
