"""``timehands report DIR --source TREE``: the report joined with the tree of its kernel."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.boot import Booted
    from timehands.reports.sourced.join import Asked
    from timehands.reports.sourced.model import Sourced
    from timehands.sources.code import Index
    from timehands.sources.tree import SourceTree
    from timehands.sources.where import Where

#: What the cross reference calls the definition of a function.
_FUNCTION = "function"
_BESIDE = ("--config", "--git", "--kernel", "--index")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a source tree."""
    group = parser.add_argument_group("the source that the kernel was built from")
    group.add_argument(
        "--source",
        metavar="TREE",
        help="put file and line, why the file is compiled, and the line's last change beside each "
        "frame and finding; with --html also pages of the files",
    )
    group.add_argument("--config", metavar="NAME", help="the kernel's configuration, as GENERIC")
    group.add_argument("--arch", default="amd64", help="its architecture (amd64)")
    group.add_argument(
        "--git", type=Path, metavar="DIR", help="the tree's repository, where it is not in it"
    )
    group.add_argument("--revision", default="HEAD", metavar="REV", help="its revision (HEAD)")
    group.add_argument(
        "--kernel", type=Path, metavar="FILE", help="the recorded kernel, where it was moved"
    )
    group.add_argument(
        "--index",
        action="store_true",
        help="of a kernel without line tables (DWARF): find functions by the tree's cross "
        "reference instead of in the files that --config compiles; it is made if it is not there "
        "yet, and of all of Linux that takes minutes",
    )


def with_source(booted: Booted, args: argparse.Namespace) -> Booted:
    """The same with its sources, when a tree was named. Raises `SourcesError`, `UsageError`."""
    from timehands.cli.source_show import kept_folder
    from timehands.errors import UsageError
    from timehands.reports.sourced.join import Asked, join
    from timehands.sources.tree import SourceTree

    if args.source is None:
        if args.config or args.git or args.kernel or args.index:
            raise UsageError(f"{', '.join(_BESIDE)} are for a source tree", advice="Add --source.")
        return booted
    tree = SourceTree.open(args.source)
    defined = _Definitions(tree, args.arch) if args.index else None
    asked = Asked(
        tree, args.config, args.arch, args.git, args.revision, args.kernel, defined, kept_folder()
    )
    try:
        sourced = join(booted.report, booted.recording, asked)
    finally:
        if defined is not None:
            defined.close()
    if args.html:
        sourced = _with_pages(sourced, asked, booted, args.html)
    return replace(booted, report=replace(booted.report, sources=sourced))


class _Definitions:
    """Where functions are defined, by the tree's cross reference; made when it is first asked."""

    def __init__(self, tree: SourceTree, arch: str) -> None:
        self._tree, self._arch = tree, arch
        self._index: Index | None = None

    def __call__(self, name: str) -> list[Where]:
        """The functions of that name that are defined in C files."""
        found = self._opened().find(name).definitions
        return [one.where for one in found if one.what == _FUNCTION and _is_code(one.where)]

    def _opened(self) -> Index:
        if self._index is None:
            from timehands.cli.source_show import index_folder
            from timehands.sources.code import Index

            self._index = Index.open(self._tree, cache=index_folder(), arch=self._arch)
        return self._index

    def close(self) -> None:
        """Close the index, if it was opened."""
        if self._index is not None:
            self._index.close()


def _is_code(where: Where) -> bool:
    return not where.file.endswith(".h")


def _with_pages(sourced: Sourced, asked: Asked, booted: Booted, html: Path) -> Sourced:
    """With pages of all files that it names, in a folder beside the report."""
    from timehands.cli.source_pages import Told
    from timehands.cli.source_recording import looked
    from timehands.cli.source_show import resolved
    from timehands.reports.source_pages import write_pages

    folder = html.with_name(f"{html.stem}-source")
    frames = (one.where.file for item in sourced.items for one in item.frames if one.where)
    files = dict.fromkeys(frames)
    configuration = resolved(asked.tree, asked.config, asked.arch) if asked.config else None
    told = Told(asked.tree, configuration, files, looked(asked.tree, booted, asked.kernel))
    written, complaints = write_pages(
        asked.tree, dict.fromkeys([*files, *told.deciding]), folder, told.above, told.beside
    )
    return replace(
        sourced,
        pages=frozenset(written),
        pages_folder=folder.name,
        complaints=(*sourced.complaints, *complaints),
    )
