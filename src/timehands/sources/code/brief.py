"""A masked file made shorter for the parser: what it need not see of functions, and blanks.

Most of a function's text are statements that the parser has nothing to say of: calls, conditions,
assignments to plain names. The pass over the identifiers (`timehands.sources.code.tokens`) reads
those. Here they become empty statements, and runs of blanks become one, so that the parser has
about a fourth of the text to read, and stumbles over less.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TO_BLANK: Final = bytes(c if c in b"\n" else 0x20 for c in range(256))

# No pattern here goes back over what it took.
_NESTED = rb"[^(){};]*+"
for _ in range(4):
    _NESTED = rb"[^(){};]*+(?:\(" + _NESTED + rb"\)[^(){};]*+)*+"
_NO_CALL: Final = (
    rb"(?!(?:if|while|for|switch|return|sizeof|else|do|case|goto|int|void|char|long|short|unsigned|"
    rb"typedef|__typeof__|__typeof|typeof)\b)"
)
#: A statement on its own lines: its beginning, then a condition's inside or the whole of it.
_PLAIN: Final = re.compile(
    rb"([;{})][ \t]*+(?:else[ \t]++|\n[ \t\n]*+)(?:else[ \t]++)?(?:(?:if|while|switch)[ \t]*+\()?)"
    rb"(?:(?<=\()(" + _NESTED + rb")(?=\))|(?<!\()("
    + _NO_CALL
    + rb"[A-Za-z_]\w*+[ \t]*+(?:\((?![ \t]*\*)" + _NESTED + rb"\)"
    rb"|(?:(?:->|\.)\w++)*+[ \t]*+(?:[-+*/|&^%]|<<|>>)?=(?!=)" + _NESTED + rb")"
    rb"|return\b" + _NESTED + rb"|break|continue|goto[^(){};]*+)(?=;))"
)  # fmt: skip
_IS_BLANK: Final = np.zeros(256, np.bool_)
_IS_BLANK[np.frombuffer(b" \t\n\r\v\f", np.uint8)] = True


def brief(code: bytes) -> tuple[bytes, NDArray[np.int64]]:
    """The shorter text, and of each of its bytes the offset in ``code``; one more, for its end."""
    # Where no function begins in the first column, these may be members made by macros.
    text = _PLAIN.sub(_emptied, code) if b"\n{" in code else code
    buffer = np.frombuffer(text, np.uint8)
    blank = _IS_BLANK[buffer]
    again = np.zeros(len(blank), np.bool_)
    again[1:] = blank[1:] & blank[:-1]
    places = np.flatnonzero(~again)
    return buffer[places].tobytes(), np.append(places, len(code))


def _emptied(match: re.Match[bytes]) -> bytes:
    begin, condition, statement = match[1], match[2], match[3]
    what = statement if condition is None else condition
    if b"[" in what and (b"=" in what or b"++" in what or b"--" in what):
        return match[0]  # a part of something may be written
    if condition is None:
        return begin + what.translate(_TO_BLANK)
    return begin + b"0" + what[1:].translate(_TO_BLANK) if what else match[0]
