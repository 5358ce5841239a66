"""Conditions, places and steps as plain data, as `cache.Kept` keeps them, and back.

A condition is its name, or a list that begins with what joins the rest: ``["&", "A", ["!", "B"]]``.
What has another shape is refused with a `TypeError` or `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any as Plain

from timehands.sources.config.conditions import ALWAYS, All, Any, Condition, Name, Not
from timehands.sources.config.model import Complaint, Step
from timehands.sources.where import Where

_JOINED: dict[str, type[All] | type[Any]] = {"&": All, "|": Any}


def condition(one: Condition) -> Plain:
    """A condition as plain data."""
    match one:
        case Name(name):
            return name
        case Not(of):
            return ["!", condition(of)]
        case All(parts):
            return ["&", *map(condition, parts)]
        case Any(parts):
            return ["|", *map(condition, parts)]


def read_condition(row: Plain) -> Condition:
    """And back."""
    if isinstance(row, str):
        return Name(row)
    sign, *parts = row
    if sign == "!":
        (of,) = parts
        return Not(read_condition(of))
    if not parts and sign == "&":
        return ALWAYS
    return _JOINED[sign](tuple(map(read_condition, parts)))


def where(one: Where | None) -> Plain:
    """A place as plain data, or null."""
    return [one.file, one.line] if one else None


def read_where(row: Plain) -> Where:
    """And back. A place that may be null is the caller's matter."""
    file, line = row
    if not isinstance(file, str) or not isinstance(line, int):
        raise TypeError(row)
    return Where(file, line)


def step(one: Step) -> Plain:
    """A step of a chain as plain data."""
    return [one.words, *(where(one.where) or ())]


def read_step(row: Plain) -> Step:
    """And back."""
    words, *place = row
    if not isinstance(words, str):
        raise TypeError(row)
    return Step(read_where(place) if place else None, words)


def complaints(found: Iterable[Complaint]) -> Plain:
    """Complaints as plain data."""
    return [[one.text, *(where(one.where) or ())] for one in found]


def read_complaints(rows: Plain) -> list[Complaint]:
    """And back."""
    steps = map(read_step, rows)
    return [Complaint(one.where, one.words) for one in steps]
