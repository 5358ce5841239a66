"""What the names in a clock's values stand for: macros, variables, members, parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from timehands.sources.code.clock_file import Given, Home, plain
from timehands.sources.code.holding import Holding
from timehands.sources.code.model import Origin
from timehands.sources.code.roles import DEAD, ROLE_MASK, Role
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.index import Index

_NAME: Final = re.compile(r"(?<![\w.>])[A-Za-z_]\w*(?:(?:->|\.)\w+)*(?![\w(])")
_LITERAL: Final = re.compile(r"[^A-Za-z_]*(?:0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]*[^A-Za-z_]*|\".*\"")
_MOST_NAMES: Final = 3
_MOST_STEPS: Final = 2
_MOST_CALLERS: Final = 8
_MOST_PLACES: Final = 4
_LINES: Final = 6
_LONGEST: Final = 4000
_LAST: Final = 1 << 30
#: Words of C and types in casts, which stand for nothing.
_WORDS: Final = frozenset((
    "sizeof", "int", "long", "unsigned", "void", "NULL", "u_int", "u_long",
    "uint64_t", "uint32_t", "intptr_t", "uintptr_t", "u64", "u32", "s64", "mult",
))  # fmt: skip
_STRING: Final = re.compile(r"\"[^\"]*\"")


class Origins:
    """Looks names up in the files of an index."""

    def __init__(self, index: Index, holding: Holding) -> None:
        self._index, self._holding = index, holding

    def of(self, text: str, file: int, home: Home | None) -> tuple[Origin, ...]:
        """What the names of an expression stand for, in a function of a file."""
        found: dict[str, Origin] = {}
        waiting = [text]
        for _ in range(_MOST_STEPS):
            asked = [name for one in waiting for name in _names(one) if name not in found]
            waiting = []
            for name in asked[:_MOST_NAMES]:
                for origin in self._of_name(name, file, home):
                    found.setdefault(name, origin)
                    if not _LITERAL.fullmatch(origin.text):
                        waiting.append(origin.text)
        return tuple(found.values())

    def _of_name(self, name: str, file: int, home: Home | None) -> Iterator[Origin]:
        if name.isidentifier():
            yield from self._defined(name, file)
        if home is not None:
            yield from self._assigned(name, file, home.line, home.last)
        yield from self._assigned(name, file, 1, _LAST)

    def _assigned(self, name: str, file: int, first: int, last: int) -> Iterator[Origin]:
        """Where these lines assign to this very name first, and how many others there are."""
        text = b"\n".join(self._holding.texts.branches(file).plain[first - 1 : last])
        pattern = re.compile(
            rb"(?<![\w.>*])(?<!for \()(?<!for\()%s\s*+=(?!=)\s*+([^;]{1,400});"
            % re.escape(name.encode())
        )
        found = list(islice(pattern.finditer(text), _MOST_PLACES * 4))
        for match in found[:1]:
            line = first + text.count(b"\n", 0, match.start())
            others = f" (or {len(found) - 1} more)" if len(found) > 1 else ""
            value = plain(match[1].decode(errors="replace"))
            yield Origin(name, value + others, Where(self._holding.paths[file], line))

    def _defined(self, name: str, file: int) -> Iterator[Origin]:
        """A macro's body, or the value that a variable is defined with, where the file sees it."""
        rows = self._index.occurrences(name)
        role = rows[:, 2] & ROLE_MASK
        good = ((role == Role.MACRO) | (role == Role.VARIABLE)) & ((rows[:, 2] & DEAD) == 0)
        seen = self._holding.included(file) | {file}
        places = [one for one in rows[good].tolist() if one[0] in seen]
        places.sort(key=lambda place: place[0] != file)
        for number, line, full in places[:_MOST_PLACES]:
            text = self._value_at(name, (number, line))
            if text and self._holding.refused((number, line)) is None:
                where = Where(self._holding.paths[number], line)
                yield Origin(name, text, where, full & ROLE_MASK == Role.MACRO)

    def _value_at(self, name: str, place: tuple[int, int]) -> str:
        lines = self._holding.texts.branches(place[0]).lines[place[1] - 1 :][:_LINES]
        text = b"\n".join(lines)[:_LONGEST].decode(errors="replace")
        macro = re.match(rf"\s*#\s*define\s+{re.escape(name)}\b(?!\()((?:[^\\\n]|\\\n)*)", text)
        if macro:
            return plain(macro[1].replace("\\\n", " "))
        variable = re.match(rf"[^=;]*\b{re.escape(name)}\s*(?:\[\w*\])?\s*=\s*([^;{{]+)[;,]", text)
        return plain(variable[1]) if variable else ""

    # ---- parameters

    def callers(self, given: Given) -> Iterator[tuple[str, int, int]]:
        """What callers hand over for a parameter: text, file, line; nothing if it is none."""
        home = given.home
        if home is None or given.text not in home.parameters:
            return
        place = home.parameters.index(given.text)
        rows = self._index.occurrences(home.name)
        rows = rows[((rows[:, 2] & ROLE_MASK) == Role.CALL) & ((rows[:, 2] & DEAD) == 0)]
        for file, line, _ in rows[:_MOST_CALLERS].tolist():
            arguments = self._arguments(home.name, file, line)
            if place < len(arguments):
                yield arguments[place], file, line

    def _arguments(self, function: str, file: int, line: int) -> list[str]:
        lines = self._holding.texts.branches(file).lines[line - 1 :][:_LINES]
        text = b"\n".join(lines)[:_LONGEST].decode(errors="replace")
        at = text.find(function)
        return [plain(one) for one in _split(text[at + len(function) :])] if at >= 0 else []


def _names(text: str) -> Iterator[str]:
    """The names in an expression that may stand for something."""
    for match in _NAME.finditer(_STRING.sub('""', text)):
        if match[0] not in _WORDS:
            yield match[0]


def _split(text: str) -> list[str]:
    """The arguments of a call, from its bracket on."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        elif not (letter == "(" and depth == 1 and parts == [""]):
            parts[-1] += letter
    return parts
