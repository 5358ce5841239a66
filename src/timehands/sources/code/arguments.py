"""The arguments of a call, or of a macro."""

from __future__ import annotations

import re
from typing import Final

_SIGN: Final = re.compile(rb"([(),])")


def split(arguments: bytes) -> list[bytes]:
    """What stands between a call's parentheses, cut at the commas that no others hold."""
    parts, depth = [b""], 0
    for piece in _SIGN.split(arguments):
        depth += (piece == b"(") - (piece == b")")
        if piece == b"," and not depth:
            parts.append(b"")
        else:
            parts[-1] += piece
    return parts
