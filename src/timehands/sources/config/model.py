"""What a configuration says: each setting with where it came from, each file with its reason.

Plain values, the same for all systems. A chain is read from top to bottom: the line that began it
first, then what overrode or removed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from timehands.sources.config.conditions import ALWAYS, Condition, names
from timehands.sources.where import Where


@dataclass(frozen=True, slots=True)
class Step:
    """One link of a chain: a line, and what it says or does."""

    where: Where | None
    words: str

    def __str__(self) -> str:
        return f"{self.where}: {self.words}" if self.where else self.words


Chain = tuple[Step, ...]


class State(StrEnum):
    """How a setting stands in the end.

    ``SET`` by a line of the configuration; ``IMPLIED`` by another setting (an attribute, a
    ``select``); ``DEFAULT``, as the language has it without a line; ``REMOVED`` after it was set;
    ``UNSET``: it is known, and off.
    """

    SET = "set"
    IMPLIED = "implied"
    DEFAULT = "default"
    REMOVED = "removed"
    UNSET = "unset"

    @property
    def on(self) -> bool:
        """Whether the kernel is built with it."""
        return self in (State.SET, State.IMPLIED, State.DEFAULT)


#: Kinds whose values follow after a blank: locators, a root device, a count.
_SPACED = ("device", "config", "pseudo-device")


@dataclass(frozen=True, slots=True)
class Setting:
    """An option, a device, or whatever the language sets.

    ``kind`` is the word that the configuration language has for it (``options``, ``device``,
    ``makeoptions``, ``pseudo-device``, ``bool``); ``value`` is None for what is only on or off.
    """

    kind: str
    name: str
    value: str | None
    state: State
    chain: Chain

    @property
    def on(self) -> bool:
        """Whether the kernel is built with it."""
        return self.state.on

    @property
    def overridden(self) -> bool:
        """Whether a later line gave it another value, or took it away and another set it again."""
        return sum(not step.words.startswith("include ") for step in self.chain) > 1

    @property
    def spelled(self) -> str:
        """The name with its value, as the language writes it."""
        if self.value is None or self.name == self.kind:
            return self.value or self.name
        return f"{self.name}{' ' if self.kind in _SPACED else '='}{self.value}"

    def __str__(self) -> str:
        return f"{self.kind} {self.spelled}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A line that says when a file is part of a kernel.

    ``file`` is relative to the tree's root; ``route`` has the includes that led to the line.
    ``object`` is False for lines whose result is no object of the kernel itself (a header that is
    made, an object that another build step links in). ``notes`` are the line's other words.
    """

    file: str
    where: Where
    text: str
    condition: Condition = ALWAYS
    object: bool = True
    notes: tuple[str, ...] = ()
    route: Chain = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file is compiled: the rule that holds, and what made it hold."""

    rule: Rule
    chain: Chain

    @property
    def where(self) -> Where:
        """The line that names the file."""
        return self.rule.where


class Reasons(Mapping[str, Reason]):
    """The compiled files with their reasons, which are worked out when they are asked for."""

    def __init__(self, rules: Mapping[str, Rule], chain: Callable[[Rule], Chain]) -> None:
        self._rules, self._chain = rules, chain

    def __getitem__(self, file: str) -> Reason:
        rule = self._rules[file]
        return Reason(rule, self._chain(rule))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, file: object) -> bool:
        return file in self._rules


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which a file would become part of the kernel: all of these steps together."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return " and ".join(step.words for step in self.steps)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one rule came out: whether it holds, and how each name in its condition stands."""

    rule: Rule
    holds: bool
    chain: Chain
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Whether a file is compiled into a kernel, and why.

    ``verdicts`` has one for each line that names the file; without any, ``note`` says what is
    known instead. With ``known`` False the configuration does not decide it (a header, a file that
    a makefile puts into a library). ``modules`` are the lines that put a file which is not compiled
    into loadable modules that are built beside the kernel. ``noted`` is the place in the note.
    """

    file: str
    compiled: bool
    verdicts: tuple[Verdict, ...]
    note: str = ""
    known: bool = True
    modules: Chain = ()
    noted: Where | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """What would put the file into the kernel: the shortest ways first."""
        found = [change for verdict in self.verdicts for change in verdict.changes]
        return tuple(sorted(found, key=lambda change: len(change.steps)))


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something in a tree that could not be read or understood; the answer goes on without it."""

    where: Where | None
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclass(slots=True)
class Complaints:
    """A list of complaints that does not grow without bound; repeated ones are kept once."""

    most: int = 200
    found: dict[Complaint, None] = field(default_factory=dict)
    left_out: int = 0

    def add(self, where: Where | None, text: str) -> None:
        """Note one."""
        complaint = Complaint(where, text[:400])
        if len(self.found) < self.most or complaint in self.found:
            self.found[complaint] = None
        else:
            self.left_out += 1

    def all(self) -> tuple[Complaint, ...]:
        """All of them, and how many there was no room for."""
        more = (Complaint(None, f"{self.left_out:,} more of these"),) if self.left_out else ()
        return (*self.found, *more)


class Explainer:
    """What a language adds to a configuration: how it answers about files and names."""

    def why(self, configuration: Configuration, file: str) -> Why:
        """Why a file is compiled or not. ``file`` is relative to the tree's root."""
        raise NotImplementedError

    def stands_for(self, name: str) -> str:
        """What a setting's name is called in the conditions of files."""
        return name

    def dependents(self, configuration: Configuration, setting: Setting) -> list[Step]:
        """The lines that depend on a setting: of the files that are compiled because of it, ..."""
        name = self.stands_for(setting.name)
        found: dict[Step, None] = {}
        for rules in configuration.rules.values():
            for rule in rules:
                if name in map(self.stands_for, names(rule.condition)):
                    found[Step(rule.where, rule.text)] = None
        return list(found)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A kernel's configuration, resolved.

    ``settings`` has everything that was set, implied, or removed, by kind and name; ``rules`` what
    the tree says about each file (relative to the tree's root); ``files`` those that are compiled.
    """

    name: str
    system: str
    arch: str
    source: str
    settings: Mapping[tuple[str, str], Setting]
    rules: Mapping[str, tuple[Rule, ...]]
    files: Mapping[str, Reason]
    noted: Complaints
    explainer: Explainer

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """What could not be read or understood so far (languages read some files when asked)."""
        return self.noted.all()

    @property
    def options(self) -> Mapping[str, Setting]:
        """The options, with and without value, by name."""
        kinds = ("options", "file-system", "symbol", "option")
        return {name: one for (kind, name), one in self.settings.items() if kind in kinds}

    @property
    def devices(self) -> Mapping[str, Setting]:
        """The devices and pseudo-devices, by name."""
        kinds = ("device", "pseudo-device")
        return {name: one for (kind, name), one in self.settings.items() if kind in kinds}

    def why(self, file: str) -> Why:
        """Why a file is compiled, or what would have to change. ``file`` as in `rules`."""
        return self.explainer.why(self, file)
