"""What a stream can show.

Colours only on a terminal that wants them (NO_COLOR, TERM=dumb), other than ASCII only where the
stream's encoding has it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TextIO

from timehands.reports.page import LEAST_WIDTH, WIDTH


@dataclass(frozen=True, slots=True)
class Surface:
    """What a stream can show: ``width`` in columns, colours or not, more than ASCII or not."""

    width: int
    color: bool
    unicode: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] | None = None) -> Self:
        """What this stream can show. A stream that is no terminal gets 100 plain columns."""
        environ = os.environ if environ is None else environ
        tty = stream.isatty()
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM", "dumb") == "dumb"
        columns = shutil.get_terminal_size((WIDTH, 24)).columns if tty else WIDTH
        width = min(WIDTH, max(LEAST_WIDTH, columns))
        return cls(width, tty and not plain, _shows_more_than_ascii(stream))


def _shows_more_than_ascii(stream: TextIO) -> bool:
    try:
        "✗✓█…".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
