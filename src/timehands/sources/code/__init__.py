"""The C of a source tree: an index of every name, and questions to it.

::

    index = Index.open(tree, cache=folder)
    index.find("tsc_freq").writers
    index.path("main", "tc_init")
    index.clocks()
"""

from __future__ import annotations

from pathlib import Path

from timehands.sources.code.index import Index
from timehands.sources.code.model import ClockSource, Found, Place, Step, Unparsed
from timehands.sources.tree import SourceTree

__all__ = ["ClockSource", "Found", "Index", "Place", "Step", "Unparsed", "index"]


def index(
    tree: SourceTree, *, under: str | None = None, cache: Path, jobs: int | None = None
) -> Index:
    """Make or refresh a tree's index. Raises `SourcesError`, `FileUnusable`."""
    return Index.open(tree, cache=cache, under=under, jobs=jobs)
