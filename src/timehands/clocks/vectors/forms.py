"""The form of the vectors: subjects of groups of cases, as JSON with one case a line.

A field's type says how its values are written (`TYPES`): numbers of up to 32 bits as JSON numbers,
64-bit ones as strings of 16 hexadecimal digits, because many readers of JSON keep numbers as
doubles; bytes as hexadecimal digits. A type with ``?`` may be null.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

SCHEMA = 1
U64 = (1 << 64) - 1

Value = int | bool | str | bytes | None | Sequence[Sequence[int]]


def _number(low: int, high: int) -> Callable[[Value], object]:
    def write(value: Value) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{value!r} is not in {low} to {high}")
        return int(value)

    return write


def _u64(value: Value) -> object:
    return f"{_number(0, U64)(value):#018x}"


def _bool(value: Value) -> object:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def _text(value: Value) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return str(value)


def _bytes(value: Value) -> object:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} are no bytes")
    return value.hex()


def _rows(value: Value) -> object:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"{value!r} are no rows")
    return [[int(item) for item in row] for row in value]


#: How a value of each type is written; each raises `ValueError` for what is not of the type.
TYPES: Mapping[str, Callable[[Value], object]] = {
    "u8": _number(0, (1 << 8) - 1),
    "s8": _number(-(1 << 7), (1 << 7) - 1),
    "u16": _number(0, (1 << 16) - 1),
    "u32": _number(0, (1 << 32) - 1),
    "u64": _u64,
    "bool": _bool,
    "text": _text,
    "bytes": _bytes,
    "rows": _rows,
}


@dataclass(frozen=True, slots=True)
class Group:
    """Cases of one function. ``inputs`` and ``outputs``: the fields of a case, name to type.

    The values of a case are in the order of both.
    """

    name: str
    about: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    cases: Sequence[Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Subject:
    """One file of vectors. ``name`` is that of the file, without ``.json``."""

    name: str
    about: str
    groups: tuple[Group, ...]

    def to_text(self) -> str:
        """The file."""
        head = {"schema": SCHEMA, "subject": self.name, "about": self.about}
        lines = [f" {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
        groups = ",\n".join(_group_text(group) for group in self.groups)
        return "\n".join(["{", *lines, ' "groups": {', groups, " }", "}"]) + "\n"


def _group_text(group: Group) -> str:
    """One group; a case that is there twice is written once."""
    cases = ",\n".join(dict.fromkeys(f"    {json.dumps(case)}" for case in _cases(group)))
    return (
        f"  {json.dumps(group.name)}: {{\n"
        f'   "about": {json.dumps(group.about)},\n'
        f'   "inputs": {json.dumps(dict(group.inputs))},\n'
        f'   "outputs": {json.dumps(dict(group.outputs))},\n'
        f'   "cases": [\n{cases}\n   ]\n  }}'
    )


def _cases(group: Group) -> Iterator[dict[str, object]]:
    fields = [*group.inputs.items(), *group.outputs.items()]
    for values in group.cases:
        pairs = zip(fields, values, strict=True)
        yield {name: written(kind, value) for (name, kind), value in pairs}


def written(kind: str, value: Value) -> object:
    """A value as it is written in a field of type ``kind``. Raises `ValueError`."""
    if value is None and kind.endswith("?"):
        return None
    return TYPES[kind.removesuffix("?")](value)


class Dice:
    """Numbers that look random and are the same for the same seed, in every version of Python."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        """``count`` random bits."""
        return self._random.getrandbits(count)

    def length(self, most: int = 64) -> int:
        """A number of any length up to ``most`` bits, each length as likely."""
        return self.bits(most) >> self.below(most)

    def below(self, limit: int) -> int:
        """0 to ``limit`` - 1."""
        return self.bits(64) % limit

    def between(self, low: int, high: int) -> int:
        """``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)
