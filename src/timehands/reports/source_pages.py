"""Files of a source tree as HTML pages for reading, with an anchor at each line.

A page of ``sys/kern/kern_tc.c`` is ``sys/kern/kern_tc.c.html`` below the folder of all pages, and
its line 747 is ``#L747``. Files of at most 20,000 lines are written, the first so many lines of
longer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from timehands.errors import FileUnusable, UsageError
from timehands.sources.document import Block, Cell, Document, Preformatted, Table, Words
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

MOST_LINES: Final = 20_000
MOST_PAGES: Final = 50_000
#: What is told above a file's lines: blocks, for its name.
Above = Callable[[str], tuple[Block, ...]]


@dataclass(frozen=True, slots=True)
class Beside:
    """More columns of the index: their heads, and for a file's name its cells."""

    heads: tuple[str, ...]
    cells: Callable[[str], tuple[str, ...]]


def href(folder: str, where: Where) -> str:
    """The link to a line, from a page beside ``folder`` (empty: within it)."""
    path = quote(f"{folder}/{where.file}.html" if folder else f"{where.file}.html")
    return f"{path}#L{where.line}" if where.line else path


def write_pages(
    tree: SourceTree,
    files: Iterable[str],
    out: Path,
    above: Above | None = None,
    beside: Beside | None = None,
) -> tuple[list[str], list[str]]:
    """Write the pages of files, and ``index.html``.

    Returns the files whose pages were written, and complaints about the others.

    Raises:
        UsageError: the folder cannot be written.
    """
    written: list[str] = []
    complaints: list[str] = []
    wanted = dict.fromkeys(files)
    for file in wanted:
        if len(written) == MOST_PAGES:
            complaints.append(f"no more than {MOST_PAGES:,} pages are written")
            break
        try:
            page = _page(tree, file, above(file) if above else (), wanted.keys())
        except FileUnusable as error:
            complaints.append(error.message)
            continue
        _write(out / f"{file}.html", page)
        written.append(file)
    _write(out / "index.html", _index(tree, written, beside))
    return written, complaints


def _page(tree: SourceTree, file: str, above: tuple[Block, ...], known: Set[str]) -> str:
    from timehands.reports.source_html import render

    lines = tree.text(file).splitlines()
    blocks: list[Block] = [*above, Preformatted(tuple(lines[:MOST_LINES]), Where(file, 1))]
    if len(lines) > MOST_LINES:
        blocks.append(Words(f"... and {len(lines) - MOST_LINES:,} lines more"))
    root = "../" * file.count("/")

    def link(where: Where) -> str | None:
        return root + href("", where) if where.file in known else None

    return render(Document(file, tuple(blocks)), link, f"{root}index.html")


def _index(tree: SourceTree, files: list[str], beside: Beside | None) -> str:
    from timehands.reports.source_html import render

    heads = beside.heads if beside else ()
    rows: list[tuple[Cell, ...]] = [
        (Where(file, 0), *(beside.cells(file) if beside else ())) for file in files
    ]
    document = Document(f"Source of {tree.root.name}", (Table(("file", *heads), tuple(rows)),))
    return render(document, lambda where: href("", where))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
