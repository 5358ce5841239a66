"""``timehands source TREE path FROM TO``: how one function can lead to another.

``--json`` prints one object: ``schema`` (1), ``from``, ``to``, ``paths`` (each a list of steps:
``function``, ``file``, ``line``, ``how``, ``set``, ``doubt``). The exit status is 1 when there is
no way.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.code import Step
    from timehands.sources.document import Block, Cell, Document

JSON_SCHEMA = 1


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_find import add_index_options
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "path",
        help="how one function can lead to another by calls",
        description="Finds the shortest ways of calls from one function to another. A step through "
        "a pointer, where it is seen which functions it is given, or through SYSINIT and its like, "
        "is marked.",
    )
    parser.add_argument("start", metavar="FROM")
    parser.add_argument("end", metavar="TO")
    parser.add_argument("--limit", type=int, default=3, help="so many ways at most (default 3)")
    parser.add_argument(
        "--avoid", action="append", default=[], metavar="FUNCTION", help="not through this one"
    )
    add_index_options(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the ways. Raises `TreeUnusable`, `SourcesError`."""
    from timehands.cli.source_find import opened_index
    from timehands.cli.source_show import opened, show

    index = opened_index(options, opened(options))
    try:
        paths = index.path(
            options.start,
            options.end,
            limit=max(1, min(options.limit, 20)),
            avoid=frozenset(options.avoid),
        )
    finally:
        index.close()
    show(options, page(options.start, options.end, paths), as_json(options, paths))
    return 0 if paths else 1


def page(start: str, end: str, paths: list[list[Step]]) -> Document:
    """The ways for people: each step a line."""
    from timehands.sources.document import Document, Heading, Table, Words

    blocks: list[Block] = []
    for number, steps in enumerate(paths, 1):
        doubts = sum(step.doubt is not None for step in steps)
        more = f"{len(steps) - 1} steps" + (f", {doubts} in doubt" if doubts else "")
        blocks.append(Heading(f"Way {number}", more))
        rows = tuple((step.function, step.where, _how(step)) for step in steps)
        blocks.append(Table(("function", "called at", "how"), rows))
    if not paths:
        blocks.append(Words("No way is seen, by calls or through pointers set in sight.", "bad"))
    return Document(f"{start} to {end}", tuple(blocks))


def _how(step: Step) -> Cell:
    if step.how == "start":
        return "starts here"
    doubt = f"; ? {step.doubt}" if step.doubt else ""
    if step.set is None:
        return step.how + doubt
    return (f"{step.how} at ", step.set, doubt)


def as_json(options: argparse.Namespace, paths: list[list[Step]]) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    return {
        "schema": JSON_SCHEMA,
        "from": options.start,
        "to": options.end,
        "paths": [[_step(step) for step in steps] for steps in paths],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "function": step.function,
        "file": step.where.file,
        "line": step.where.line,
        "how": step.how,
        "set": str(step.set) if step.set else None,
        "doubt": step.doubt,
    }
