"""Expressions of ``#if``, decided as far as the macros are known: true, false, or neither.

A number that is not known is None, and so is what depends on it: ``defined(A) && B > 2`` is false
when A is not defined, whatever B is.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Final, Protocol

_TOKEN: Final = re.compile(
    r"[ \t\r\n\\]*(?:(0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]*|([A-Za-z_]\w*)|('(?:\\.|[^'\\])+')"
    r"|(\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%<>!~&|^?:(),]))"
)
_LONGEST: Final = 4000
#: Brackets within brackets. Each takes a dozen calls, and a macro may be asked of an ``#if``, too.
_DEEPEST: Final = 12
_WIDTH: Final = (1 << 64) - 1

_Operation = Callable[[int, int], int]
_LEVELS: Final[tuple[dict[str, _Operation], ...]] = (
    {"|": operator.or_},
    {"^": operator.xor},
    {"&": operator.and_},
    {"==": operator.eq, "!=": operator.ne},
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"<<": lambda a, b: a << (b & 63), ">>": lambda a, b: a >> (b & 63)},
    {"+": operator.add, "-": operator.sub},
    {
        "*": operator.mul,
        "/": lambda a, b: a // b if b else 0,
        "%": lambda a, b: a % b if b else 0,
    },
)


class Macros(Protocol):
    """What is known of macros."""

    def defined(self, name: str) -> bool | None:
        """Whether there is such a macro; None: not known."""

    def value(self, name: str) -> int | None:
        """Its value as a number, 0 when it is not defined; None: not known."""

    def called(self, name: str, argument: str) -> int | None:
        """The value of ``name(argument)``; None: not known."""


class _Unclear(Exception):
    """The text is no expression that is understood."""


def decided(expression: str, macros: Macros) -> bool | None:
    """Whether the expression of an ``#if`` holds; None: it depends on what is not known."""
    try:
        value = _Reader(expression, macros).whole()
    except _Unclear:
        return None
    return None if value is None else value != 0


def names(expression: str) -> list[str]:
    """The macros that an expression names, each once."""
    found = re.findall(r"[A-Za-z_]\w*", expression[:_LONGEST])
    return [name for name in dict.fromkeys(found) if name != "defined"]


class _Reader:
    def __init__(self, text: str, macros: Macros) -> None:
        self._macros = macros
        self._tokens = list(_tokens(text)) if len(text) < _LONGEST else []
        self._at = self._depth = 0

    def whole(self) -> int | None:
        value = self._choice()
        if self._at < len(self._tokens):
            raise _Unclear
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def _must(self, token: str) -> None:
        if not self._take(token):
            raise _Unclear

    def _choice(self) -> int | None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unclear
        value = self._either()
        if self._take("?"):
            first = self._choice()
            self._must(":")
            second = self._choice()
            value = (first if first == second else None) if value is None else (
                first if value else second
            )  # fmt: skip
        self._depth -= 1
        return value

    def _either(self) -> int | None:
        value = self._both()
        while self._take("||"):
            value = _or(value, self._both())
        return value

    def _both(self) -> int | None:
        value = self._level(0)
        while self._take("&&"):
            value = _not(_or(_not(value), _not(self._level(0))))
        return value

    def _level(self, level: int) -> int | None:
        if level == len(_LEVELS):
            return self._unary()
        value = self._level(level + 1)
        while operation := _LEVELS[level].get(self._peek()):
            self._at += 1
            other = self._level(level + 1)
            known = value is not None and other is not None
            value = int(operation(value, other)) & _WIDTH if known else None  # type: ignore[arg-type]
        return value

    def _unary(self) -> int | None:
        signs = []
        while self._peek() in ("!", "-", "+", "~"):
            signs.append(self._next())
        value = self._primary()
        for sign in reversed(signs):
            if sign == "!":
                value = _not(value)
            elif value is not None:
                value = {"-": -value, "+": value, "~": ~value}[sign] & _WIDTH
        return value

    def _primary(self) -> int | None:
        token = self._next()
        if token == "(":
            value = self._choice()
            self._must(")")
            return value
        if token == "defined":
            return self._defined()
        if token[:1].isdigit():
            return _number(token)
        if token[:1].isalpha() or token[:1] == "_":
            return self._called(token) if self._peek() == "(" else self._macros.value(token)
        if token[:1] == "'":
            return ord(token[1]) if len(token) == 3 else None
        raise _Unclear

    def _defined(self) -> int | None:
        bracket = self._take("(")
        name = self._next()
        if bracket:
            self._must(")")
        known = self._macros.defined(name)
        return None if known is None else int(known)

    def _called(self, name: str) -> int | None:
        """A macro with arguments: known is only what is asked of a single name."""
        self._must("(")
        inside, depth = [], 1
        while depth:
            token = self._next()
            if not token:
                raise _Unclear
            depth += (token == "(") - (token == ")")
            inside.append(token)
        return self._macros.called(name, " ".join(inside[:-1]))


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _Unclear
        tokens.append(match[1] or match[2] or match[3] or match[4])
        at = match.end()
    return tokens


def _or(one: int | None, other: int | None) -> int | None:
    if one or other:
        return 1
    return None if one is None or other is None else 0


def _not(value: int | None) -> int | None:
    return None if value is None else int(not value)


def _number(token: str) -> int:
    base = 16 if token[:2] in ("0x", "0X") else 8 if token[0] == "0" else 10
    try:
        return int(token, base)
    except ValueError:
        raise _Unclear from None
