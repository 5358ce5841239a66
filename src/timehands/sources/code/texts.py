"""The files of an index, read again when a question needs more than the index keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from timehands.errors import FileUnusable
from timehands.sources.code.branches import Branches
from timehands.sources.code.calls import Calls
from timehands.sources.code.returning import never_returns
from timehands.sources.tree import SourceTree

#: So many files are read for one question; of the others nothing is decided.
_MOST_FILES: Final = 6000
_MOST_BYTES: Final = 400 << 20
_DEEPEST: Final = 4


class Texts:
    """What files say, by their numbers. A file that cannot be read is empty."""

    def __init__(self, tree: SourceTree, paths: Mapping[int, str]) -> None:
        self._tree, self._paths = tree, paths
        self._known: dict[int, Branches] = {}
        self._bytes = 0

    def data(self, file: int) -> bytes:
        """A file's bytes."""
        return self.branches(file).data

    def branches(self, file: int) -> Branches:
        """A file's conditions."""
        if file not in self._known:
            full = len(self._known) >= _MOST_FILES or self._bytes > _MOST_BYTES
            data = b"" if full else self._read(file)
            self._bytes += len(data)
            self._known[file] = Branches(data)
        return self._known[file]

    def _read(self, file: int) -> bytes:
        try:
            return self._tree.read(self._paths.get(file, ""))
        except FileUnusable:
            return b""


class Returning:
    """Which functions never return."""

    def __init__(self, calls: Calls, texts: Texts) -> None:
        self._calls, self._functions, self._texts = calls, calls.functions, texts
        self._known: dict[int, bool] = {}

    def never(self, function: int, depth: int = 0) -> bool:
        """Whether a function (its number) never returns, as far as its text shows."""
        if function not in self._known:
            self._known[function] = False  # while it is looked at
            self._known[function] = self._look(function, depth)
        return self._known[function]

    def _look(self, function: int, depth: int) -> bool:
        functions = self._functions
        branches = self._texts.branches(int(functions.file[function]))
        cut = slice(int(functions.start[function]) - 1, int(functions.end[function]))
        text, plain = b"\n".join(branches.lines[cut]), b"\n".join(branches.plain[cut])

        def ends_in(name: bytes) -> bool:
            others = self._calls.named(name) if depth < _DEEPEST else []
            return bool(others) and all(self.never(one, depth + 1) for one in others[:3])

        return never_returns(text, plain, ends_in)
