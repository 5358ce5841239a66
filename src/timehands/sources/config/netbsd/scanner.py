"""The words of NetBSD's configuration files, and a cursor over a statement's words.

A statement ends with its line, unless the next one begins with a blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from timehands.sources.config.conditions import DEEPEST, All, Any, Condition, Name, Not

_TOKEN = re.compile(
    r"""(?P<skip>\s+)|(?P<word>(?:[-\w./]|\$\{\w+\})+)|(?P<quoted>"(?:\\.|[^\\"])*")|(?P<sign>[+:]=|.)"""
)
_COMMENT = re.compile(r'("(?:\\.|[^\\"])*")|#[^\n]*')
#: Words between blanks; signs are words of their own wherever they are.
_WORDS = re.compile(r"[^\s(){}\[\]|&!,:*?=]+|\S")
#: A line that is not empty, and no comment, with those after it that begin with a blank.
_LOGICAL = re.compile(r"^[^#\n][^\n]*(?:\n[ \t][^\n]*)*", re.MULTILINE)
_MOST_WORDS = 4000


class Quoted(str):
    """A word that was in quotes: never a keyword or a sign."""

    __slots__ = ()


class Malformed(Exception):
    """A statement is not what its keyword demands. The message says how."""


@dataclass(slots=True)
class Statement:
    """A statement's words from left to right, and how far they were taken."""

    line: int
    source: str
    words: list[str]
    position: int = field(default=0)

    def peek(self) -> str:
        """The next word, or an empty one at the end."""
        return self.words[self.position] if self.position < len(self.words) else ""

    def next_is(self, *signs: str) -> bool:
        """Whether the next word is one of these, and not in quotes."""
        words, position = self.words, self.position
        if position >= len(words) or words[position] not in signs:
            return False
        return not isinstance(words[position], Quoted)

    def take(self, what: str = "a word") -> str:
        """The next word. Raises `Malformed` at the end."""
        if self.position >= len(self.words):
            raise Malformed(f"{what} is lacking")
        self.position += 1
        return self.words[self.position - 1]

    def take_if(self, *signs: str) -> bool:
        """Take the next word if it is one of these."""
        if not self.next_is(*signs):
            return False
        self.position += 1
        return True

    def rest(self) -> list[str]:
        """All that was not taken yet."""
        found = self.words[self.position :]
        self.position = len(self.words)
        return found

    def text(self) -> str:
        """The statement as it is written, in one line."""
        return as_written(self.source)

    def braces(self) -> bool:
        """Skip ``{ ... }``; whether there was one."""
        if not self.take_if("{"):
            return False
        depth = 1
        while depth:
            word = self.take("a closing brace")
            if not isinstance(word, Quoted):
                depth += (word == "{") - (word == "}")
        return True

    def names(self) -> list[str]:
        """``A, B, C``: at least one."""
        found = [self.take("a name")]
        while self.take_if(","):
            found.append(self.take("a name"))
        return found

    def condition(self) -> Condition:
        """``(a | b) & !c``. Raises `Malformed`."""
        if self.position + 1 == len(self.words) and self.words[self.position].isidentifier():
            return Name(self.take())
        return self._either(0)

    def _either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self.take_if("|"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._atom(depth)]
        while self.take_if("&"):
            parts.append(self._atom(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _atom(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise Malformed("a condition nests too deep")
        word = self.take("a condition's word")
        if word == "(":
            found = self._either(depth + 1)
            if not self.take_if(")"):
                raise Malformed("a closing bracket is lacking")
            return found
        if word == "!":
            return Not(self._atom(depth + 1))
        if not re.match(r"[A-Za-z_]", word):
            raise Malformed(f"{word!r} is no word of a condition")
        return Name(word)


def as_written(source: str) -> str:
    """A statement's text in one line, with single blanks."""
    return " ".join(source.split())


def statements(text: str) -> Iterator[Statement]:
    """The statements of a file, in order."""
    for line, source in lines(text):
        yield Statement(line, source, words(source))


def lines(text: str) -> Iterator[tuple[int, str]]:
    """The statements as they are written, each on one line, without comments and with its number.

    A statement is a line that is not empty, and those after it that begin with a blank.
    """
    number, counted = 1, 0
    for match in _LOGICAL.finditer(text):
        number += text.count("\n", counted, match.start())
        counted = match.start()
        source = match.group()
        if "#" in source:
            source = "\n".join(map(_without_comment, source.split("\n")))
        if "\n" in source:
            source = source.replace("\n", " ")
        if not source.isspace():
            yield number, source


def _without_comment(line: str) -> str:
    return _COMMENT.sub(r"\1", line) if '"' in line else line.partition("#")[0]


def words(source: str) -> list[str]:
    """A statement's words and signs."""
    if '"' not in source and "+=" not in source and ":=" not in source and "${" not in source:
        return _WORDS.findall(source)[:_MOST_WORDS]
    found: list[str] = []
    for match in _TOKEN.finditer(source):
        if match.lastgroup == "quoted":
            found.append(Quoted(match.group()[1:-1]))
        elif match.lastgroup != "skip":
            found.append(match.group())
    return found[:_MOST_WORDS]
