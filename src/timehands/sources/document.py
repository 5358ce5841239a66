"""An answer as a page of plain values, from which text and HTML are made alike.

A `Where` in it becomes ``file:line`` in text and a link in HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from timehands.sources.where import Where

Part = str | Where
#: Words, a place, or both in turn.
Cell = Part | tuple[Part, ...]
Style = Literal["", "dim", "bold", "good", "bad", "doubt"]
_MOST_COMPLAINTS: Final = 4


@dataclass(frozen=True, slots=True)
class Heading:
    """The name of a section, and a few words on it."""

    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: Cell
    style: Style = ""
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Labels, and beside each its words."""

    rows: tuple[tuple[str, Cell], ...]
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a head."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Preformatted:
    """Lines as they are: a patch, an excerpt. With ``where`` they are that file's from there on."""

    lines: tuple[str, ...]
    where: Where | None = None


Block = Heading | Words | Rows | Table | Preformatted


@dataclass(frozen=True, slots=True)
class Document:
    """A titled page. ``partial`` says, in words, why the answer is not the whole one."""

    title: str
    blocks: tuple[Block, ...]
    partial: str = ""


def plain(cell: Cell) -> str:
    """A cell as text."""
    return "".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)


def partial(complaints: Sequence[str]) -> str:
    """What an answer lacks, for `Document.partial`: the first few complaints, and how many more."""
    left = len(complaints) - _MOST_COMPLAINTS
    more = [f"and {left:,} more (--json has all)"] if left > 0 else []
    return "; ".join([*complaints[:_MOST_COMPLAINTS], *more])
