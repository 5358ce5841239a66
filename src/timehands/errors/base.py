"""The root of every error."""

from __future__ import annotations


class TimehandsError(Exception):
    """The root. ``str(error)`` is the whole message that the user reads, advice included."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message
