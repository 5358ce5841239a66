"""Something is wrong with a source tree."""

from __future__ import annotations

from pathlib import Path

from timehands.errors.base import TimehandsError


class SourcesError(TimehandsError):
    """Something is wrong with a source tree, its configuration or its history."""


class TreeUnusable(SourcesError):
    """There is no source tree at ``path``, or it may not be read."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(f"{path}: {message}", advice="Name a source tree, as /usr/src.")
        self.path = path


class FileUnusable(SourcesError):
    """A file of a tree cannot be read. ``file`` is its path within the tree, ``reason`` why."""

    def __init__(self, reason: str, *, file: str, advice: str = "") -> None:
        super().__init__(f"{file}: {reason}", advice=advice)
        self.file, self.reason = file, reason


class ConfigurationUnknown(SourcesError):
    """A tree has no kernel configuration of that ``name``."""

    def __init__(self, message: str, *, name: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.name = name


class HistoryUnavailable(SourcesError):
    """There is no history to be read at ``path``: no repository, or a broken one."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class PastedLogUnusable(SourcesError):
    """A pasted text is no log in a form that is known. ``path`` is where it was read from."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(
            f"{path}: {message}",
            advice="Known are git, cvs and svn log, and the pages of GitHub, cgit, cvsweb, ViewVC "
            "and OpenGrok.",
        )
        self.path = path
