"""A file that was written before, a recording, a snapshot, a dump, cannot be used."""

from __future__ import annotations

from pathlib import Path

from timehands.errors.base import TimehandsError


class CpuidDumpDamaged(TimehandsError):
    """A text is no dump in the format of ``cpuid -r``. ``line`` counts from 1; 0: the whole."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(
            f"line {line}: {message}" if line else message,
            advice="Make a dump with: cpuid -1 -r > FILE",
        )
        self.line = line


class TslogDamaged(TimehandsError):
    """A text is no boot log of FreeBSD's or NetBSD's TSLOG. ``line`` counts from 1."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(
            f"line {line}: {message}",
            advice="A log is made in the guest with: sysctl -b debug.tslog > FILE",
        )
        self.line = line


class RecordingError(TimehandsError):
    """A recording cannot be written or opened. ``path`` is its folder."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class RecordingDamaged(RecordingError):
    """The folder is there, but what is in it cannot be understood."""


class SnapshotError(TimehandsError):
    """A snapshot cannot be taken, or restored. ``path`` is its folder."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class SnapshotDamaged(SnapshotError):
    """The folder is there, but it is no snapshot, or not all of one, or not as it was written."""


class SnapshotRefused(SnapshotError):
    """This host cannot give the guest what the snapshot needs: the message says what."""
