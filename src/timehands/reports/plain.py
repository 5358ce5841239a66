"""Text that came from a guest, a kernel file or a stub, made harmless before it is shown.

A guest can write anything to its console and a kernel file can call itself anything: escape
sequences that repaint a terminal, direction marks that turn a line around, combining characters
that cover the lines above. Whatever does not print by itself is shown by its number instead.
"""

from __future__ import annotations

import functools
import unicodedata

ELLIPSIS = "…"
#: Our own typographic characters, for an output that cannot show them.
_ASCII = str.maketrans(
    {
        "✗": "x",
        "✓": "+",
        "▲": "!",
        "█": "#",
        "▌": "#",
        "–": "-",
        "—": "-",
        "−": "-",
        "→": "->",
        "·": "-",
        "…": "...",
        "×": "x",
        "≥": ">=",
        "≤": "<=",
        "±": "+/-",
        "µ": "u",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "\u00a0": " ",
    }
)


def harmless(text: str, limit: int = 4000) -> str:
    """The text on one line, with everything that does not print shown by its number (``\\x1b``).

    A tab or a line break becomes a space. What is longer than ``limit`` characters is cut, and
    ends in an ellipsis.
    """
    text = text if len(text) <= limit else text[: limit - 1] + ELLIPSIS
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, text))


def ascii_only(text: str) -> str:
    """The text in ASCII: typographic characters by their like, all others by their number."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` characters of the text, an ellipsis at the end of what was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


@functools.lru_cache(maxsize=4096)
def _harmless(character: str) -> str:
    if character in "\t\n\r\v\f":
        return " "
    if character.isprintable() and not unicodedata.category(character).startswith("M"):
        return character
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return character.encode("ascii", "backslashreplace").decode()
