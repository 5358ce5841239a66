"""What the index answers with."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: ``function`` is reached, called at ``where``.

    ``how``: ``start``, ``call``, or the words of how a pointer leads there, with ``set`` the line
    where that was written. A step that is no plain call has a ``doubt``.
    """

    function: str
    where: Where
    how: str
    set: Where | None = None
    doubt: str | None = None


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
