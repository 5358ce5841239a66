"""The text of cgit's pages: the table of a log, and the page of a commit.

A log's rows have the columns that its head names; a row that has not as many is the message of the
one before. An age in words (``3 days``) is no date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from timehands.sources.history.model import Change
from timehands.sources.history.pasted.blocks import cut, message
from timehands.sources.history.pasted.dates import find_date

FORM = "cgit's log"
_COLUMN = re.compile(r"\t| {2,}")
_LINES = re.compile(r"-(\d+)/\+(\d+)")
_COMMIT = re.compile(r"author\s([^<]+)<([^>]*)>\s(\d{4}-\d\d-\d\d.*)")
_HASH = re.compile(r"commit\s+([0-9a-f]{40,64})\b")
_HEADER = re.compile(r"(?:committer|tree|parent|download|commit)\b")
_END = re.compile(r"Diffstat|diff --git|-rw-|\(limited to ")


def parse(lines: Sequence[str]) -> Iterator[Change]:
    """The changes of a log, then those of pages of commits."""
    yield from _rows(lines)
    for head, rest in cut(lines, _COMMIT):
        found = next((hash for line in rest[:6] if (hash := _HASH.match(line))), None)
        if found:
            said = _until_end(line for line in rest if not _HEADER.match(line))
            subject, body = message(said)
            yield Change(found[1], head[1].strip(), head[2], find_date(head[3]), subject, body)


def _until_end(lines: Iterator[str]) -> list[str]:
    said: list[str] = []
    for line in lines:
        if _END.match(line):
            break
        said.append(line)
    return said


def _rows(lines: Sequence[str]) -> Iterator[Change]:
    columns: dict[str, int] = {}
    row: list[str] = []
    body: list[str] = []
    for line in lines:
        cells = [cell.strip() for cell in _COLUMN.split(line)]
        if head := _columns(cells):
            columns = head
        elif columns and len(cells) > max(columns["message"], columns["author"]):
            if row:
                yield _change(row, columns, body)
            row, body = cells, []
        elif row:
            body.append(line)
    if row:
        yield _change(row, columns, body)


def _columns(cells: list[str]) -> dict[str, int]:
    """Which column is which, if this is a table's head."""
    found: dict[str, int] = {}
    for number, cell in enumerate(cells):
        if cell == "Age" or cell.startswith("Commit Date"):
            found.setdefault("age", number)
        elif cell.startswith("Commit message"):
            found["message"] = number
        elif cell in ("Author", "Lines"):
            found[cell.lower()] = number
    return found if {"age", "message", "author"} <= set(found) else {}


def _change(row: list[str], columns: dict[str, int], body: list[str]) -> Change:
    lines = columns.get("lines")
    counts = _LINES.search(row[lines]) if lines is not None and lines < len(row) else None
    told = (int(counts[2]), int(counts[1])) if counts else None
    subject, date = row[columns["message"]], find_date(row[columns["age"]])
    said = "\n".join(body).strip("\n")
    return Change("", row[columns["author"]], "", date, subject, said, told=told)
