"""Which file of a tree a compiler's path names.

Kernels are built elsewhere: ``/usr/src/sys/amd64/../x86/x86/tsc.c`` on the build machine is
``sys/x86/x86/tsc.c`` here. The longest common tail decides; a bare name does not.
"""

from __future__ import annotations

import posixpath
from typing import Final

from timehands.sources.tree import SourceTree

#: A tail of fewer parts than this is too common a name.
LEAST_PARTS: Final = 2
_MOST_PARTS: Final = 64


class Paths:
    """The files of a tree by the names that a compiler gave them."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._found: dict[str, str | None] = {}

    def find(self, path: str) -> str | None:
        """The file of the tree; None: the tree has none (it was made by the build, or is other)."""
        if path not in self._found:
            self._found[path] = self._search(path)
        return self._found[path]

    def _search(self, path: str) -> str | None:
        if "\0" in path or not path:
            return None
        parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", "..")]
        parts = parts[-_MOST_PARTS:]
        for start in range(len(parts) - LEAST_PARTS + 1):
            tail = "/".join(parts[start:])
            # A kernel built in a folder within sys/ has paths that begin below it.
            for file in dict.fromkeys((tail, self._tree.below_sys(tail))):
                if self._tree.exists(file):
                    return file
        return None
