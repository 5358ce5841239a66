"""What may be meant by a word that is not written to its end: symbols, members, commands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from timehands.errors import TimehandsError
from timehands.kernels.memory import Unreadable
from timehands.kernels.types import Pointer, Struct, strip
from timehands.watch.stops import View
from timehands.watch.stops.wants import OPERATIONS

MOST: Final = 200
_CODE: Final = "tTwWiI"
#: What is before a member's name: an expression without spaces, and how it leads on.
_MEMBER: Final = re.compile(r"([\w$.\[\]()>*-]*[\w\])])(->|\.)(\w*)$", re.ASCII)
_WORD: Final = re.compile(r"[\w$.]*$", re.ASCII)
_PLACES: Final = ("break", "skip")


def complete(text: str, view: View, commands: Iterable[str]) -> list[str]:
    """The endings of the last word of a line, each as the whole word, in order; at most `MOST`.

    ``view`` gives names their meaning; its memory is not needed.
    """
    command, space, rest = text.lstrip().partition(" ")
    if not space:
        return sorted(one for one in commands if one.startswith(command))
    if member := _MEMBER.search(rest):
        return _members(member[1], member[3], view)
    word = _last_word(rest)
    found = _symbols(word, view, code=command in _PLACES) if len(word) > 1 else []
    extra = [*OPERATIONS, "write of"] if command == "break" else _near(view)
    return [*(one for one in extra if word and one.startswith(word)), *found][:MOST]


def last_word(text: str) -> str:
    """The part of a line that `complete` completes."""
    rest = text.lstrip().partition(" ")[2]
    if member := _MEMBER.search(rest):
        return member[3]
    return _last_word(rest) if " " in text.lstrip() else text.lstrip()


def _last_word(text: str) -> str:
    found = _WORD.search(text)
    return found[0] if found else ""


def _symbols(word: str, view: View, *, code: bool) -> list[str]:
    names: Iterator[str] = (
        symbol.name
        for symbol in view.kernel.symbols.match(f"{word}*")
        if (symbol.type in _CODE) or not code
    )
    return sorted(dict.fromkeys(names))[:MOST]


def _near(view: View) -> list[str]:
    """Arguments, registers and named numbers."""
    try:
        arguments = list(view.arguments)
    except (TimehandsError, Unreadable):
        arguments = []
    return [*arguments, *(f"${name}" for name in view.registers), *view.constants]


def _members(owner: str, start: str, view: View) -> list[str]:
    owner = owner.lstrip("*&!~-")  # these bind less tightly than what leads to a member
    if owner.count("(") > owner.count(")"):
        owner = owner.lstrip("(*&!~-")
    try:
        kind = strip(view.value(owner).type)
        if isinstance(kind, Pointer):
            kind = strip(kind.target)
    except (TimehandsError, Unreadable):
        return []
    if not isinstance(kind, Struct):
        return []
    return [one.name for one in kind.named_members() if one.name.startswith(start)][:MOST]
