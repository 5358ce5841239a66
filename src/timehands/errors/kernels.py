"""A kernel file cannot be used."""

from __future__ import annotations

from pathlib import Path

from timehands.errors.base import TimehandsError


class KernelError(TimehandsError):
    """A kernel file cannot be used. ``path`` is the file, None when it came from memory."""

    def __init__(self, message: str, *, path: Path | None = None, advice: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, advice=advice)
        self.path = path


class KernelUnreadable(KernelError):
    """The file is missing, is not a regular file, or may not be read."""


class NotAKernel(KernelError):
    """The file can be read but holds no kernel of a known format."""


class KernelDamaged(KernelError):
    """The file claims a format and then breaks it: truncated, flipped, or beyond its bounds."""


class WrongArchitecture(KernelError):
    """A kernel, but not for x86-64. ``machine`` is what the file says it is for."""

    def __init__(self, machine: str, *, path: Path | None = None) -> None:
        super().__init__(
            f"this kernel is for {machine}, not for x86-64",
            path=path,
            advice="Timehands boots x86-64 kernels only.",
        )
        self.machine = machine
