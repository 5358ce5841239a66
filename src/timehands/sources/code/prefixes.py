"""What stands before a name and says that it is written: ``&``, ``++``, an atomic, assembly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.roles import Role
from timehands.sources.code.tokens import IS_WORD, Bools, Names, Words, table_of

Places = NDArray[np.int64]

_VALUE_END: Final = IS_WORD | table_of(b")]")
_ATOMIC: Final = b"atomic_"
_ATOMIC_READS: Final = (b"load", b"read", b"thread_fence")
#: Words of types: what stands in parentheses with one of them last is a cast.
_TYPES: Final = (b"char", b"int", b"long", b"short", b"unsigned", b"signed", b"void")


def prefixes(found: Words, names: Names) -> Iterator[tuple[Bools, Role]]:
    """Where chains of names (``x->y``) begin, the last of which is written, and how."""
    b1, b2, b3 = found.before
    yield (b1 == b2) & ((b1 == ord("+")) | (b1 == ord("-"))) & ~_VALUE_END[b3], Role.MODIFY
    yield _given(found, names.number(b"WRITE_ONCE")), Role.WRITE
    quoted = (b1 == ord("(")) & (b2 == ord('"'))
    yield quoted & ((b3 == ord("=")) | (b3 == ord("+"))), Role.OUTPUT
    address = _address(found, names)
    written, read = _atomics(found, address)
    yield written, Role.MODIFY
    yield address & ~written & ~read, Role.ADDRESS


def _given(found: Words, macro: int) -> Bools:
    """Whether it is the first argument of that macro."""
    given = np.zeros(len(found.name), np.bool_)
    given[1:] = (found.name[:-1] == macro) & (found.first[1:] == found.last[:-1] + 2)
    return np.asarray(given & (found.before[0] == ord("(")), np.bool_)


def _address(found: Words, names: Names) -> Bools:
    """``&x`` and ``&(x)``, which is no ``y & x``: after an operator, ``return`` or a cast."""
    b1, b2, b3 = found.before
    ampersand = (b1 == ord("&")) & (b2 != ord("&"))
    address = ampersand & ~_VALUE_END[b2]
    address |= (b1 == ord("(")) & (b2 == ord("&")) & ~_VALUE_END[b3] & (b3 != ord("&"))
    before = np.zeros(len(found.name), np.int32)
    before[1:] = found.name[:-1]
    close = np.zeros(len(found.name), np.bool_)
    close[1:] = found.first[1:] == found.last[:-1] + 2
    address |= ampersand & close & names.before_values[np.minimum(before, names.keywords)]
    cast = (b3 == ord("*")) | names.among(_TYPES, before)
    cast |= (b3 == ord("t")) & (found.solids[found.first - 4] == ord("_"))
    return np.asarray(address | (ampersand & (b2 == ord(")")) & cast), np.bool_)


def _atomics(found: Words, address: Bools) -> tuple[Bools, Bools]:
    """Of those whose address is taken, what an atomic function writes, and what it reads."""
    places = np.flatnonzero(address[1:] & (found.before[1][1:] == ord("("))) + 1
    places = places[found.first[places] == found.last[places - 1] + 3]
    start = found.first[places - 1]
    start = np.where(_stands(found, start, b"__"), start + 2, start)
    atomic = _stands(found, start, _ATOMIC)
    places, start = places[atomic], start[atomic] + len(_ATOMIC)
    reads = np.zeros(len(places), np.bool_)
    for word in _ATOMIC_READS:
        reads |= _stands(found, start, word)
    written, read = np.zeros_like(address), np.zeros_like(address)
    written[places[~reads]], read[places[reads]] = True, True
    return written, read


def _stands(found: Words, start: Places, word: bytes) -> Bools:
    """Whether a word begins at these places of ``solids``."""
    stands = np.ones(len(start), np.bool_)
    last = len(found.solids) - 1
    for at, character in enumerate(word):
        stands &= found.solids[np.minimum(start + at, last)] == character
    return stands
