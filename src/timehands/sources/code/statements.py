"""Which identifiers declare a local variable, by how statements begin.

The parser does not see functions from within (`timehands.sources.code.brief`). A statement that
declares begins with two words, or with a word, stars and a word; nothing else that is written in C
does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.brackets import depths
from timehands.sources.code.roles import Role
from timehands.sources.code.tokens import Bools, Bytes, Names, Words, table_of

Places = NDArray[np.int64]

_NO_TYPE: Final = (
    b"return", b"goto", b"else", b"do", b"case", b"break", b"continue", b"if", b"while", b"switch",
    b"default", b"sizeof", b"asm", b"__asm", b"__asm__", b"for",
)  # fmt: skip
_BEGINS: Final = table_of(b";{}")
_AFTER_NAME: Final = table_of(b";,=[")
_AFTER_POINTER: Final = table_of(b"([")
_STAR, _COMMA, _OPEN, _CLOSE = (ord(c) for c in "*,()")


def declare(found: Words, names: Names, inside: Bools, role: Bytes) -> None:
    """Give local variables the role of one where they are declared.

    ``inside``: whether an identifier is in a function.
    """
    begins = _begins(found, names)
    first = np.flatnonzero(begins & inside & ~names.among(_NO_TYPE, found.name))
    last = _last_joined(found, first)
    plain = (last > first) & _AFTER_NAME[found.after[0][last]]
    _settle(found, names, role, last[plain], first[plain])
    pointer = _points(found, last)
    _settle(found, names, role, last[pointer] + 1, first[pointer])
    declares = plain | pointer
    _settle(found, names, role, *_further(found, begins, first[declares], inside))


def _settle(found: Words, names: Names, role: Bytes, name: Places, first: Places) -> None:
    """``name`` is declared by the statement that begins at ``first``."""
    extern = found.name[first] == names.number(b"extern")
    role[name] = np.where(extern, Role.DECLARATION, Role.LOCAL)


def _begins(found: Words, names: Names) -> Bools:
    """Whether a statement begins here, or the first part of ``for (...)``."""
    begins = _BEGINS[found.before[0]]
    loop = (found.name[:-1] == names.number(b"for")) & (found.first[1:] == found.last[:-1] + 2)
    begins[1:] |= loop & (found.before[0][1:] == _OPEN)
    return np.asarray(begins, np.bool_)


def _last_joined(found: Words, first: Places) -> Places:
    """Of the words from each of these on that only blanks and stars part, the last."""
    b1, b2, b3 = (before == _STAR for before in found.before)
    gap = np.zeros(len(found.first), np.int64)
    gap[1:] = found.first[1:] - found.last[:-1] - 1
    joined = found.follows | ((gap == 1) & b1) | ((gap == 2) & b1 & b2)
    joined |= (gap == 3) & b1 & b2 & b3
    breaks = np.append(np.flatnonzero(~joined), len(joined))
    return np.asarray(breaks[np.searchsorted(breaks, first, "right")] - 1, np.int64)


def _points(found: Words, last: Places) -> Bools:
    """Whether behind the type stands ``(*name)(`` or ``(*name)[``."""
    a1, a2, _ = found.after
    after = np.minimum(last + 1, len(a1) - 1)
    pointer = (a1[last] == _OPEN) & (a2[last] == _STAR) & (found.before[1][after] == _OPEN)
    pointer &= (a1[after] == _CLOSE) & _AFTER_POINTER[a2[after]]
    return np.asarray(pointer & (found.first[after] == found.last[last] + 3), np.bool_)


def _further(found: Words, begins: Bools, declares: Places, inside: Bools) -> tuple[Places, Places]:
    """The declarators behind commas, and where their statements begin."""
    b1, b2, b3 = found.before
    comma = (b1 == _COMMA) | ((b1 == _STAR) & ((b2 == _COMMA) | ((b2 == _STAR) & (b3 == _COMMA))))
    more = np.flatnonzero(comma & inside & _AFTER_NAME[found.after[0]])
    every = np.flatnonzero(begins)
    place = np.searchsorted(every, more, "right") - 1
    begin = every[np.maximum(place, 0)]
    good = (place >= 0) & np.isin(begin, declares)
    more, begin = more[good], begin[good]
    depth, outer = depths(found.solids, found.first[more], found.first[begin])
    same = depth == outer
    return more[same], begin[same]
