"""``timehands source TREE path FROM TO``: how one function can lead to another.

``--json`` prints one object: ``schema`` (1), ``from``, ``to``, ``kernel`` (the configuration, or
null), ``paths`` (each a list of steps: ``function``, ``file``, ``line``, ``how``, ``set``,
``doubt``, ``conditions``, and ``ran``: ``ran``, ``never``, ``not watched``, null without
``--recording``), ``cut`` (null, or what keeps a way of the tree out of the configuration:
``lines``, each ``file``, ``line``, ``words``, and that ``path``) and ``complaints``. The exit
status is 1 when there is no way.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.code import Index, Step
    from timehands.sources.code.model import Build, Cut, Ran
    from timehands.sources.document import Block, Cell, Document
    from timehands.sources.where import Where

JSON_SCHEMA = 1
_MOST = 20


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_find import add_index_options
    from timehands.cli.source_recording import add_recording_options
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "path",
        help="how one function can lead to another by calls",
        description="Finds ways of calls from one function to another, the most credible ones "
        "first: plain calls before those through a pointer that many functions share, and before "
        "panics. A step through a pointer, or through SYSINIT and its like, is marked, and so is "
        "each #if that a call stands in.",
    )
    parser.add_argument("start", metavar="FROM")
    parser.add_argument("end", metavar="TO")
    parser.add_argument("--limit", type=int, default=3, help="so many ways at most (default 3)")
    parser.add_argument(
        "--avoid", action="append", default=[], metavar="FUNCTION", help="not through this one"
    )
    parser.add_argument(
        "--config", metavar="NAME", help="only what is compiled into this kernel: files, and #if"
    )
    add_recording_options(parser)
    add_index_options(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Answer:
    """The ways; with a configuration that has none, what cuts one of the tree."""

    start: str
    end: str
    paths: list[list[Step]]
    kernel: str | None = None
    cut: Cut | None = None
    recorded: bool = False
    complaints: tuple[str, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Print the ways. Raises `TreeUnusable`, `SourcesError`, `ConfigurationUnknown`."""
    from timehands.cli.source_find import opened_index
    from timehands.cli.source_show import build_of, opened, show

    tree = opened(options)
    build = build_of(tree, options)
    ran, complaints = _ran(options)
    index = opened_index(options, tree)
    try:
        answer = _answer(index, options, build, ran, complaints)
    finally:
        index.close()
    show(options, page(answer), as_json(answer), linked=tree)
    return 0 if answer.paths else 1


def _ran(options: argparse.Namespace) -> tuple[Ran | None, tuple[str, ...]]:
    """The functions that ran in the recording, and what is amiss with it."""
    if not options.recording:
        return None, ()
    from timehands.cli.source_recording import ran_in

    return ran_in(options)


def _answer(
    index: Index,
    options: argparse.Namespace,
    build: Build | None,
    ran: Ran | None,
    complaints: tuple[str, ...],
) -> Answer:
    limit, avoid = max(1, min(options.limit, _MOST)), frozenset(options.avoid)
    start, end = options.start, options.end
    paths = index.path(start, end, limit=limit, avoid=avoid, build=build, ran=ran)
    cut = index.cut(start, end, build, avoid) if build is not None and not paths else None
    return Answer(start, end, paths, options.config, cut, ran is not None, complaints)


def page(answer: Answer) -> Document:
    """The ways for people: each step a line, each doubt and condition said once."""
    from timehands.sources.document import Document, Heading, Words

    blocks: list[Block] = []
    said: set[str] = set()
    for number, steps in enumerate(answer.paths, 1):
        blocks.append(Heading(f"Way {number}", _summary(steps, answer.recorded)))
        blocks.append(_table(steps, answer.recorded, said))
    if not answer.paths:
        where = f" in what {answer.kernel} compiles" if answer.kernel else ""
        words = f"No way is seen{where}, by calls or through pointers set in sight."
        blocks.append(Words(words, "bad"))
    if answer.cut:
        blocks += _cut(answer.cut)
    blocks += [Words(complaint, "doubt") for complaint in answer.complaints]
    kernel = f" in {answer.kernel}" if answer.kernel else ""
    return Document(f"{answer.start} to {answer.end}{kernel}", tuple(blocks))


def _summary(steps: list[Step], recorded: bool) -> str:
    doubts = sum(step.doubt is not None for step in steps)
    ran = sum(step.ran == "ran" for step in steps)
    parts = [
        f"{len(steps) - 1} steps",
        f"{doubts} in doubt" if doubts else "",
        f"{ran} of {len(steps)} functions ran" if recorded else "",
    ]
    return ", ".join(filter(None, parts))


def _table(steps: list[Step], recorded: bool, said: set[str]) -> Block:
    from timehands.sources.document import Table

    heads = ("function", "called at", "how") + (("ran",) if recorded else ())
    rows: list[tuple[Cell, ...]] = []
    for step in steps:
        row: tuple[Cell, ...] = (step.function, step.where, _how(step, said))
        rows.append((*row, _TOLD[step.ran]) if recorded else row)
    return Table(heads, tuple(rows))


_TOLD = {"ran": "ran", "never": "never entered", "not watched": "-", "": ""}


def _how(step: Step, said: set[str]) -> Cell:
    if step.how == "start":
        return "starts here"
    rest = "".join(f"; {one}" for one in _new(step, said))
    if step.set is None:
        return step.how + rest
    return (f"{step.how} at ", step.set, rest)


def _new(step: Step, said: set[str]) -> list[str]:
    """A step's doubt and conditions; what was said before comes short, or not at all."""
    new = []
    if step.doubt:
        key = f"{step.function} {step.doubt}"
        new.append("?" if key in said else f"? {step.doubt}")
        said.add(key)
    for condition in step.conditions:
        key = f"{step.where.file} {condition}" if condition.startswith("#") else condition
        if key not in said:
            new.append(condition)
        said.add(key)
    return new


def _cut(cut: Cut) -> list[Block]:
    from timehands.sources.document import Heading, Words

    lacks: list[Block] = []
    for line in cut.lines:
        where: tuple[Where | str, ...] = (line.where, ": ") if line.where else ()
        lacks.append(Words((*where, line.words), indent=2))
    return [
        Words("A way of the tree that lacks the least is cut here:"),
        *lacks,
        Heading("That way", f"{len(cut.way) - 1} steps"),
        _table(list(cut.way), False, set()),
    ]


def as_json(answer: Answer) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    return {
        "schema": JSON_SCHEMA,
        "from": answer.start,
        "to": answer.end,
        "kernel": answer.kernel,
        "paths": [[_step(step) for step in steps] for steps in answer.paths],
        "cut": _cut_json(answer.cut) if answer.cut else None,
        "complaints": list(answer.complaints),
    }


def _cut_json(cut: Cut) -> dict[str, Any]:
    lines = [
        {
            "file": line.where.file if line.where else None,
            "line": line.where.line if line.where else None,
            "words": line.words,
        }
        for line in cut.lines
    ]
    return {"lines": lines, "path": [_step(step) for step in cut.way]}


def _step(step: Step) -> dict[str, Any]:
    return {
        "function": step.function,
        "file": step.where.file,
        "line": step.where.line,
        "how": step.how,
        "set": str(step.set) if step.set else None,
        "doubt": step.doubt,
        "conditions": list(step.conditions),
        "ran": step.ran or None,
    }
