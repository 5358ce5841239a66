"""Which ``#if``, ``#ifdef`` and ``#else`` a line of a file stands within."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from timehands.sources.code.deciding import Macros, decided
from timehands.sources.code.mask import COMMENT_OR_STRING

_DIRECTIVE: Final = re.compile(
    rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif|define)\b"
    rb"([^\\\n]*(?:\\(?:\r?\n|.)[^\\\n]*)*)",
    re.MULTILINE | re.DOTALL,
)
_DEEPEST: Final = 200
#: Branches of one ``#if``; those after them count as the last of these.
_MOST_BRANCHES: Final = 200
_SHOWN: Final = 72


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a condition: its own holds, and none of those before it.

    ``text`` is what its directive says, on ``line``. ``condition`` is empty for ``#else``.
    """

    line: int
    text: str
    condition: str
    before: tuple[str, ...] = ()

    def holds(self, macros: Macros) -> bool | None:
        """Whether it is compiled; None: that is not known."""
        sides = [_inverse(decided(one, macros)) for one in self.before]
        if self.condition:
            sides.append(decided(self.condition, macros))
        return False if False in sides else None if None in sides else True

    def __str__(self) -> str:
        return self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 3]}..."


class Branches:
    """The conditions of one file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._lines: list[int] = [0]
        self._stacks: list[tuple[Branch, ...]] = [()]
        self._text = COMMENT_OR_STRING.sub(_blank, data)
        self._guard = self._guarded()
        self._read()

    def at(self, line: int) -> tuple[Branch, ...]:
        """The branches that a line is in, the outermost first."""
        return self._stacks[bisect_right(self._lines, line) - 1]

    @cached_property
    def lines(self) -> list[bytes]:
        """The file's lines."""
        return self.data.split(b"\n")

    @cached_property
    def plain(self) -> list[bytes]:
        """The file's lines without comments and strings."""
        return self._text.split(b"\n")

    def _guarded(self) -> str:
        """The macro of ``#ifndef X``, ``#define X`` at a header's head: it says nothing."""
        first = list(_first(self._text, 2))
        if len(first) == 2 and first[0][0] == b"ifndef" and first[1][0] == b"define":
            name = first[0][1]
            return name if first[1][1].split()[:1] == [name] else ""
        return ""

    def _read(self) -> None:
        stack: list[Branch] = []
        line = 1
        at = 0
        for match in _DIRECTIVE.finditer(self._text):
            line += self._text.count(b"\n", at, match.start())
            at = match.start()
            word = match[1]
            if word != b"define" and _step(stack, word, _plain(match[2]), line):
                shown = tuple(one for one in stack if one.condition != _not_defined(self._guard))
                self._lines.append(line)
                self._stacks.append(shown)


def _first(text: bytes, many: int) -> list[tuple[bytes, str]]:
    found = []
    for match in _DIRECTIVE.finditer(text):
        found.append((match[1], _plain(match[2])))
        if len(found) == many:
            break
    return found


def _plain(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").replace("\\\n", " ").split())


def _not_defined(name: str) -> str:
    return f"!defined({name})"


def _step(stack: list[Branch], word: bytes, text: str, line: int) -> bool:
    """What a directive does to the branches that are open; False: nothing."""
    said = f"#{word.decode()} {text}".rstrip()
    if word in (b"if", b"ifdef", b"ifndef"):
        if len(stack) >= _DEEPEST:
            return False
        stack.append(Branch(line, said, _condition(word, text)))
    elif not stack:
        return False
    elif word == b"endif":
        stack.pop()
    elif len(stack[-1].before) >= _MOST_BRANCHES:
        return False
    else:
        was = stack.pop()
        before = (*was.before, was.condition) if was.condition else was.before
        condition = "" if word == b"else" else _condition(word[2:], text)
        said = f"{said} of {was.text}" if word == b"else" else said
        stack.append(Branch(line, said, condition, before))
    return True


def _condition(word: bytes, text: str) -> str:
    """The expression of a directive; ``elifdef`` comes without its ``el``."""
    name = text.split(maxsplit=1)[0] if text else ""
    if word in (b"ifdef", b"ifndef"):
        return f"defined({name})" if word == b"ifdef" else _not_defined(name)
    return text


def _blank(match: re.Match[bytes]) -> bytes:
    return b"\n" * match[0].count(b"\n") or b" "


def _inverse(value: bool | None) -> bool | None:
    return None if value is None else not value
