"""``timehands source TREE pages --out DIR``: files as HTML pages, with an anchor at each line.

With ``--config`` each page says why its file is compiled, with links to the lines that decided;
with ``--recording`` which of its functions ran. ``--json`` prints ``schema`` (1), ``folder``,
``files`` (those written) and ``complaints``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.cli.source_recording import Looked
    from timehands.sources.config import Configuration, Why
    from timehands.sources.document import Block
    from timehands.sources.tree import SourceTree

JSON_SCHEMA = 1
_FEW = 8


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_recording import add_recording_options
    from timehands.cli.source_why import add_config_options

    parser = subparsers.add_parser(
        "pages",
        help="files as HTML pages with an anchor at each line, for reading and for links",
        description="Writes files of the tree as HTML pages, with an anchor at each line; with "
        "why each is compiled, and what of it ran in a recording.",
    )
    parser.add_argument(
        "path",
        nargs="*",
        help="files and folders; none: the files that the recording speaks of (--recording)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write them there")
    add_config_options(parser, required=False)
    add_recording_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the pages; 1 when a file could not be. Raises `SourcesError`, `UsageError`."""
    import json
    import sys

    from timehands.cli.source_recording import look
    from timehands.cli.source_show import opened
    from timehands.reports.source_pages import write_pages

    tree = opened(options)
    configuration = _configuration(tree, options)
    files = list(_files(tree, options, configuration))
    whys = _whys(configuration, files)
    deciding = _deciding(whys.values())
    looked = look(tree, options) if options.recording else None
    asked = frozenset(files)

    def above(file: str) -> tuple[Block, ...]:
        if file not in asked:
            return ()
        return (*_why(configuration, whys.get(file)), *_ran(looked, tree, file))

    written, complaints = write_pages(tree, [*files, *deciding], options.out, above)
    data = {
        "schema": JSON_SCHEMA,
        "folder": str(options.out),
        "files": written,
        "complaints": complaints,
    }
    for complaint in complaints:
        print(f"timehands: {complaint}", file=sys.stderr)
    many = f"{len(written)} pages" if len(written) != 1 else "1 page"
    print(json.dumps(data, indent=2) if options.json else f"{many} in {options.out}/index.html")
    return 1 if complaints else 0


def _configuration(tree: SourceTree, options: argparse.Namespace) -> Configuration | None:
    from timehands.sources.config import resolve

    return resolve(tree, options.config, options.arch) if options.config else None


def _files(
    tree: SourceTree, options: argparse.Namespace, configuration: Configuration | None
) -> Iterator[str]:
    from timehands.errors import UsageError

    if not options.path and not options.recording:
        raise UsageError("no files are named", advice="Name some, or a --recording.")
    for path in options.path:
        name = path.rstrip("/")
        yield from tree.files(name) if name and tree.path(name).is_dir() else (name,)
    if not options.path:
        yield from _recorded(tree, options, configuration)


def _recorded(
    tree: SourceTree, options: argparse.Namespace, configuration: Configuration | None
) -> list[str]:
    """The files that the report of a recording speaks of. Raises `UsageError`: none is known."""
    from timehands.boot import open_recording
    from timehands.errors import UsageError
    from timehands.reports.sourced.join import places_of
    from timehands.reports.sourced.mentions import items

    booted = open_recording(options.recording)
    places, lacks = places_of(booted.recording, tree, options.kernel, configuration)
    found = items(booted.report, booted.recording, places)
    files = {frame.where.file for item in found for frame in item.frames if frame.where}
    if not files:
        raise UsageError(
            "; ".join(lacks) or "this recording's report speaks of no function of the tree",
            advice="Name files.",
        )
    return sorted(files)


def _whys(configuration: Configuration | None, files: list[str]) -> dict[str, Why]:
    """Of each file, why it is compiled or not."""
    if configuration is None:
        return {}
    if len(files) > _FEW:
        # Asked once for all files, a language need not look anew for each.
        len(configuration.files)
    return {file: configuration.why(file) for file in files}


def _deciding(whys: Iterable[Why]) -> list[str]:
    """The files whose lines say why these are compiled: they get pages, too."""
    verdicts = [verdict for why in whys for verdict in why.verdicts]
    rules = [verdict.rule.where.file for verdict in verdicts]
    steps = [step.where.file for verdict in verdicts for step in verdict.chain if step.where]
    # A configuration of Linux is a file of its own, outside of the tree.
    return sorted(file for file in {*rules, *steps} if not file.startswith("/"))


def _why(configuration: Configuration | None, why: Why | None) -> Iterator[Block]:
    from timehands.sources.config.pages import why_page
    from timehands.sources.document import Heading

    if configuration is not None and why is not None:
        page = why_page(configuration, why)
        yield Heading(page.title)
        yield from page.blocks


def _ran(looked: Looked | None, tree: SourceTree, file: str) -> Iterator[Block]:
    from timehands.cli.source_recording import blocks, reached_in

    if looked is not None:
        yield from blocks(reached_in(looked, tree, file), looked.recording.folder)
