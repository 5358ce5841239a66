"""The text of GitHub's page of commits: under ``Commits on DATE`` a title, who, a short hash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut
from timehands.sources.history.pasted.dates import find_date

FORM = "GitHub's commits"
_BEGINS = re.compile(r"\s*Commits on (.+)")
_HASH = re.compile(r"\s*([0-9a-f]{7,40})\Z")
_WHO = re.compile(r"\s*(?P<name>\S.*?)\s+(?:authored|committed|pushed)\b")
_VERB = re.compile(r"(?:authored|committed|pushed)(?: and)?\b")
_DONE = re.compile(r"\b(?:authored|committed|pushed)\Z")
_WHEN = re.compile(
    r"on [A-Z][a-z]{2} \d|[A-Z][a-z]{2} \d{1,2}\b|\w+ \w+ ago\Z|(?:last|yester|to)\s?\w+\Z"
)
#: What buttons, badges and pictures leave behind.
_NOISE = re.compile(
    r"\s*(?:Verified|Unverified|Partially verified|Copy full SHA for \S+|"
    r"Browse (?:files|repository.*)|"
    r"View (?:commit details|checks|code.*)|Commits?|Show description.*|Load more|·|…|\.\.\.|"
    r"\d+ / \d+|\d+|@\S+|<>|\(#\d+\)|)\Z",
    re.IGNORECASE,
)


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The page's changes, in its order."""
    for head, rest in cut(lines, _BEGINS):
        day = head[1]
        entry: list[str] = []
        for line in rest:
            if (found := _HASH.match(line)) and entry:
                yield _change(found[1], entry, day)
                entry = []
            elif not _NOISE.match(line) and not _HASH.match(line):
                entry.append(" ".join(line.split()))


def _change(revision: str, entry: list[str], day: str) -> Change:
    """The title comes first; the author's name may stand alone before the line that tells it."""
    lines = [entry[0], *_joined(entry[1:])]
    who = next((found for line in lines[1:] if (found := _WHO.match(line))), None)
    name = re.split(r",| and ", who["name"])[0].strip() if who else ""
    told = next(
        (date for line in lines[1:] if _WHO.match(line) and (date := find_date(line))), None
    )
    body = [line for line in lines[1:] if not _WHO.match(line) and line != name]
    return Change(revision, name, "", told or find_date(day), lines[0], "\n".join(body))


def _joined(lines: list[str]) -> list[str]:
    """Who, what and when, which browsers put on lines of their own, on one line."""
    joined: list[str] = []
    for line in lines:
        before = joined[-1] if joined else ""
        is_verb = bool(_VERB.match(line)) and bool(joined)
        if is_verb or before.endswith(" and") or (_DONE.search(before) and _WHEN.match(line)):
            joined[-1] = f"{before} {line}"
        else:
            joined.append(line)
    return joined
