"""What the index answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from timehands.sources.code.deciding import Macros
from timehands.sources.where import Where


@dataclass(frozen=True, slots=True)
class Place:
    """One occurrence of a name.

    ``function`` is the function or macro that it is in, empty for the file's scope. ``what`` says
    what the name does there; ``doubt``, when it is set, why that may not be so.
    """

    where: Where
    what: str
    function: str = ""
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """All that the index knows of a name. Each list is in the order of files and lines.

    No list is longer than was asked for; ``left_out`` says of those how many more there are.
    ``near`` are names like it, when nothing was found.
    """

    symbol: str
    definitions: tuple[Place, ...] = ()
    declarations: tuple[Place, ...] = ()
    callers: tuple[Place, ...] = ()
    callees: tuple[Place, ...] = ()
    writers: tuple[Place, ...] = ()
    readers: tuple[Place, ...] = ()
    initialisers: tuple[Place, ...] = ()
    macros: tuple[Place, ...] = ()
    locals: tuple[Place, ...] = ()
    near: tuple[str, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether the name occurs at all."""
        return bool(
            self.definitions or self.declarations or self.callers or self.writers
            or self.readers or self.initialisers or self.macros or self.locals
        )  # fmt: skip


class Build(Protocol):
    """What a configuration compiles (`timehands.sources.config.compiled.Compiled`)."""

    @property
    def macros(self) -> Macros:
        """The macros that it gives."""

    def listed(self, file: str) -> bool | None:
        """Whether a file is compiled, by its own lines; None: it has none."""

    def compiled(self, file: str) -> bool | None:
        """Whether a file is compiled; None where that is not decided."""

    def condition(self, file: str) -> str:
        """Under which condition a file is compiled; empty: always."""

    def refusal(self, file: str) -> str:
        """Why a file is not compiled."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What is known of a boot, by functions' names: those that ran, and those that never did."""

    ran: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    def of(self, name: str) -> str:
        """``ran``, ``never``, or ``not watched``."""
        return "ran" if name in self.ran else "never" if name in self.never else "not watched"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: ``function`` is reached, called at ``where``.

    ``how``: ``start``, ``call``, or the words of how a pointer leads there, with ``set`` the line
    where that was written. A step that is not certain has a ``doubt``. ``conditions``: under which
    ``#if`` the call stands, and under which condition its file is compiled. ``ran``: what a
    recording shows of the function, in the words of `Ran`; empty without one.
    """

    function: str
    where: Where
    how: str
    set: Where | None = None
    doubt: str | None = None
    conditions: tuple[str, ...] = ()
    ran: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that keeps a step from being compiled (None: its file is not), and how."""

    where: Where | None
    words: str

    def __str__(self) -> str:
        return f"{self.where}: {self.words}" if self.where else self.words


@dataclass(frozen=True, slots=True)
class Cut:
    """Why a configuration has no way: what cuts the one of the tree that lacks the least."""

    lines: tuple[Refused, ...]
    way: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A file of which tree-sitter could not parse all. ``lines``: the first that it could not.

    ``recovered`` functions in it were found by their braces.
    """

    file: str
    lines: tuple[int, ...]
    errors: int
    recovered: int


@dataclass(frozen=True, slots=True)
class ClockSource:
    """A clock that the tree can register.

    ``kind``: ``timecounter``, ``event timer``, ``clocksource`` or ``clockevent``. ``name``,
    ``frequency`` and ``quality`` are as the source has them; empty when it does not say. ``sets``
    are assignments to them elsewhere in the file. ``where`` is the structure, ``registered``
    where it is handed over.
    """

    kind: str
    name: str
    frequency: str
    quality: str
    where: Where
    registered: Where | None = None
    reader: str = ""
    sets: tuple[tuple[Where, str], ...] = field(default=())
