"""What the index answers with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

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
class Origin:
    """What a name in a value stands for: a macro's body, a variable's value, an assignment.

    ``lasting``: a macro, which no assignment changes.
    """

    name: str
    text: str
    where: Where
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class ClockValue:
    """One value that a member of a clock's structure is given.

    ``member``: ``name``, ``frequency``, ``quality`` or ``reader``. A ``text`` that begins with an
    operator (``+= 100``) changes the value that was there. ``conditions`` are the ``#if`` around
    its line.
    """

    member: str
    text: str
    where: Where
    conditions: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the text says it all: a number or a string, always so."""
        return not self.conditions and not self.origins

    @property
    def final(self) -> str:
        """The value, as far as macros lead to a number or a string."""
        for origin in self.origins:
            if origin.lasting and origin.name == self.text and _LITERAL.fullmatch(origin.text):
                return origin.text.strip('"')
        return self.text.strip('"')


_LITERAL: Final = re.compile(r"-?[0-9][0-9a-fA-FxX]*[uUlL]*|\"[^\"]*\"")


@dataclass(frozen=True, slots=True)
class ClockSource:
    """A clock that the tree can register.

    ``kind``: ``timecounter``, ``event timer``, ``clocksource`` or ``clockevent``. ``where`` is the
    structure, ``registered`` where it is handed over (None: it is there without that, as a dummy
    is). ``conditions`` are the ``#if`` around that; ``refused`` is why it is not compiled, if a
    configuration says so.
    """

    kind: str
    where: Where
    registered: Where | None = None
    values: tuple[ClockValue, ...] = ()
    conditions: tuple[str, ...] = ()
    refused: Refused | None = None

    def of(self, member: str) -> tuple[ClockValue, ...]:
        """The values of a member, in the order of the source."""
        return tuple(value for value in self.values if value.member == member)

    def _told(self, member: str) -> str:
        values = [value.final for value in self.of(member)]
        plain = [text for text in values if not _CHANGE.match(text)]
        if len(plain) > 1:  # a zero that is overwritten says nothing
            plain = [text for text in plain if text != "0"] or plain[:1]
        changes = [text for text in values if _CHANGE.match(text)]
        first = " or ".join(dict.fromkeys(plain))
        return ", ".join(filter(None, (first, *dict.fromkeys(changes))))

    @property
    def name(self) -> str:
        """Its name; empty when the source does not say. Several are joined by ``or``."""
        return self._told("name")

    @property
    def frequency(self) -> str:
        """Its frequency, as the source has it."""
        return self._told("frequency")

    @property
    def quality(self) -> str:
        """Its quality or rating."""
        return self._told("quality")

    @property
    def reader(self) -> str:
        """The function that reads it (of an event timer: that starts it)."""
        return self._told("reader")


_CHANGE: Final = re.compile(r"(?:[-+*/|&^]|<<|>>)= ")
