"""A masked file made shorter for the parser: without what is in functions, and without blanks.

A function's statements are read by the pass over the identifiers
(`timehands.sources.code.tokens`). Without them, and with one blank for many, the parser has a
tenth of the text to read, and stumbles over less.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.tokens import BLANKS, marked, marks_of

_BLANK: Final = marks_of(BLANKS)


def brief(code: bytes, hidden: list[tuple[int, int]]) -> tuple[bytes, NDArray[np.int64]]:
    """The shorter text, and of each of its bytes the offset in ``code``; one more, for its end.

    ``hidden``: ranges of ``code`` to leave out, in order. Of blanks in a row the last one stays.
    """
    bounds = [0, *(offset for pair in hidden for offset in pair), len(code)]
    pieces = [code[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    text = b"".join(pieces)
    blank = marked(text, _BLANK)
    again = np.zeros(len(blank), np.bool_)
    again[:-1] = blank[1:] & blank[:-1]
    kept = np.flatnonzero(~again)
    sizes = np.array([len(piece) for piece in pieces])
    begins = np.cumsum(sizes) - sizes
    shift = np.array(bounds[::2]) - begins
    # An empty piece begins where the next one does: the last of those is meant.
    places = kept + shift[np.searchsorted(begins, kept, "right") - 1]
    return np.frombuffer(text, np.uint8)[kept].tobytes(), np.append(places, len(code))
