"""``timehands source TREE clocks``: every clock that a tree can register.

``--json`` prints one object: ``schema`` (1), ``clocks`` (each ``kind``, ``name``, ``quality``,
``frequency``, ``file``, ``line``, ``registered``, ``reader``, ``sets``, and, null without
``--config``, ``compiled`` and ``condition``).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.code import ClockSource
    from timehands.sources.config.model import Verdict, Why
    from timehands.sources.document import Block, Cell, Document
    from timehands.sources.tree import SourceTree

JSON_SCHEMA = 1


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
class _Compiled:
    """A clock, and whether its file is compiled; None without a configuration."""

    clock: ClockSource
    why: Why | None

    @property
    def condition(self) -> str:
        if self.why is None:
            return ""
        if not self.why.verdicts:
            return self.why.note or "no line names the file"
        return "; ".join(dict.fromkeys(_words(v) for v in self.why.verdicts))


def _words(verdict: Verdict) -> str:
    return str(verdict.rule.condition or "always")


def run(options: argparse.Namespace) -> int:
    """Print the clocks. Raises `ConfigurationUnknown`, `TreeUnusable`, `SourcesError`."""
    from timehands.cli.source_find import opened_index
    from timehands.cli.source_show import opened, show

    tree = opened(options)
    index = opened_index(options, tree)
    try:
        clocks = _compiled(tree, options, index.clocks())
    finally:
        index.close()
    show(options, page(clocks), as_json(clocks))
    return 0 if clocks else 1


def _compiled(
    tree: SourceTree, options: argparse.Namespace, clocks: list[ClockSource]
) -> list[_Compiled]:
    if not options.config:
        return [_Compiled(clock, None) for clock in clocks]
    from timehands.cli.source_show import resolved

    configuration = resolved(tree, options.config, options.arch)
    return [_Compiled(clock, configuration.why(clock.where.file)) for clock in clocks]


def page(clocks: list[_Compiled]) -> Document:
    """The clocks for people, by their kinds."""
    from timehands.sources.document import Document, Heading, Table, Words

    blocks: list[Block] = []
    for kind, group in groupby(clocks, key=lambda one: one.clock.kind):
        every = list(group)
        blocks.append(Heading(f"{kind.capitalize()}s", str(len(every))))
        heads = ("name", "rating" if kind.startswith("clock") else "quality", "frequency", "where")
        told = any(one.why for one in every)
        rows = tuple(_row(one) if told else _row(one)[:4] for one in every)
        blocks.append(Table((*heads, "compiled") if told else heads, rows))
    if not clocks:
        blocks.append(Words("No clock is registered in this tree by a way that is known.", "bad"))
    return Document("Clocks", tuple(blocks))


def _row(one: _Compiled) -> tuple[Cell, ...]:
    clock = one.clock
    compiled = "" if one.why is None else "yes: " if one.why.compiled else "no: "
    return (
        clock.name or "-",
        clock.quality or "-",
        clock.frequency or "-",
        clock.registered or clock.where,
        compiled + one.condition,
    )


def as_json(clocks: list[_Compiled]) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    return {"schema": JSON_SCHEMA, "clocks": [_clock(one) for one in clocks]}


def _clock(one: _Compiled) -> dict[str, Any]:
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
        "sets": [{"at": str(where), "text": text} for where, text in clock.sets],
        "compiled": one.why.compiled if one.why else None,
        "condition": one.condition if one.why else None,
    }
