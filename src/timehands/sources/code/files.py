"""The C files of a tree that belong to an architecture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from timehands.errors import FileUnusable, SourcesError
from timehands.sources.code.machines import EVERYBODYS, machines_of
from timehands.sources.tree import SourceTree

#: In place of an architecture: the files of every one.
EVERY: Final = "all"
_SUFFIXES: Final = (".c", ".h")
_MOST_FOLDERS: Final = 10_000


def files_of(tree: SourceTree, base: str, arch: str) -> Iterator[tuple[str, int, int]]:
    """The C files of an architecture: path, size, the inode's time of change (ns).

    No tool that writes a file can leave that time as it was, as it can the content's. Raises
    `SourcesError` for an architecture that the tree has not, `FileUnusable` for such a folder.
    """
    skip = _skipped(tree, arch)
    start = tree.path(base) if base else tree.root
    if not start.is_dir():
        raise FileUnusable("no such folder", file=base)
    stack = [(str(start), base)]
    while stack:
        folder, name = stack.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir(follow_symlinks=False):
                if (
                    not entry.name.startswith(".")
                    and below not in skip
                    and len(stack) < _MOST_FOLDERS
                ):
                    stack.append((entry.path, below))
            elif entry.name.endswith(_SUFFIXES) and entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                yield below, facts.st_size, facts.st_ctime_ns


def _skipped(tree: SourceTree, arch: str) -> frozenset[str]:
    """Folders of other architectures."""
    if arch == EVERY:
        return frozenset()
    machines = machines_of(tree.kind)
    folder = tree.below_sys(machines.below).rstrip("/")
    known = _folders(tree, folder)
    if machines.names is not None:
        known &= machines.names
    keep = {arch, *machines.shared.get(arch, ())}
    if known and not known & keep:
        known_words = ", ".join(sorted(known))
        raise SourcesError(
            f"{tree.root}: there is no architecture {arch!r}",
            advice=f"Known are {known_words}; {EVERY} stands for every one.",
        )
    return frozenset(f"{folder}/{name}".lstrip("/") for name in known - keep - {EVERYBODYS})


def _folders(tree: SourceTree, folder: str) -> set[str]:
    try:
        with os.scandir(tree.root / folder) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()
