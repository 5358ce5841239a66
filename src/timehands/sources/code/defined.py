"""Where functions are defined, by reading some files as they are: without an index.

::

    functions_of(tree, "arch/x86/kernel/tsc.c")      # all of one file
    Defined(tree, configuration.files)("tsc_init")   # [Where("arch/x86/kernel/tsc.c", 1546)]

An index of a whole tree takes its time. The files of one kernel are few, and a function's
definition stands at the beginning of a line: these lines are looked through at once, and only a
file that may have what is asked for is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final, NamedTuple

from timehands.errors import FileUnusable
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

_SUFFIXES: Final = (".c", ".h")
#: At the beginning of a line: words, stars, and then a name with its parenthesis.
_HEAD: Final = re.compile(rb"^[A-Za-z_][\w \t*]*\(", re.MULTILINE)
_NAME: Final = re.compile(rb"(\w+)[ \t]*\(\Z")
_LONGEST_NAME: Final = 200
#: What is larger is a table that a program made.
_MOST_BYTES: Final = 4 << 20


class Function(NamedTuple):
    """A function that a file defines, and the line of its name."""

    name: str
    line: int
    static: bool


def functions_of(tree: SourceTree, file: str) -> list[Function]:
    """The functions that a C file defines, in their order; none of a file that is not C's.

    What stands within ``#ifdef`` counts, whichever way it is. Raises `FileUnusable`.
    """
    from timehands.sources.code.mask import mask
    from timehands.sources.code.parse import parse

    data = tree.read(file)
    if not file.endswith(_SUFFIXES):
        return []
    code = mask(data).code
    found, line, counted = [], 1, 0
    for span in sorted(parse(code).functions, key=lambda span: span.at):
        line += code.count(b"\n", counted, span.at)
        counted = span.at
        found.append(Function(span.name.decode("utf-8", "replace"), line, span.static))
    return found


class Defined:
    """Where functions are defined in these files. They are read when it is first asked."""

    def __init__(self, tree: SourceTree, files: Iterable[str]) -> None:
        self._tree = tree
        self._named = [file for file in files if file.endswith(".c")]
        self._parsed: dict[str, list[Function]] = {}

    def __call__(self, name: str) -> list[Where]:
        """The definitions of a function, in the order of the files."""
        found = dict.fromkeys(self._candidates.get(name.encode("utf-8", "replace"), ()))
        return [
            Where(file, one.line) for file in found for one in self._functions(file)
            if one.name == name
        ]  # fmt: skip

    def _functions(self, file: str) -> list[Function]:
        if file not in self._parsed:
            self._parsed[file] = functions_of(self._tree, file)
        return self._parsed[file]

    @cached_property
    def _candidates(self) -> dict[bytes, list[str]]:
        """The files that have a name and a parenthesis where a definition may begin."""
        found: dict[bytes, list[str]] = {}
        for file in self._named:
            try:
                data = self._tree.read(file)
            except FileUnusable:
                continue
            for head in _HEAD.findall(data[:_MOST_BYTES]):
                name = _NAME.search(head[-_LONGEST_NAME:])
                if name:
                    found.setdefault(name[1], []).append(file)
        return found
