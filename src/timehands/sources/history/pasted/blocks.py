"""A log's lines, cut at the lines with which an entry begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


def cut(lines: Sequence[str], begins: re.Pattern[str]) -> Iterator[tuple[re.Match[str], list[str]]]:
    """Each entry's first line, as the pattern found it, and the lines after it."""
    head: re.Match[str] | None = None
    rest: list[str] = []
    for line in lines:
        found = begins.match(line)
        if not found:
            rest.append(line)
            continue
        if head is not None:
            yield head, rest
        head, rest = found, []
    if head is not None:
        yield head, rest


def message(lines: Sequence[str]) -> tuple[str, str]:
    """Subject and body of a message's lines: the first paragraph, and the rest."""
    text = "\n".join(lines).strip("\n")
    subject, _, body = text.partition("\n\n")
    return " ".join(subject.split()), body.strip("\n")
