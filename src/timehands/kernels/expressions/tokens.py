"""The words that a C expression is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from timehands.errors import ExpressionError

MAX_TEXT: Final = 4096
_PATTERN: Final = re.compile(
    r"""\s*(?:
      (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|0[bB][01]+[uUlL]*|[0-9]+[uUlL]*)(?![\w.])
    | (?P<char>'(?:[^'\\\n]|\\(?:[abefnrtv\\'"?]|[0-7]{1,3}|x[0-9a-fA-F]+))')
    | (?P<name>[A-Za-z_]\w*)
    | (?P<register>\$[A-Za-z]\w*)
    | (?P<operator><<=|>>=|->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^~!<>=?:.,()\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)
_SUFFIXES: Final = frozenset(("", "u", "l", "ul", "lu", "ll", "ull", "llu"))


@dataclass(frozen=True, slots=True)
class Token:
    """One word: ``kind`` is number, char, name, register, operator or end."""

    kind: str
    text: str
    position: int


def tokens_of(text: str) -> list[Token]:
    """All words of an expression, and one of kind ``end``. Raises `ExpressionError`."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression of more than {MAX_TEXT} characters")
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _PATTERN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError("this is no C expression", text=text, position=at)
        kind = match.lastgroup
        found.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def number_of(token: Token, text: str) -> tuple[int, bool, bool, bool]:
    """A number's value, and whether it is decimal, has ``u``, has ``l``."""
    digits = token.text.lower().rstrip("ul")
    suffix = token.text.lower()[len(digits) :]
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if digits[0] == "0" and len(digits) > 1 else 10)
    try:
        value = int(digits[2:] if base in (2, 16) else digits, base)
    except ValueError as error:
        raise ExpressionError("this is no number", text=text, position=token.position) from error
    if suffix not in _SUFFIXES or value >> 64:
        raise ExpressionError("this is no 64-bit number", text=text, position=token.position)
    return value, base == 10, "u" in suffix, "l" in suffix


_ESCAPED: Final = {
    "a": 7, "b": 8, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11,
    "\\": 92, "'": 39, '"': 34, "?": 63,
}  # fmt: skip


def char_of(token: Token) -> int:
    """A character constant's value: that of a ``signed char``, as an ``int``."""
    inner = token.text[1:-1]
    if inner[0] != "\\":
        value = ord(inner) & 0xFF
    elif inner[1] == "x":
        value = int(inner[2:], 16) & 0xFF
    else:
        value = _ESCAPED[inner[1]] if inner[1] in _ESCAPED else int(inner[1:], 8) & 0xFF
    return value - 256 if value > 127 else value
