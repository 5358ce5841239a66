"""Dates as git, GitHub, cgit, cvsweb, OpenGrok, cvs and svn write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONE = r"(?:\s*(?P<zone>[+-]\d{2}:?\d{2}|Z|UTC|GMT)\b)?"
_CLOCK = r"(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
#: 2024-11-21, 2024/11/21 10:00:00, 2024-11-21T10:00:00 +0100
_ISO = re.compile(
    rf"(?P<year>\d{{4}})[-/](?P<month>\d{{2}})[-/](?P<day>\d{{2}})(?:[ T]{_CLOCK})?{_ZONE}"
)
#: Nov 21, 2024; Thu Nov 21 10:00:00 2024 +0100; November 21, 2024
_WORDS = re.compile(
    rf"\b(?P<name>[A-Z][a-z]{{2,8}})\.? (?P<day>\d{{1,2}})(?:,? {_CLOCK})?,? "
    rf"(?P<year>\d{{4}})\b{_ZONE}"
)

#: 21-Nov-2024
_DAY_FIRST = re.compile(r"\b(?P<day>\d{1,2})-(?P<name>[A-Z][a-z]{2})-(?P<year>\d{4})\b")


def find_date(text: str) -> datetime | None:
    """The first date in a text; UTC where no zone is told. None: there is none."""
    for pattern in (_ISO, _WORDS, _DAY_FIRST):
        for found in pattern.finditer(text):
            date = _date(found.groupdict())
            if date is not None:
                return date
    return None


def _date(parts: dict[str, str | None]) -> datetime | None:
    month = parts.get("month")
    name = (parts.get("name") or "")[:3].lower()
    number = int(month) if month else _MONTHS.index(name) + 1 if name in _MONTHS else 0
    year, day, hour, minute, second = (
        int(parts.get(one) or 0) for one in ("year", "day", "hour", "minute", "second")
    )
    try:
        return datetime(year, number, day, hour, minute, second, tzinfo=_zone(parts.get("zone")))
    except ValueError:
        return None


def _zone(text: str | None) -> tzinfo:
    if text is None or text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
