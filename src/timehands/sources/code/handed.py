"""Functions that are handed over as arguments: to who calls them, or keeps them in a pointer.

With ``et->et_event_cb = event`` in it, ``et_init(timer, timercb)`` gives timercb to et_event_cb.
This reads the text of the functions on the way; it is asked of functions that nobody calls by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from timehands.sources.code.arguments import split
from timehands.sources.code.calls import Calls, Link
from timehands.sources.code.checks import Checks
from timehands.sources.code.holding import Place

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_DEEPEST: Final = 4
_MOST_PLACES: Final = 12
_MOST_FUNCTIONS: Final = 3
_ABOVE: Final = 6
#: So many calls are looked at for one function that is named; no text is longer than a person's.
_MOST_CALLS: Final = 400
_LONGEST_NAME: Final = 200
#: So often one text names what it hands over.
_MOST_NAMED: Final = 200
_LONGEST_HEAD: Final = 4000
_LONGEST_BODY: Final = 100_000
_NAME: Final = re.compile(rb"([A-Za-z_]\w*)[ \t\n]*$")
_LAST_NAME: Final = re.compile(rb"\(\s*\*\s*(\w+)\s*\)|(\w+)[\s\[\]\d]*$")


class Taken(NamedTuple):
    """Where a function that was handed over goes: called by ``caller``, or into a pointer."""

    caller: int | None
    line: int
    link: Link | None


class Handed:
    """Follows functions through the arguments of calls."""

    def __init__(self, index: Index, calls: Calls, checks: Checks) -> None:
        self._index, self._calls, self._checks = index, calls, checks
        self._functions = calls.functions
        self._left = 0

    def over(self, function: int) -> Iterator[tuple[Place, Taken]]:
        """What becomes of a function that is named: where it is handed over, and to what."""
        self._left = _MOST_CALLS
        name = self._functions.names[function]
        rows = self._index.occurrences(name.decode(errors="replace"))
        home = self._functions.at(rows[:, 0], rows[:, 1])
        places = [
            (int(file), int(line))
            for (file, line, _), where in zip(rows.tolist(), home.tolist(), strict=True)
            if where >= 0 and where != function
        ]
        for place in places[:_MOST_PLACES]:
            lines = self._checks.texts.branches(place[0]).plain
            near = b"\n".join(lines[max(0, place[1] - _ABOVE) : place[1]])
            text = near[-_LONGEST_HEAD:]
            for callee, argument in _calls_with(name, text):
                for taken in self._taken(callee, argument, 0):
                    yield place, taken

    def _taken(self, callee: bytes, argument: int, depth: int) -> Iterator[Taken]:
        """What becomes of an argument of a function."""
        for function in self._calls.named(callee)[:_MOST_FUNCTIONS]:
            self._left -= 1
            if self._left < 0:
                return
            parameters, body = self._text(function)
            if argument >= len(parameters) or not parameters[argument]:
                continue
            name = parameters[argument]
            sites = self._calls.sites(name)
            for line in sites.line[sites.caller == function].tolist():
                yield Taken(function, line, None)
            for link in self._kept(name, function):
                yield Taken(None, link.line, link)
            if depth < _DEEPEST:
                for further, place in _calls_with(name, body):
                    if further != callee:
                        yield from self._taken(further, place, depth + 1)

    def _text(self, function: int) -> tuple[list[bytes], bytes]:
        """A function's parameters, and its body; of a macro, too."""
        functions = self._functions
        cut = slice(int(functions.start[function]) - 1, int(functions.end[function]))
        lines = self._checks.texts.branches(int(functions.file[function])).plain[cut]
        text = b"\n".join(lines)[:_LONGEST_BODY].replace(b"\\\n", b" \n")
        opened = text.find(functions.names[function] + b"(")
        at = opened + len(functions.names[function]) if opened >= 0 else text.find(b"(")
        inside, end = _brackets(text, at)
        return [_parameter(one) for one in split(inside)], text[end:]

    def _kept(self, parameter: bytes, function: int) -> Iterator[Link]:
        """The pointers that get a parameter in a function."""
        functions = self._functions
        file = int(functions.file[function])
        lines = range(int(functions.start[function]), int(functions.end[function]) + 1)
        for link in self._assigned.get((parameter, file), ()):
            if link.line in lines:
                yield link

    @cached_property
    def _assigned(self) -> dict[tuple[bytes, int], list[Link]]:
        """What is assigned to pointers and is no function: by its name and file."""
        found: dict[tuple[bytes, int], list[Link]] = {}
        for through, value, how, file, line in self._index.links():
            for at, kind in enumerate(how):
                if kind == b"->":
                    link = Link(through[at], int(file[at]), int(line[at]), kind.decode())
                    found.setdefault((value[at], link.file), []).append(link)
        return found


def _calls_with(name: bytes, text: bytes) -> Iterator[tuple[bytes, int]]:
    """The calls in a text that have a name as an argument: what is called, which argument."""
    pattern = rb"(?<![\w.>])&?\b%s\b(?!\s*[\w(=])" % re.escape(name)
    for match in islice(re.finditer(pattern, text), _MOST_NAMED):
        depth = place = 0
        for at in range(match.start() - 1, max(-1, match.start() - 600), -1):
            letter = text[at : at + 1]
            depth += (letter == b")") - (letter == b"(")
            if depth < 0:
                if called := _NAME.search(text[max(0, at - _LONGEST_NAME) : at]):
                    yield called[1], place
                    break
                depth = place = 0  # brackets around the argument alone
            if letter in b";{}" and letter:
                break
            place += letter == b"," and depth == 0


def _brackets(text: bytes, at: int) -> tuple[bytes, int]:
    """What stands in the brackets that open at an offset, and where they end."""
    depth = 0
    for end in range(at, min(len(text), at + _LONGEST_HEAD)):
        depth += (text[end : end + 1] == b"(") - (text[end : end + 1] == b")")
        if depth == 0:
            return text[at + 1 : end], end + 1
    return b"", len(text)


def _parameter(text: bytes) -> bytes:
    """The name that a parameter's declaration declares."""
    match = _LAST_NAME.search(text.strip()[-_LONGEST_NAME:])
    return (match[1] or match[2] or b"") if match else b""
