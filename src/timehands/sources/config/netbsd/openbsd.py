"""OpenBSD's configuration language: NetBSD's of 1996, grown in its own ways.

It has ``option``, ``rmoption`` and ``disable``; ``pseudo-device`` both defines and selects; an
include may be relative to the file.
"""

from __future__ import annotations

from timehands.sources.config.model import Configuration
from timehands.sources.config.netbsd import configuration
from timehands.sources.config.netbsd.configuration import OPENBSD, folder
from timehands.sources.config.reading import Reader


def resolve(reader: Reader, file: str, name: str, arch: str) -> Configuration:
    """The configuration in a file of the tree (or outside of it), resolved."""
    return configuration.resolve(reader, file, name, arch, OPENBSD)


__all__ = ["folder", "resolve"]
