"""Functions that never return, by what their text shows: panics, reboots, and what ends in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

_DECLARED: Final = re.compile(rb"\b(?:__dead2?|__noreturn|_Noreturn|noreturn|__dead__)\b")
_SAID: Final = re.compile(rb"NOT[ _]?REACHED", re.IGNORECASE)
_FOREVER: Final = re.compile(rb"(?:for[ ]?\([^;()]*;[ ]*;[^()]*\)|while[ ]?\((?:1|true|TRUE)\))")
_CALL: Final = re.compile(rb"(?:\(void\)[ ]?)?([A-Za-z_]\w*)[ ]?\(")
_RETURN: Final = re.compile(rb"\breturn\b")
#: A statement of a function's own level: one tab, or four blanks, and no more.
_STATEMENT: Final = re.compile(rb"^(?:\t|    )(?=[A-Za-z_(])(.*)$", re.MULTILINE)
_LAST: Final = 5


def never_returns(text: bytes, plain: bytes, ends_in: Callable[[bytes], bool]) -> bool:
    """Whether a function never returns.

    ``text`` is its whole definition, ``plain`` the same without comments. ``ends_in`` is asked
    about the function whose call is its last statement.
    """
    head, _, body = plain.partition(b"{")
    if _DECLARED.search(head):
        return True
    if _RETURN.search(body):
        return False
    if _SAID.search(_tail(text.split(b"\n"))):
        return True
    statements = [one for one in _STATEMENT.findall(body) if not one.startswith(b"va_end")]
    if not statements:
        return False
    if _FOREVER.match(statements[-1]):
        return b"break;" not in body.rpartition(statements[-1])[2]
    call = _CALL.match(statements[-1])
    return call is not None and ends_in(call[1])


def is_declared_so(text: bytes) -> bool:
    """Whether a prototype says that its function never returns. ``text`` begins with its line."""
    return _DECLARED.search(text.partition(b";")[0]) is not None


def _tail(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines[-_LAST:])
