"""Where functions have their bodies, by their braces: one search over a file's lines.

A body is looked for as kernels are written: its first brace is in the first column, or ends a line
that begins there; its last is in the first column, too, alone on its line, or is the last one
before the next body begins. What is written otherwise is left to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_BRACE: Final = re.compile(rb"\n([{}])")
_OPENED: Final = re.compile(rb"(?m)^[A-Za-z_][^;{}=#\n]*\)[ \t]*(\{)[ \t]*$")
_REST: Final = re.compile(rb"[ \t\r]*(?:\n|\Z)")
#: A type's members or a table's values follow, and no statements.
_NO_FUNCTION: Final = re.compile(rb"(?:\b(?:struct|union|enum)\s+\w*|\b(?:struct|union|enum)|=)\Z")
_BEFORE: Final = 120
#: Types that are defined in a function: the parser is to see them.
_TYPE: Final = re.compile(rb"(?:struct|union|enum)[ \t\n]*+\w*+[ \t\n]*+\{")
_INITIALISER: Final = re.compile(rb"=[ \t\n]*+\{")
_LARGE: Final = 1 << 15
_PER_NUMBER: Final = 32


class Body(NamedTuple):
    """Offsets of the first and of the last brace."""

    start: int
    end: int


def bodies(code: bytes) -> list[Body]:
    """The functions' bodies in a masked file, in their order."""
    return list(_pairs(code)) if b"\n}" in code else []


def _pairs(code: bytes) -> Iterator[Body]:
    opened, behind, depth, seen = -1, 0, 0, 0
    for match in _BRACE.finditer(code):
        at = match.start(1)
        if match[1] == b"{":
            if opened >= 0:
                depth += code.count(b"{", seen, at) - code.count(b"}", seen, at)
                last = -1 if depth else code.rfind(b"}", opened, at)
                if last >= 0 and _is_body(code, opened, last):
                    yield Body(opened, last)
            if opened < 0 or not depth:
                opened, depth = at, 0
            seen = at
            continue
        if opened < 0:
            on_line = _OPENED.search(code, behind, at)
            opened = on_line.start(1) if on_line else -1
        if opened >= 0 and _is_body(code, opened, at):
            yield Body(opened, at)
        opened, behind = -1, at + 1


def _is_body(code: bytes, start: int, end: int) -> bool:
    """Whether these braces are a function's, and belong together."""
    if not _REST.match(code, end + 1) or _starts_no_function(code, start):
        return False
    return code.count(b"{", start, end) == code.count(b"}", start, end + 1)


def _starts_no_function(code: bytes, start: int) -> bool:
    before = code[max(0, start - _BEFORE) : start].rstrip()
    if before.endswith(b")"):
        return False
    return (
        not before
        or not (before[-1:] in b";_" or before[-1:].isalnum())
        or bool(_NO_FUNCTION.search(before))
    )


def hidden(code: bytes, found: list[Body]) -> list[tuple[int, int]]:
    """The ranges that the parser need not see, in order: in bodies, and in tables of numbers."""
    ranges = [
        (body.start + 1, body.end)
        for body in found
        if not _TYPE.search(code, body.start + 1, body.end)
    ]
    return list(_apart([*ranges, *_tables(code)])) if len(code) > _LARGE else ranges


def _apart(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The ranges in their order, without those that begin within another."""
    behind = 0
    for start, end in sorted(ranges):
        if start >= behind:
            yield start, end
            behind = end


def _tables(code: bytes) -> Iterator[tuple[int, int]]:
    """Initialisers of the file's scope that are long and full of hexadecimal numbers."""
    match = _INITIALISER.search(code)
    while match:
        start, end = match.end(), code.find(b"\n}", match.end())
        end = len(code) if end < 0 else end
        if end - start > _LARGE and code.count(b"0x", start, end) * _PER_NUMBER > end - start:
            yield start, end
        match = _INITIALISER.search(code, end)
