"""What the subverbs of ``timehands source`` share: the tree, and showing an answer.

::

    def add(subparsers):
        parser = subparsers.add_parser("find", ...)
        parser.add_argument("symbol")
        add_show_options(parser)              # --json, --html FILE
        parser.set_defaults(run=run)

    def run(options):
        tree = opened(options)
        ...
        show(options, document, data)         # document: timehands.sources.document.Document
        return 0
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from timehands.sources.where import Where

if TYPE_CHECKING:
    from rich.table import Table as Columns
    from rich.text import Text

    from timehands.reports.page import Page
    from timehands.sources.config import Configuration
    from timehands.sources.config.compiled import Compiled
    from timehands.sources.document import Block, Cell, Document, Table
    from timehands.sources.tree import SourceTree

#: What is left to each column of a table, and what is between two.
_FEW_WORDS: Final = 18
_GAP: Final = 2
_STYLES = {"": "", "dim": "dim", "bold": "bold", "good": "green", "bad": "red", "doubt": "yellow"}


def add_show_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how an answer is shown."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write the answer as an HTML page, too"
    )


def opened(options: argparse.Namespace) -> SourceTree:
    """The tree that was named; what is odd about it goes to standard error.

    Raises `TreeUnusable`.
    """
    from timehands.sources.tree import SourceTree

    tree = SourceTree.open(options.tree)
    for complaint in tree.complaints:
        print(f"timehands: {tree.root}: {complaint}", file=sys.stderr)
    return tree


def resolved(tree: SourceTree, name: str, arch: str) -> Configuration:
    """A configuration of a tree; what is worth keeping is kept for the next time.

    Raises `ConfigurationUnknown`.
    """
    from timehands.sources.config import resolve

    return resolve(tree, name, arch, cache=kept_folder())


def kept_folder() -> Path | None:
    """Where it is kept; None for a user without a home, for whom it is worked out each time."""
    from timehands.errors import HostError

    try:
        return index_folder()
    except HostError:
        return None


def index_folder() -> Path:
    """Where indexes are kept. Raises `HostError` for a user without a home."""
    from timehands.kernels.cache import default_folder

    return default_folder().parent / "sources"


def build_of(tree: SourceTree, options: argparse.Namespace) -> Compiled | None:
    """What ``--config`` compiles; None without it. Raises `ConfigurationUnknown`."""
    if not options.config:
        return None
    from timehands.sources.config.compiled import Compiled

    return Compiled(tree, resolved(tree, options.config, options.arch))


def show(
    options: argparse.Namespace,
    document: Document,
    data: dict[str, Any],
    *,
    linked: SourceTree | None = None,
    own: str = "",
) -> None:
    """Print the answer as text, or ``data`` as JSON with ``--json``; write ``--html``.

    With ``linked`` the page's places are links to pages of that tree's files, and of ``own``.
    """
    if options.html and linked is not None:
        from timehands.cli.source_linked import write_linked

        write_linked(options.html, document, linked, own)
    elif options.html:
        from timehands.cli.show import write_page
        from timehands.reports.source_html import render

        write_page(options.html, render(document))
    if options.json:
        print(json.dumps(data, indent=2))
        return
    print(text(document), end="")


def text(document: Document) -> str:
    """A document as text for standard output."""
    from timehands.reports.page import Page
    from timehands.reports.surface import Surface

    surface = Surface.of(sys.stdout)
    page = Page(surface.width, surface.color, surface.unicode)
    page.print(page.styled(document.title, "bold"))
    for block in document.blocks:
        _write(page, block)
    if document.partial:
        page.gap()
        page.print(page.styled(f"Partial: {document.partial}", "yellow"))
    return page.text()


def _write(page: Page, block: Block) -> None:
    from timehands.sources import document as d

    match block:
        case d.Heading(words, more):
            page.heading(words, more)
        case d.Words(words, style, indent):
            page.print(page.indented(_styled(page, words, _STYLES[style]), indent))
        case d.Rows(rows, indent):
            label = min(24, max((len(name) for name, _ in rows), default=0))
            plain = [(name, d.plain(cell)) for name, cell in rows]
            page.rows(plain, label, indent)
        case d.Table():
            page.print(_table(page, block))
        case d.Preformatted(lines, where):
            for number, line in enumerate(lines, where.line if where else 0):
                mark = f"{number:>6}  " if where else ""
                page.print(page.styled(mark + line.expandtabs()))


def _table(page: Page, block: Table) -> Columns:
    """Names and places are kept whole where there is room: they are marked and pasted."""
    table = page.table(block.heads)
    for row in block.rows:
        table.add_row(*(_styled(page, cell) for cell in row))
    for number in _whole(block, page.width):
        table.columns[number].no_wrap = True
    return table


def _whole(block: Table, width: int) -> Iterator[int]:
    """The first column and those of places, as long as the others keep room for a few words."""
    from timehands.sources.document import plain

    columns = list(zip(block.heads, *block.rows, strict=True))
    longest = [max(len(plain(cell)) for cell in column) for column in columns]
    left = width - sum(min(wide, _FEW_WORDS) + _GAP for wide in longest)
    for number, column in enumerate(columns):
        is_name = not number or all(isinstance(cell, Where) or not cell for cell in column[1:])
        more = max(0, longest[number] - _FEW_WORDS)
        if is_name and more <= left:
            left -= more
            yield number


def _styled(page: Page, cell: Cell, style: str = "") -> Text:
    from timehands.sources.document import plain

    return page.styled(plain(cell), style)
