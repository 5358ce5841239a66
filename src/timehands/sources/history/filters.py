"""Which changes are wanted: by author, date and word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from timehands.errors import UsageError
from timehands.sources.history.model import Change

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a change must have; empty and None ask for nothing."""

    author: str = ""
    since: datetime | None = None
    until: datetime | None = None
    word: str = ""

    def matches(self, change: Change) -> bool:
        """Whether a change is wanted. One without a date is in no stretch of time."""
        who = f"{change.author} <{change.email}>".casefold()
        if self.author.casefold() not in who:
            return False
        if self.word.casefold() not in f"{change.subject}\n{change.body}".casefold():
            return False
        when = change.committed or change.date
        if when is None:
            return self.since is None and self.until is None
        after = self.since is None or when >= self.since
        return after and (self.until is None or when <= self.until)


def day(text: str, *, end: bool = False) -> datetime:
    """The beginning of ``2024``, ``2024-11`` or ``2024-11-21`` (UTC), or its end.

    Raises `UsageError`.
    """
    found = _DATE.match(text)
    try:
        if not found:
            raise ValueError(text)
        year, month, date = (int(part) if part else None for part in found.groups())
        assert year is not None
        first = datetime(year, month or 1, date or 1, tzinfo=UTC)
        if not end:
            return first
        return _after(first, month is not None, date is not None) - timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no date", advice="A date is as 2024-11-21, 2024-11 or 2024."
        ) from error


def _after(first: datetime, month: bool, date: bool) -> datetime:
    """The beginning of the day, month or year that follows."""
    if date:
        return first + timedelta(days=1)
    if month and first.month < 12:
        return first.replace(month=first.month + 1)
    return first.replace(year=first.year + 1, month=1)
