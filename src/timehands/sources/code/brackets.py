"""Brackets of a text that belong together, all at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.tokens import Bytes, Words

Places = NDArray[np.int64]

#: What a byte adds to the depth, as a table for `bytes.translate`; 255 is -1 of 8 bits.
STEPS: Final = bytes(1 if c in b"([{" else 255 if c in b")]}" else 0 for c in range(256))
#: ``a[i][j][k]``: so many are looked behind.
_SUBSCRIPTS: Final = 4


def behind_subscripts(found: Words) -> tuple[Places, Places]:
    """The identifiers with ``[`` behind them, and where in ``solids`` stands what comes after
    the last ``]``. Those whose brackets do not match are left out.
    """
    indexed = np.flatnonzero(found.after[0] == ord("["))
    end = found.last[indexed] + 1
    opened, closed = _square(found.solids)
    for _ in range(_SUBSCRIPTS):
        more = np.flatnonzero((found.solids[end] == ord("[")) & np.isin(end, opened))
        end[more] = closed[np.searchsorted(opened, end[more])] + 1
    good = found.solids[end] != ord("[")
    return indexed[good], end[good]


def _square(solids: Bytes) -> tuple[Places, Places]:
    """Where ``[`` stand, in order, and the ``]`` of each."""
    places = np.flatnonzero((solids == ord("[")) | (solids == ord("]")))
    opens = solids[places] == ord("[")
    depth = np.cumsum(np.where(opens, 1, -1))
    level = np.where(opens, depth, depth + 1)
    # On a level of its own, each one that opens stands right before the one that closes it; one
    # that nothing closes before one of the next level, which was there first.
    order = np.argsort(level, kind="stable")
    one, next_ = order[:-1], order[1:]
    pairs = opens[one] & ~opens[next_] & (one < next_)
    first, second = places[one[pairs]], places[next_[pairs]]
    sort = np.argsort(first)
    return first[sort], second[sort]


def depths(solids: Bytes, *where: Places) -> list[NDArray[np.int32]]:
    """How many brackets of any kind are open at each of these places of ``solids``."""
    steps = np.frombuffer(solids.tobytes().translate(STEPS), np.int8)
    places = np.flatnonzero(steps)
    depth = np.zeros(len(places) + 1, np.int32)
    np.cumsum(steps[places], dtype=np.int32, out=depth[1:])
    return [depth[np.searchsorted(places, some)] for some in where]
