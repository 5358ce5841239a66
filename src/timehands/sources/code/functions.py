"""All functions of an index as columns, and which of them a line is in."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LINES: Final = 1 << 24
#: Kinds of functions; a macro that calls something counts as one.
PLAIN, STATIC, MACRO = 0, 1, 2


class Functions:
    """Columns of all functions: ``names``, ``file``, ``start`` to ``end`` (lines), ``kind``.

    ``sizes``: how many come from each segment.
    """

    def __init__(self, parts: list[list[Any]], alive: NDArray[np.bool_]) -> None:
        self.names: list[bytes] = [name for part in parts for name in part[0]]
        self.sizes = [len(part[0]) for part in parts]

        def column(place: int) -> NDArray[np.int64]:
            empty = np.zeros(0, np.int64)
            return np.concatenate([empty, *(part[place] for part in parts)]).astype(np.int64)

        self.file, self.start, self.end = column(1), column(2), column(3)
        self.line, self.kind = column(4), column(5)
        self.alive = alive[self.file]

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        key = self.file * _LINES + self.start
        order = np.argsort(key, kind="stable")
        return order, key[order]

    def at(self, file: NDArray[np.int64], line: NDArray[np.int64]) -> NDArray[np.int32]:
        """The function that each line is in, or -1."""
        order, key = self._order
        if not len(order):
            return np.full(len(file), -1, np.int32)
        place = np.searchsorted(key, file * _LINES + line, "right") - 1
        result = np.full(len(file), -1, np.int32)
        for _ in range(3):  # a macro may be defined within a function
            function = order[np.maximum(place, 0)]
            holds = (place >= 0) & (self.file[function] == file) & (line <= self.end[function])
            result = np.where((result < 0) & holds, function, result).astype(np.int32)
            place = place - 1
        return result

    @cached_property
    def _by_name(self) -> dict[bytes, list[int]]:
        table: dict[bytes, list[int]] = {}
        living = np.flatnonzero(self.alive).tolist()
        for number in living:
            table.setdefault(self.names[number], []).append(number)
        return table

    def called(self, name: bytes) -> list[int]:
        """The functions of a name; for a single one no table of all names is made."""
        if "_by_name" in self.__dict__:
            return self._by_name.get(name, [])
        return [at for at in self._named(name) if self.alive[at]]

    def _named(self, name: bytes) -> list[int]:
        found, at = [], -1
        try:
            while True:
                at = self.names.index(name, at + 1)
                found.append(at)
        except ValueError:
            return found

    def table(self) -> dict[bytes, list[int]]:
        """All functions by name."""
        return self._by_name
