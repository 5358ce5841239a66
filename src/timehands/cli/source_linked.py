"""An answer about a tree as an HTML page, its places linked to pages of the files beside it.

``why.html`` gets the folder ``why-source``. The files that are named most often get pages, so that
an answer about all of a kernel stays bounded. Of files outside of the tree the one that the user
named, a configuration, gets a page, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.document import Block, Cell, Document
    from timehands.sources.tree import SourceTree

#: More files than this get no page.
MOST_FILES: Final = 300
#: Where pages of files outside of the tree are, below the folder.
_OUTSIDE: Final = "outside"


def write_linked(path: Path, document: Document, tree: SourceTree, own: str = "") -> None:
    """Write the answer's page and those of its files. ``own`` is a file outside of the tree.

    Raises `UsageError` when they cannot be written.
    """
    from timehands.cli.show import write_page
    from timehands.reports.source_html import render
    from timehands.reports.source_pages import href, write_pages

    folder = path.with_name(f"{path.stem}-source")
    named = Counter(where.file for where in places(document.blocks))
    inside = [file for file, _ in named.most_common() if _inside(tree, file)][:MOST_FILES]
    written = frozenset(write_pages(tree, sorted(inside), folder)[0])
    outside = _write_own(folder, own) if own in named and own not in written else ""

    def link(where: Where) -> str | None:
        if where.file == own and outside:
            return href(folder.name, Where(outside, where.line))
        return href(folder.name, where) if where.file in written else None

    write_page(path, render(document, link))


def _inside(tree: SourceTree, file: str) -> bool:
    return not file.startswith("/") and tree.exists(file)


def _write_own(folder: Path, own: str) -> str:
    """The page of a file outside of the tree; its name below the folder, empty without one."""
    from timehands.cli.show import write_page
    from timehands.reports.source_html import render
    from timehands.reports.source_pages import MOST_LINES
    from timehands.sources.document import Document, Preformatted
    from timehands.sources.tree import MAX_FILE_BYTES

    try:
        with Path(own).open(encoding="utf-8", errors="replace") as opened:
            lines = opened.read(MAX_FILE_BYTES).splitlines()[:MOST_LINES]
        (folder / _OUTSIDE).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError):
        return ""
    name = f"{_OUTSIDE}/{Path(own).name}"
    page = Document(own, (Preformatted(tuple(lines), Where(name, 1)),))
    write_page(folder / f"{name}.html", render(page))
    return name


def places(blocks: Iterable[Block]) -> Iterator[Where]:
    """All places that an answer names."""
    from timehands.sources import document as d

    for block in blocks:
        match block:
            case d.Words(text):
                yield from _within(text)
            case d.Rows(rows):
                for _, cell in rows:
                    yield from _within(cell)
            case d.Table(_, rows):
                for row in rows:
                    for cell in row:
                        yield from _within(cell)


def _within(cell: Cell) -> Iterator[Where]:
    for part in cell if isinstance(cell, tuple) else (cell,):
        if isinstance(part, Where):
            yield part
