"""The words of a FreeBSD kernel configuration file, as config(5) has them.

A line that begins with a blank goes on with the one before; ``;`` ends a directive as a line's end
does; after ``=`` everything up to a blank is the value; ``envvar`` takes the rest of its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<goes_on>\n(?=[ \t]))|(?P<end>[\n;])|(?P<skip>\#[^\n]*|[ \t\f\r]+)
    |(?P<name>[A-Za-z_][-A-Za-z_0-9]*)|(?P<assign>\+?=)|(?P<comma>,)
    |(?P<quoted>\\"[^"]*\\"|"[^"]+")|(?P<path>[./][-/.%^A-Za-z_0-9]+)
    |(?P<number>-?[0-9][0-9A-Fa-fxX]*|\?)|(?P<odd>.)""",
    re.VERBOSE,
)
_VALUE = re.compile(r'[ \t]*(\\"[^"]*\\"|"[^"]+"|[^#\s]*)')
_REST = re.compile(r"[^#\n]*")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a directive's list: a name, with ``=`` or ``+=`` and a value, if there is."""

    name: str
    operator: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive: its line, its keyword as written, and its list of things.

    ``odd`` is the first thing in it that does not belong there.
    """

    line: int
    keyword: str
    items: tuple[Item, ...]
    odd: str = ""


def directives(text: str) -> Iterator[Directive]:
    """The directives of a file, in order. Never raises: what is odd is told by `Directive.odd`."""
    position, line, building = 0, 1, _Building(0)
    while match := _TOKEN.match(text, position):
        position = match.end()
        kind, word = match.lastgroup, match.group()
        if kind == "end":
            if done := building.done():
                yield done
            building = _Building(0)
        elif kind == "name" and not building.keyword:
            building.keyword, building.line = word, line
            if word == "envvar":
                rest = _REST.match(text, position)
                position = rest.end() if rest else position
                building.add_variable(rest.group() if rest else "")
        elif kind == "assign":
            value = _VALUE.match(text, position)
            position = value.end() if value else position
            building.assign(word, _unquoted(value.group(1) if value else ""))
            line += value.group().count("\n") if value else 0
        elif kind not in ("skip", "goes_on"):
            building.add(kind or "odd", word, line)
        line += word.count("\n")
    if done := building.done():
        yield done


def _unquoted(word: str) -> str:
    if word.startswith('\\"'):
        return f'"{word[2:-2]}"'
    return word[1:-1] if word.startswith('"') and len(word) > 1 else word


class _Building:
    """A directive that is being read."""

    def __init__(self, line: int) -> None:
        self.line, self.keyword, self.odd = line, "", ""
        self.items: list[Item] = []

    def add(self, kind: str, word: str, line: int) -> None:
        if kind == "odd" or not self.keyword:
            self.line = self.line or line
            self.odd = self.odd or word
        elif kind != "comma":
            self.items.append(Item(_unquoted(word)))

    def add_variable(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self.items.append(Item(name.strip(' \t"'), "=", value.strip(' \t"')))

    def assign(self, operator: str, value: str) -> None:
        if self.items:
            self.items[-1] = Item(self.items[-1].name, operator, value)
        else:
            self.odd = self.odd or operator

    def done(self) -> Directive | None:
        if not self.keyword and not self.odd:
            return None
        return Directive(self.line, self.keyword, tuple(self.items), self.odd)
