"""Every identifier of a text, and what stands around it: one pass with NumPy, no loop in Python.

tree-sitter says what the structure is; this pass says what each of the names does in it, also
where the structure could not be parsed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.roles import BEFORE_VALUES, KEYWORDS, Role

Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]

_NAMES: Final = re.compile(rb"\b[A-Za-z_]\w*")
_BLANKS: Final = b" \t\n\r\v\f"
_DIGIT: Final = np.zeros(256, np.bool_)
_DIGIT[48:58] = True
#: Chains of ``a.b.c`` are followed this far.
_CHAIN: Final = 6


def _set(characters: bytes) -> Bools:
    table = np.zeros(256, np.bool_)
    table[np.frombuffer(characters, np.uint8)] = True
    return table


_OPERATORS: Final = _set(b"+-*/%&|^")
_AFTER_VALUE: Final = _set(b";,)}")
_BEFORE_DESIGNATOR: Final = _set(b"{,")
_IS_SOLID: Final = ~_set(_BLANKS)
_IS_WORD: Final = _set(bytes(c for c in range(128) if chr(c).isalnum() or c == 95))
_VALUE_END: Final = _IS_WORD | _set(b")]")


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

    def numbers(self, names: list[bytes]) -> Ints:
        """The numbers of these names; new ones get new numbers."""
        return np.fromiter(map(self.number, names), np.int32, len(names))

    def all(self) -> list[bytes]:
        """All names, by number."""
        return list(self._table)


@dataclass(slots=True)
class Words:
    """The identifiers of a text, in order: ``name`` (number), ``at`` (offset), and neighbours.

    ``before`` and ``after`` hold the three nearest characters that are not blank (the nearest
    first). ``follows``: only blanks are between it and the identifier before it.
    """

    name: Ints
    at: Ints
    before: tuple[Bytes, Bytes, Bytes]
    after: tuple[Bytes, Bytes, Bytes]
    follows: Bools


def words(text: bytes, names: Names) -> Words:
    """The identifiers of a text without comments, keywords among them."""
    text += b"\n"
    buffer = np.frombuffer(text, np.uint8)
    word = _IS_WORD[buffer]
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    if word[0]:
        edges = np.concatenate(([0], edges))
    solid = np.frombuffer(text.translate(None, _BLANKS), np.uint8)
    solids = np.concatenate((np.zeros(3, np.uint8), solid, np.zeros(4, np.uint8)))
    rank = _solid_before(_IS_SOLID[buffer], edges) + 3
    real = ~_DIGIT[buffer[edges[::2]]]
    starts = edges[::2][real]
    first, last = rank[::2][real], rank[1::2][real] - 1
    name = names.numbers(_NAMES.findall(text))
    follows = np.zeros(len(starts), np.bool_)
    follows[1:] = first[1:] == last[:-1] + 1
    return Words(
        name,
        starts.astype(np.int32),
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


def roles(found: Words, names: Names, known: Bytes, inside: Bools, table: Bools) -> Bytes:
    """What each identifier does.

    ``known``: what the parser says of it (0: nothing); ``inside``: whether it is in a function;
    ``table``: whether it is in an initialiser of the file's scope.
    """
    a1, a2, a3 = found.after
    b1, b2, _ = found.before
    member = is_member(found)
    role = np.zeros(len(found.name), np.uint8)
    role[_modified(a1, a2, a3)] = Role.MODIFY
    role[(a1 == ord("=")) & (a2 != ord("="))] = Role.WRITE
    _prefixes(found, role)
    for place in range(_CHAIN):
        _part(found, role, place)
    called = a1 == ord("(")
    through = (a1 == ord(")")) & (a2 == ord("("))
    starred = (b1 == ord("*")) & (b2 == ord("("))
    role[called] = Role.CALL
    role[(called & member) | (through & (starred | member))] = Role.CALL_THROUGH
    role[called & _declared(found, names, inside)] = Role.DECLARATION
    designator = (b1 == ord(".")) & _BEFORE_DESIGNATOR[b2] & (a1 == ord("=")) & (a2 != ord("="))
    quiet = table & (role != Role.CALL) & (role != Role.CALL_THROUGH)
    role[quiet] = Role.INITIAL
    role[designator] = Role.DESIGNATOR
    return np.where(known > 0, known, role).astype(np.uint8)


def is_member(found: Words) -> Bools:
    """Whether ``->`` or ``.`` stands before it."""
    b1, b2, _ = found.before
    arrow = (b1 == ord(">")) & (b2 == ord("-"))
    return np.asarray((b1 == ord(".")) | arrow, np.bool_)


def _modified(a1: Bytes, a2: Bytes, a3: Bytes) -> Bools:
    operator = _OPERATORS[a1] & (a2 == ord("="))
    twice = (a1 == a2) & ((a1 == ord("+")) | (a1 == ord("-")))
    shift = (a1 == a2) & ((a1 == ord("<")) | (a1 == ord(">"))) & (a3 == ord("="))
    return np.asarray(operator | twice | shift, np.bool_)


def _prefixes(found: Words, role: Bytes) -> None:
    """``++x->y`` and ``&x.y``: what is meant is the last name of the chain."""
    b1, b2, b3 = found.before
    counted = (b1 == b2) & ((b1 == ord("+")) | (b1 == ord("-"))) & ~_VALUE_END[b3]
    address = (b1 == ord("&")) & ~_VALUE_END[b2] & (b2 != ord("&"))
    a1, a2, _ = found.after
    linked = (a1 == ord(".")) | ((a1 == ord("-")) & (a2 == ord(">")))
    member = is_member(found)
    for flags, what in ((counted, Role.MODIFY), (address, Role.ADDRESS)):
        places = np.flatnonzero(flags)
        for _ in range(_CHAIN):
            moves = linked[places]
            role[places[~moves & (role[places] == Role.READ)]] = what
            places = places[moves] + 1
            places = places[places < len(role)]
            places = places[member[places]]


def _part(found: Words, role: Bytes, _place: int) -> None:
    """``a.b = 1`` writes a part of ``a``."""
    written = (role == Role.WRITE) | (role == Role.MODIFY) | (role == Role.WRITE_PART)
    dotted = found.before[0] == ord(".")
    places = np.flatnonzero(written[1:] & dotted[1:] & (found.after[0][:-1] == ord(".")))
    role[places[role[places] == Role.READ]] = Role.WRITE_PART


def _declared(found: Words, names: Names, inside: Bools) -> Bools:
    """Whether a type stands before ``name(``, so that this is no call."""
    previous = np.concatenate((np.zeros(1, np.int32), found.name[:-1]))
    typed = found.follows & ~names.before_values[np.minimum(previous, names.keywords)]
    starred = (found.before[0] == ord("*")) & ~inside
    return np.asarray(typed | starred, np.bool_)


def assigned(found: Words, role: Bytes) -> Ints:
    """Which identifiers are alone on the right of ``name = ...``: the one before is written."""
    b1, b2, _ = found.before
    direct = (b1 == ord("=")) & ~_OPERATORS[b2]
    behind = (b1 == ord("&")) & (b2 == ord("="))
    alone = _AFTER_VALUE[found.after[0]] & (direct | behind)
    alone[1:] &= role[:-1] == Role.WRITE
    alone[:1] = False
    return np.flatnonzero(alone).astype(np.int32)
