"""``timehands source TREE clocks``: every clock that a tree can register.

``--json`` prints one object: ``schema`` (1), ``clocks`` (each ``kind``, ``name``, ``quality``,
``frequency``, ``file``, ``line``, ``registered``, ``reader``, ``conditions`` (the ``#if`` around
its registration), ``values`` (each ``of``, ``text``, ``at``, ``conditions``, ``origins``: what the
names in it stand for, each ``name``, ``text``, ``at``), and, null without ``--config``,
``compiled`` and ``condition``). With ``--config`` values that are not compiled are left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.code import ClockSource
    from timehands.sources.code.model import ClockValue
    from timehands.sources.config.compiled import Compiled
    from timehands.sources.document import Block, Cell, Document
    from timehands.sources.where import Where

JSON_SCHEMA = 1
#: A value longer than this is no cell of a table.
_LONG = 22


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_find import add_index_options
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "clocks",
        help="every timecounter, event timer, clocksource and clockevent of the tree",
        description="Lists every clock that the tree can register, with its quality or rating, "
        "where its frequency comes from, and (with --config) whether it is compiled.",
    )
    parser.add_argument(
        "--config", metavar="NAME", help="say which are compiled into this kernel, and why"
    )
    add_index_options(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Told:
    """A clock; with a configuration whether it is compiled, and under which condition."""

    clock: ClockSource
    compiled: bool | None = None
    condition: str = ""


def run(options: argparse.Namespace) -> int:
    """Print the clocks. Raises `ConfigurationUnknown`, `TreeUnusable`, `SourcesError`."""
    from timehands.cli.source_find import opened_index
    from timehands.cli.source_show import build_of, opened, show

    tree = opened(options)
    build = build_of(tree, options)
    index = opened_index(options, tree)
    try:
        clocks = [_told(clock, build) for clock in index.clocks(build)]
    finally:
        index.close()
    show(options, page(clocks), as_json(clocks), linked=tree)
    return 0 if clocks else 1


def _told(clock: ClockSource, build: Compiled | None) -> Told:
    if build is None:
        return Told(clock)
    file = clock.where.file
    compiled = build.compiled(file) is True
    condition = build.words(file)
    if compiled and clock.refused is not None:
        return Told(clock, False, str(clock.refused))
    return Told(clock, compiled, "; ".join((condition, *(clock.conditions if compiled else ()))))


def page(clocks: list[Told]) -> Document:
    """The clocks for people, by their kinds."""
    from timehands.sources.document import Document, Heading, Table, Words

    blocks: list[Block] = []
    for kind, group in groupby(clocks, key=lambda one: one.clock.kind):
        every = list(group)
        blocks.append(Heading(f"{kind.capitalize()}s", str(len(every))))
        quality = "rating" if kind.startswith("clock") else "quality"
        decided = any(one.compiled is not None for one in every)
        heads = ("name", quality, "frequency", "compiled" if decided else "condition")
        blocks.append(Table(heads, tuple(map(_row, every))))
        blocks += [block for one in every for block in _values(one.clock, quality)]
    if not clocks:
        blocks.append(Words("No clock is registered in this tree by a way that is known.", "bad"))
    return Document("Clocks", tuple(blocks))


def _row(one: Told) -> tuple[Cell, ...]:
    clock = one.clock
    compiled = {None: "", True: "yes: ", False: "no: "}[one.compiled]
    condition = one.condition or "; ".join(clock.conditions) or "-"
    return (
        clock.name or "-",
        _short(clock.quality),
        _short(clock.frequency),
        compiled + condition,
    )


def _short(value: str) -> str:
    """What is long stands beneath the table, with where it comes from."""
    return "below" if len(value) > _LONG else value or "-"


def _values(clock: ClockSource, quality: str) -> list[Block]:
    """Where it is; and values that the table does not say: computed, several, of conditions."""
    from timehands.sources.document import Rows, Words

    words = {"name": "name", "frequency": "frequency", "quality": quality}
    rows: list[tuple[str, Cell]] = []
    for member, word in words.items():
        values = [value for value in clock.of(member) if value.text != "0"]
        if len(values) > 1 or any(not value.is_plain for value in values):
            rows += [(word, _value_cell(value)) for value in values]
    where = clock.registered or clock.where
    return [Words((f"{clock.name or '-'}, ", where)), *([Rows(tuple(rows), 2)] if rows else [])]


def _value_cell(value: ClockValue) -> Cell:
    parts: list[Where | str] = [f"{value.text} at ", value.where]
    parts += [f"; {one}" for one in value.conditions]
    for origin in value.origins:
        parts += [f"; {origin.name} = {origin.text} at ", origin.where]
    return tuple(parts)


def as_json(clocks: list[Told]) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    return {"schema": JSON_SCHEMA, "clocks": [_clock(one) for one in clocks]}


def _clock(one: Told) -> dict[str, Any]:
    clock = one.clock
    return {
        "kind": clock.kind,
        "name": clock.name,
        "quality": clock.quality,
        "frequency": clock.frequency,
        "file": clock.where.file,
        "line": clock.where.line,
        "registered": str(clock.registered) if clock.registered else None,
        "reader": clock.reader,
        "conditions": list(clock.conditions),
        "values": [_value(value) for value in clock.values],
        "compiled": one.compiled,
        "condition": one.condition if one.compiled is not None else None,
    }


def _value(value: ClockValue) -> dict[str, Any]:
    return {
        "of": value.member,
        "text": value.text,
        "at": str(value.where),
        "conditions": list(value.conditions),
        "origins": [
            {"name": one.name, "text": one.text, "at": str(one.where)} for one in value.origins
        ],
    }
