"""What was asked, or given, makes no sense."""

from __future__ import annotations

from timehands.errors.base import TimehandsError


class UsageError(TimehandsError):
    """What was asked does not make sense."""


class ExpressionError(UsageError):
    """A C expression is wrong, or has no value. ``text`` is the whole, ``position`` from 0."""

    def __init__(
        self, message: str, *, text: str = "", position: int = 0, advice: str = ""
    ) -> None:
        shown = f"{message}\n    {text}\n    {' ' * position}^" if text else message
        super().__init__(shown, advice=advice)
        self.reason, self.text, self.position = message, text, position


class NoSuchMember(UsageError, AttributeError):
    """A structure has no member of that name. ``near`` are names like it."""

    def __init__(self, message: str, *, near: tuple[str, ...] = ()) -> None:
        super().__init__(message, advice=f"Perhaps {', '.join(near)}." if near else "")
        self.near = near


class SourceUnknown(UsageError):
    """No source file or line of that name has code, or several do: ``candidates``."""

    def __init__(self, message: str, *, candidates: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.candidates = candidates


class PatchImpossible(UsageError):
    """A change of a kernel's data cannot be made. ``words`` is the change as it was asked for."""

    def __init__(self, message: str, *, words: str, advice: str = "") -> None:
        super().__init__(f"the patch {words!r} cannot be made: {message}", advice=advice)
        self.words = words


class FrequencyOutOfRange(UsageError, ValueError):
    """A frequency for which a clock's arithmetic has no answer. ``name``, ``value``, ``limit``."""

    def __init__(self, name: str, value: int, limit: int) -> None:
        super().__init__(
            f"{name} is {value:,}, which no clock can be scaled from",
            advice=f"It goes from 1 to {limit:,}.",
        )
        self.name, self.value, self.limit = name, value, limit


class ScenarioError(UsageError):
    """A scenario of a simulation is wrong.

    ``key`` is where, ``possible`` what it may be, ``source`` the file (empty for one made in
    Python).
    """

    def __init__(
        self, message: str, *, possible: str = "", key: str = "", source: str = ""
    ) -> None:
        shown = f"{source}: {message}" if source else message
        super().__init__(shown, advice=f"Possible: {possible}." if possible else "")
        self.reason, self.possible, self.key, self.source = message, possible, key, source


class RecordTooShort(TimehandsError, ValueError):
    """Fewer bytes than a clock's record has. ``what``, ``needed`` and ``got`` (bytes)."""

    def __init__(self, what: str, needed: int, got: int) -> None:
        super().__init__(f"{what} has {needed} bytes; here are {got}")
        self.what, self.needed, self.got = what, needed, got


class ValueUnreadable(TimehandsError):
    """A value of the guest cannot be read. ``address`` is None when it is nowhere."""

    def __init__(self, message: str, *, address: int | None = None) -> None:
        super().__init__(message)
        self.address = address
