"""Console messages about clocks: matching them to who prints them, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import Match

from timehands.story.model import Message
from timehands.watch.recording import ConsoleLine, Recording

_MOST = 200
#: NetBSD begins each line with the time since boot.
_STAMP = re.compile(r"^\[ *\d{1,10}\.\d{1,9}\] ")
_Meaning = str | Callable[[Match[str]], str]


@dataclass(frozen=True, slots=True)
class Known:
    """A message: its pattern, the function that prints it, and what it means (from its match)."""

    name: str
    pattern: re.Pattern[str]
    source: str
    meaning: Callable[[Match[str]], str]


#: A line of the console that is known, and how it matches.
Said = tuple[Known, ConsoleLine, Match[str]]


def known(name: str, pattern: str, source: str, meaning: _Meaning) -> Known:
    """A message; its meaning may name groups (``\\1``) or be made from its match."""
    said = meaning if callable(meaning) else lambda match, text=meaning: match.expand(text)
    return Known(name, re.compile(pattern), source, said)


def without_stamp(text: str) -> str:
    """A line without the time that the kernel printed before it."""
    return _STAMP.sub("", text, count=1)


def matches(recording: Recording, table: tuple[Known, ...]) -> Iterator[Said]:
    """The known messages of a recording, in order."""
    for line in recording.console:
        text = without_stamp(line.text)
        for one in table:
            if match := one.pattern.search(text):
                yield one, line, match
                break


def messages(
    recording: Recording, table: tuple[Known, ...], *, whole: bool = True
) -> tuple[Message, ...]:
    """The same as the story tells them, at most 200; ``whole``: the line, not only what matched."""
    told = (
        Message(
            without_stamp(line.text) if whole else match[0],
            one.source,
            one.meaning(match),
            (line.reference,),
        )
        for one, line, match in matches(recording, table)
    )
    return tuple(message for message, _ in zip(told, range(_MOST), strict=False))
