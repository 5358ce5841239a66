"""``timehands source TREE find SYMBOL``: where a name is defined, called, written, read.

``--json`` prints one object: ``schema`` (1), ``symbol``, ``definitions``, ``declarations``,
``callers``, ``callees``, ``writers``, ``readers``, ``initialisers``, ``macros``, ``locals`` (each
a list of ``file``, ``line``, ``what``, ``function``, ``doubt``, ``text``), ``left_out`` (how many
more each list has), ``near``, ``index`` (``files``, ``scanned``, ``unparsed``) and ``complaints``
(files that were not read, and why). The exit status is 1 when the name does not occur.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar

    from timehands.sources.code import Found, Index, Place
    from timehands.sources.document import Block, Cell, Document
    from timehands.sources.tree import SourceTree

JSON_SCHEMA = 1
LISTS = (
    "definitions", "declarations", "writers", "readers", "initialisers", "callers", "callees",
    "macros", "locals",
)  # fmt: skip
_SHOWN = 40
_ALL = 1_000_000
_WIDE = 48
_TEXT = 100
#: So much C to read is worth a bar.
_LONG_BYTES = 4 << 20


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "find",
        help="where a name is defined, called, written and read",
        description="Finds a name of the tree's C: definitions, callers and callees, writers (also "
        "where only its address is taken), readers, initialisers, macros. What may be another "
        "name is marked with the doubt.",
    )
    parser.add_argument("symbol", metavar="SYMBOL")
    parser.add_argument(
        "--all", action="store_true", help=f"show all places, not the first {_SHOWN} of each kind"
    )
    add_index_options(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


def add_index_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is indexed."""
    parser.add_argument("--under", metavar="FOLDER", help="index only below this folder")
    parser.add_argument(
        "--arch", default="amd64", help="the architecture (default amd64); all: every one"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that make the index")


def opened_index(options: argparse.Namespace, tree: SourceTree) -> Index:
    """The tree's index, made or refreshed; what that took goes to standard error.

    Raises `SourcesError`, `FileUnusable`, `HostError`.
    """
    from timehands.cli.source_show import index_folder
    from timehands.sources.code import Index

    with _shown(tree) as progress:
        index = Index.open(
            tree,
            cache=index_folder(),
            under=options.under,
            arch=options.arch,
            jobs=options.jobs,
            progress=progress,
        )
    built = index.built
    if built.scanned:
        unparsed = index.unparsed()
        print(
            f"timehands: indexed {built.scanned:,} of {built.files:,} C files in "
            f"{built.seconds:.1f} s; in {len(unparsed):,} of all, something could not be parsed",
            file=sys.stderr,
        )
    for path, reason in index.unread():
        print(f"timehands: {path}: {reason}", file=sys.stderr)
    return index


@contextlib.contextmanager
def _shown(tree: SourceTree) -> Iterator[Callable[[int, int], None] | None]:
    """On a terminal, a bar while an index is made; it goes when the index is there."""
    if not sys.stderr.isatty():
        yield None
        return
    bar = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and total >= _LONG_BYTES:
            bar = _bar(tree, total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.stop()


def _bar(tree: SourceTree, total: int) -> ProgressBar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(f"indexing {tree.root}", total=total)
    bar.start()
    return bar


def run(options: argparse.Namespace) -> int:
    """Print the answer. Raises `TreeUnusable`, `SourcesError`."""
    from timehands.cli.source_show import opened, show

    tree = opened(options)
    index = opened_index(options, tree)
    try:
        found = index.find(options.symbol, limit=_ALL if options.all else _SHOWN)
        lines = _Lines(tree)
        unparsed = len(index.unparsed())
        data = as_json(found, lines, index, unparsed)
        answer = page(found, lines, index.unread(), options.arch)
        show(options, answer, data, linked=tree)
    finally:
        index.close()
    return 0 if found else 1


class _Lines:
    """The text of lines of a tree; files are read once."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._files: dict[str, list[str]] = {}

    def text(self, place: Place) -> str:
        """The line, without blanks around it; empty when it cannot be read."""
        from timehands.errors import FileUnusable

        file = place.where.file
        if file not in self._files:
            try:
                self._files[file] = self._tree.text(file).split("\n")
            except FileUnusable:
                self._files[file] = []
        lines = self._files[file]
        at = place.where.line - 1
        return " ".join(lines[at].split()) if at < len(lines) else ""


def page(
    found: Found, lines: _Lines, unread: Sequence[tuple[str, str]] = (), arch: str = "all"
) -> Document:
    """The answer for people. ``unread``: files that were not read, and why."""
    from timehands.sources.code.files import EVERY
    from timehands.sources.document import Document, Heading, Words

    blocks: list[Block] = []
    more = dict(found.left_out)
    for name in LISTS:
        places: tuple[Place, ...] = getattr(found, name)
        if not places:
            continue
        many = len(places) + more.get(name, 0)
        blocks.append(Heading(name.capitalize(), f"{many:,}"))
        shown = places[:_SHOWN] if name == "callees" and more else places
        wide = min(_WIDE, max(len(str(place.where)) for place in shown))
        blocks += [Words(_line(place, wide, lines.text(place)), indent=2) for place in shown]
    if not found:
        blocks.append(Words("The name does not occur.", "bad"))
        if found.near:
            blocks.append(Words(f"Perhaps {', '.join(found.near)}."))
        if arch != EVERY:
            blocks.append(Words(f"Looked through is the C of {arch}; --arch {EVERY} takes all."))
    return Document(found.symbol, tuple(blocks), _partial(more, unread))


def _partial(more: dict[str, int], unread: Sequence[tuple[str, str]]) -> str:
    words = ", ".join(f"{count:,} {name}" for name, count in more.items())
    first = next((f"{path}: {reason}" for path, reason in unread), "")
    others = f", and {len(unread) - 1:,} files more" if len(unread) > 1 else ""
    return "; ".join(
        filter(None, [f"{words} more, see --all" if words else "", f"{first}{others}"])
    )


def _line(place: Place, wide: int, text: str) -> Cell:
    """One place on a line: where, the function, the line's text, the doubt."""
    gap = " " * max(2, wide + 2 - len(str(place.where)))
    function = f"{place.function}()  " if place.function else ""
    words = _words(place)
    return (place.where, gap, function, text[:_TEXT], f"  [{words}]" if words else "")


def _words(place: Place) -> str:
    """What the line does not say by itself."""
    plain = ("=", "called", "read", "function", "declared")
    parts = [] if place.what in plain else [place.what]
    return "; ".join(parts + ([f"? {place.doubt}"] if place.doubt else []))


def as_json(found: Found, lines: _Lines, index: Index, unparsed: int) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    data: dict[str, Any] = {"schema": JSON_SCHEMA, "symbol": found.symbol}
    for name in LISTS:
        data[name] = [
            {
                "file": place.where.file,
                "line": place.where.line,
                "what": place.what,
                "function": place.function or None,
                "doubt": place.doubt,
                "text": lines.text(place),
            }
            for place in getattr(found, name)
        ]
    data["left_out"], data["near"] = dict(found.left_out), list(found.near)
    built = index.built
    data["index"] = {"files": built.files, "scanned": built.scanned, "unparsed": unparsed}
    data["complaints"] = [f"{path}: {reason}" for path, reason in index.unread()]
    return data
