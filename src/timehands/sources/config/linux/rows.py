"""Kbuild's lines and Kconfig's entries as plain data, as they are kept, and back."""

from __future__ import annotations

from typing import Any

from timehands.sources.config.coding import (
    condition,
    read_condition,
    read_step,
    read_where,
    step,
    where,
)
from timehands.sources.config.linux.kconfig import Clause, Entry
from timehands.sources.config.linux.lines import Built, Line


def line(one: Line) -> Any:
    """A line of a makefile as plain data."""
    return [one.folder, one.word, condition(one.condition), where(one.where), one.text]


def read_line(row: Any) -> Line:
    """And back."""
    folder, word, under, place, text = row
    return Line(folder, word, read_condition(under), read_where(place), text)


def built(one: Built) -> Any:
    """A way in which a file is built, as plain data."""
    return [line(one.line), line(one.member) if one.member else None, one.apart]


def read_built(source: str, row: Any) -> Built:
    """And back."""
    own, member, apart = row
    return Built(source, read_line(own), read_line(member) if member else None, apart)


def clause(one: Clause) -> Any:
    """A clause of Kconfig as plain data."""
    return [one.what, condition(one.condition), where(one.where), one.text]


def read_clause(row: Any) -> Clause:
    """And back."""
    what, under, place, text = row
    return Clause(what, read_condition(under), read_where(place), text)


def entry(one: Entry, around: dict[int, Any]) -> Any:
    """A definition of a symbol as plain data.

    ``around`` remembers what the symbols of a menu depend on in common, by identity: only for
    entries that stay alive meanwhile.
    """
    for shared in one.depends:
        if id(shared) not in around:
            around[id(shared)] = [condition(shared[0]), step(shared[1])]
    return [
        where(one.where),
        where(one.choice),
        one.type,
        [around[id(shared)] for shared in one.depends],
        [clause(found) for found in one.prompts],
        [clause(found) for found in one.defaults],
    ]


def read_entry(name: str, row: Any) -> Entry:
    """And back."""
    place, choice, kind, depends, prompts, defaults = row
    return Entry(
        name=name,
        where=read_where(place),
        depends=[(read_condition(under), read_step(told)) for under, told in depends],
        choice=read_where(choice) if choice else None,
        type=kind,
        prompts=list(map(read_clause, prompts)),
        defaults=list(map(read_clause, defaults)),
    )
