"""Kconfig's expressions as `Condition`, with values n, m and y.

A comparison (``ARCH="x86"``) is one name, as it is written; so is a macro (``$(cc-option,-m)``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from timehands.sources.config.conditions import DEEPEST, All, Any, Condition, Name, Not

N, M, Y = 0, 1, 2
LETTERS = "nmy"
_TOKEN = re.compile(
    r"""\s*(\|\||&&|!=|<=|>=|[!()=<>]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\x01[0-9]+\x01|[^\s|&!()=<>"']+)"""
)
_COMPARE = ("=", "!=", "<", ">", "<=", ">=")
_COMPARISON = re.compile(r"^(.+?)(!=|<=|>=|=|<|>)(.*)$")
_MOST_TOKENS = 2000


class BadExpression(ValueError):
    """An expression that cannot be read. The message says why."""


@lru_cache(maxsize=8192)
def parse(text: str) -> Condition:
    """``A && (B || !C=m)``. Raises `BadExpression`."""
    hidden, macros = _hide_macros(text)
    tokens = _TOKEN.findall(hidden)
    whole = "".join("".join(tokens).split()) == "".join(hidden.split())
    if not tokens or len(tokens) > _MOST_TOKENS or not whole:
        raise BadExpression(f"{text[:100]!r} is no expression")
    words = [_shown(token, macros) for token in tokens] if macros else tokens
    parser = _Parser(words)
    found = parser.either(0)
    if parser.left():
        raise BadExpression(f"{parser.left()[0][:60]!r} does not belong into {text[:100]!r}")
    return found


def _hide_macros(text: str) -> tuple[str, list[str]]:
    """Put marks in the place of ``$(...)``, which may have anything in them."""
    macros: list[str] = []
    if "$(" not in text:
        return text, macros
    out, at = [], 0
    while (start := text.find("$(", at)) >= 0:
        depth, end = 0, start + 1
        while end < len(text):
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
            if not depth:
                break
        out += [text[at:start], f"$\x01{len(macros)}\x01"]
        macros.append(text[start:end])
        at = end
    return "".join(out) + text[at:], macros


def _shown(token: str, macros: list[str]) -> str:
    return re.sub(r"\$\x01([0-9]+)\x01", lambda match: macros[int(match.group(1))], token)


class _Parser:
    def __init__(self, words: list[str]) -> None:
        self._words, self._at = words, 0

    def left(self) -> list[str]:
        return self._words[self._at :]

    def _take_if(self, *wanted: str) -> str:
        if self._at < len(self._words) and self._words[self._at] in wanted:
            self._at += 1
            return self._words[self._at - 1]
        return ""

    def either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._take_if("||"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._atom(depth)]
        while self._take_if("&&"):
            parts.append(self._atom(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _atom(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise BadExpression("it nests too deep")
        if self._at >= len(self._words):
            raise BadExpression("it ends too early")
        if self._take_if("!"):
            return Not(self._atom(depth + 1))
        if self._take_if("("):
            found = self.either(depth + 1)
            if not self._take_if(")"):
                raise BadExpression("a closing bracket is lacking")
            return found
        word = self._words[self._at]
        if word in (*_COMPARE, "&&", "||", ")"):
            raise BadExpression(f"{word!r} stands where a symbol should")
        self._at += 1
        if operator := self._take_if(*_COMPARE):
            if self._at >= len(self._words):
                raise BadExpression("a comparison with nothing")
            self._at += 1
            return Name(f"{word}{operator}{self._words[self._at - 1]}")
        if word == "y":
            return All()
        return Any() if word == "n" else Name(word)


def level(condition: Condition, value: Callable[[str], str]) -> int:
    """How far a condition holds: 0 (n), 1 (m) or 2 (y); ``value`` gives a symbol's text."""
    match condition:
        case Name(name):
            return _name_level(name, value)
        case Not(of):
            return Y - level(of, value)
        case All(parts):
            return min((level(part, value) for part in parts), default=Y)
        case Any(parts):
            return max((level(part, value) for part in parts), default=N)


def _name_level(name: str, value: Callable[[str], str]) -> int:
    if name == "m":
        return M
    match = _COMPARISON.match(name) if not name.startswith("$(") else None
    if match is None:
        text = value(name)
        return LETTERS.index(text) if text in ("n", "m", "y") else N
    left, operator, right = match.groups()
    return Y if _compares(_text(left, value), operator, _text(right, value)) else N


def _text(word: str, value: Callable[[str], str]) -> str:
    if word[:1] in "\"'":
        return word[1:-1]
    if word in ("n", "m", "y") or word.lstrip("-").isdigit() or word.startswith("0x"):
        return word
    return value(word)


def _compares(left: str, operator: str, right: str) -> bool:
    order = _order(left, right)
    return {
        "=": left == right, "!=": left != right, "<": order < 0, ">": order > 0,
        "<=": order <= 0, ">=": order >= 0,
    }[operator]  # fmt: skip


def _order(left: str, right: str) -> int:
    try:
        one, other = int(left, 0), int(right, 0)
    except ValueError:
        return (left > right) - (left < right)
    return (one > other) - (one < other)


def symbols(name: str) -> list[str]:
    """The symbols in a name of a condition: itself, or those on the sides of a comparison."""
    if name.startswith("$("):
        return []
    match = _COMPARISON.match(name)
    sides = match.group(1, 3) if match else (name,)
    return [side for side in sides if re.fullmatch(r"[A-Z0-9_a-z]*[A-Z_][A-Z0-9_a-z]*", side)]
