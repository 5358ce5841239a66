"""``timehands source TREE pages --out DIR``: files as HTML pages, with an anchor at each line.

With ``--config`` each page says why its file is compiled, with links to the lines that decided;
with ``--recording`` which of its functions ran. ``--json`` prints ``schema`` (1), ``folder``,
``files`` (those written) and ``complaints``.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.cli.source_recording import Looked
    from timehands.reports.source_pages import Beside
    from timehands.reports.sourced.reached import FileReached
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
        default=[],
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
    files = list(dict.fromkeys(_files(tree, options, configuration)))
    told = Told(tree, configuration, files, look(tree, options) if options.recording else None)
    written, complaints = write_pages(
        tree, [*told.files, *told.deciding], options.out, told.above, told.beside
    )
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


class Told:
    """What is told of ``files`` above their lines and in the index: why they are compiled, and what
    of them ran. Without a configuration or a recording that is left out.
    """

    def __init__(
        self,
        tree: SourceTree,
        configuration: Configuration | None,
        files: Collection[str],
        looked: Looked | None,
    ) -> None:
        self._tree, self._configuration, self.files, self._looked = (
            tree, configuration, files, looked
        )  # fmt: skip
        self._whys = _whys(configuration, files)
        self._ran: dict[str, FileReached] = {}

    @property
    def deciding(self) -> list[str]:
        """The files whose lines say why these are compiled: they get pages, too."""
        verdicts = [verdict for why in self._whys.values() for verdict in why.verdicts]
        rules = [verdict.rule.where.file for verdict in verdicts]
        steps = [step.where.file for verdict in verdicts for step in verdict.chain if step.where]
        # A configuration of Linux is a file of its own, outside of the tree.
        return sorted(file for file in {*rules, *steps} if not file.startswith("/"))

    def above(self, file: str) -> tuple[Block, ...]:
        """Why it is compiled, and what of it ran."""
        if file not in self.files:
            return ()
        return (*self._why(file), *self._reached(file))

    def _why(self, file: str) -> Iterator[Block]:
        from timehands.sources.config.pages import why_page
        from timehands.sources.document import Heading

        if self._configuration is not None:
            page = why_page(self._configuration, self._whys[file])
            yield Heading(page.title)
            yield from page.blocks

    def _reached(self, file: str) -> Iterator[Block]:
        from timehands.cli.source_recording import blocks, reached_in

        if self._looked is not None:
            found = self._ran[file] = reached_in(self._looked, self._tree, file)
            yield from blocks(found, self._looked.recording.folder)

    @property
    def beside(self) -> Beside:
        """The columns of the index."""
        from timehands.reports.source_pages import Beside

        compiled = ("compiled",) if self._configuration else ()
        reached = ("reached", "never entered", "not watched") if self._looked else ()
        return Beside((*compiled, *reached), self._cells)

    def _cells(self, file: str) -> tuple[str, ...]:
        from timehands.reports.sourced.reached import Ran

        why, ran = self._whys.get(file), self._ran.get(file)
        known = why is not None and why.verdicts
        compiled = ("" if not why or not known else "yes" if why.compiled else "no",)
        counts = tuple(str(ran.count(one) or "") if ran else "" for one in Ran)
        return (*(compiled if self._configuration else ()), *(counts if self._looked else ()))


def _configuration(tree: SourceTree, options: argparse.Namespace) -> Configuration | None:
    from timehands.cli.source_show import resolved

    return resolved(tree, options.config, options.arch) if options.config else None


def _files(
    tree: SourceTree, options: argparse.Namespace, configuration: Configuration | None
) -> Iterator[str]:
    from timehands.errors import UsageError

    if not options.path and not options.recording:
        raise UsageError("no files are named", advice="Name some, or a --recording.")
    for path in options.path:
        name = tree.meant(path.rstrip("/") or path)
        yield from tree.files(name) if tree.path(name).is_dir() else (name,)
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


def _whys(configuration: Configuration | None, files: Collection[str]) -> dict[str, Why]:
    """Of each file, why it is compiled or not."""
    if configuration is None:
        return {}
    if len(files) > _FEW:
        # Asked once for all files, a language need not look anew for each.
        len(configuration.files)
    return {file: configuration.why(file) for file in files}
