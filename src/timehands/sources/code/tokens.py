"""Every identifier of a text, and what stands around it: one pass with NumPy, no loop in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.roles import BEFORE_VALUES, KEYWORDS

Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

BLANKS: Final = b" \t\n\r\v\f"


def table_of(characters: bytes) -> Bools:
    """Of each byte, whether it is one of these."""
    table = np.zeros(256, np.bool_)
    table[np.frombuffer(characters, np.uint8)] = True
    return table


def marks_of(characters: bytes) -> bytes:
    """A table for `marked`: of each byte, 1 when it is one of these."""
    return table_of(characters).tobytes()


def marked(text: bytes, marks: bytes) -> Bools:
    """Of each byte of a text what a table says: ten times as fast as NumPy's own look-up."""
    return np.frombuffer(text.translate(marks), np.bool_)


_WORD_BYTES: Final = bytes(c for c in range(128) if chr(c).isalnum() or c == ord("_"))
IS_WORD: Final = table_of(_WORD_BYTES)
_IS_DIGIT: Final = table_of(b"0123456789")
_WORD_MARKS: Final = marks_of(_WORD_BYTES)
_SOLID_MARKS: Final = (~table_of(BLANKS)).tobytes()
_WORDS_ONLY: Final = bytes(c if IS_WORD[c] else ord(" ") for c in range(256))


class Names:
    """Numbers for names, in the order in which they are met; keywords come first."""

    def __init__(self) -> None:
        self._table: defaultdict[bytes, int] = defaultdict(count().__next__)
        for word in sorted(KEYWORDS):
            self._table[word]
        self.keywords = len(self._table)
        before = [self._table[word] for word in BEFORE_VALUES]
        self.before_values: Bools = np.isin(np.arange(self.keywords + 1), before)
        self.number: Callable[[bytes], int] = self._table.__getitem__

    def numbers(self, names: Sequence[bytes]) -> Ints:
        """The numbers of these names; new ones get new numbers."""
        return np.fromiter(map(self.number, names), np.int32, len(names))

    def among(self, some: Sequence[bytes], numbers: Ints) -> Bools:
        """Whether each of these numbers is one of some keywords'."""
        table = np.zeros(self.keywords + 1, np.bool_)
        table[[self._table[word] for word in some]] = True
        return table[np.minimum(numbers, self.keywords)]

    def all(self) -> list[bytes]:
        """All names, by number."""
        return list(self._table)


@dataclass(slots=True)
class Words:
    """The identifiers of a text, in order: ``name`` (number), ``at`` (offset), and neighbours.

    ``solids``: the text without blanks; ``first`` and ``last``: where in it each identifier begins
    and ends. ``before`` and ``after`` hold the three nearest characters of it (the nearest first).
    ``follows``: only blanks are between it and the identifier before it.
    """

    name: Ints
    at: Ints
    solids: Bytes
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    before: tuple[Bytes, Bytes, Bytes]
    after: tuple[Bytes, Bytes, Bytes]
    follows: Bools


def words(text: bytes, names: Names) -> Words:
    """The identifiers of a text without comments, keywords among them."""
    text += b"\n"
    buffer = np.frombuffer(text, np.uint8)
    word = marked(text, _WORD_MARKS)
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    if word[0]:
        edges = np.concatenate(([0], edges))
    solid = np.frombuffer(text.translate(None, BLANKS), np.uint8)
    solids = np.concatenate((np.zeros(3, np.uint8), solid, np.zeros(4, np.uint8)))
    rank = _solid_before(marked(text, _SOLID_MARKS), edges) + 3
    real = ~_IS_DIGIT[buffer[edges[::2]]]
    starts = edges[::2][real]
    first, last = rank[::2][real], rank[1::2][real] - 1
    spelled = list(compress(text.translate(_WORDS_ONLY).split(), real.tolist()))
    follows = np.zeros(len(starts), np.bool_)
    follows[1:] = first[1:] == last[:-1] + 1
    return Words(
        names.numbers(spelled),
        starts.astype(np.int32),
        solids,
        first,
        last,
        (solids[first - 1], solids[first - 2], solids[first - 3]),
        (solids[last + 1], solids[last + 2], solids[last + 3]),
        follows,
    )


def _solid_before(solid: Bools, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many characters that are not blank stand before each of these offsets."""
    if not len(edges):
        return edges
    between = np.add.reduceat(solid.view(np.uint8), edges, dtype=np.int64)
    before = np.concatenate(([0], np.cumsum(between[:-1])))
    return np.asarray(before + np.count_nonzero(solid[: edges[0]]), np.int64)


def is_member(found: Words) -> Bools:
    """Whether ``->`` or ``.`` stands before it."""
    b1, b2, _ = found.before
    arrow = (b1 == ord(">")) & (b2 == ord("-"))
    return np.asarray((b1 == ord(".")) | arrow, np.bool_)
