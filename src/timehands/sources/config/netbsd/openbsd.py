"""OpenBSD's configuration language: NetBSD's of 1996, grown in its own ways.

It has ``option``, ``rmoption``, ``disable`` and ``enable``; ``pseudo-device`` both defines and
selects; a file may have others that stand in for it; an include may begin with ``../../../``.
"""

from __future__ import annotations

from timehands.sources.config.model import Configuration
from timehands.sources.config.netbsd import configuration
from timehands.sources.config.netbsd.configuration import folder
from timehands.sources.config.netbsd.dialect import OPENBSD
from timehands.sources.config.reading import Reader


def resolve(reader: Reader, file: str, name: str, arch: str) -> Configuration:
    """The configuration in a file of the tree (or outside of it), resolved."""
    return configuration.resolve(reader, file, name, arch, OPENBSD)


__all__ = ["folder", "resolve"]
