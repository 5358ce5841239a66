"""The files that NetBSD's ``files.*`` name: thousands of lines, made into rules when asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from timehands.sources.config.conditions import ALWAYS, Condition, Name, holds
from timehands.sources.config.model import Rule
from timehands.sources.config.netbsd.scanner import Malformed, Statement, as_written
from timehands.sources.config.reading import Place
from timehands.sources.where import Where

#: Most lines have the file, at most one word for a condition, and one of these.
PLAIN_FILE = re.compile(
    r"(?:file|object)\s+([A-Za-z0-9_./-]+)(?:\s+([A-Za-z_][A-Za-z0-9_]*))?"
    r"(?:\s+(needs-flag|needs-count))?\s*"
)


@dataclass(slots=True)
class Listed:
    """A line that names a file. ``word`` is its condition, if that is a single name."""

    place: Place
    line: int
    source: str
    word: str = ""
    condition: Condition = ALWAYS
    notes: tuple[str, ...] = ()

    def rule(self, file: str) -> Rule:
        """The line as a rule about a file."""
        condition = Name(self.word) if self.word else self.condition
        text, route = as_written(self.source), self.place.route
        return Rule(file, self.where, text, condition, True, self.notes, route)

    @property
    def where(self) -> Where:
        """Its place."""
        return self.place.where(self.line)

    @property
    def always(self) -> bool:
        """Whether it has no condition."""
        return not self.word and self.condition is ALWAYS


def file_statement(statement: Statement, place: Place) -> tuple[list[str], Listed]:
    """Any line with the file that it names, and those that stand in for it if it is not there.

    Raises `Malformed`.
    """
    names = [statement.take("a file")]
    if names[0] == "{":
        raise Malformed("a list of files in braces is not known")
    while statement.take_if("|"):
        names.append(statement.take("another file"))
    condition, notes = _condition_and_notes(statement)
    return names, Listed(place, statement.line, statement.source, "", condition, notes)


def _condition_and_notes(statement: Statement) -> tuple[Condition, tuple[str, ...]]:
    """What a file is under, and how it is built."""
    condition: Condition = ALWAYS
    if statement.peek() and not statement.next_is("needs-flag", "needs-count", "compile-with"):
        condition = statement.condition()
    notes = []
    while statement.next_is("needs-flag", "needs-count"):
        notes.append(statement.take())
    if statement.take_if("compile-with"):
        notes.append(f"compile-with {statement.take()}")
    return condition, tuple(notes)


class Files(Mapping[str, tuple[Rule, ...]]):
    """The files by name, in order, each with the rule that its line makes.

    ``lines`` are those of the tree, ``counted`` those of them that ask for a device's number of
    units, ``passed_over`` those for which another of the same line is there; after them come the
    files that config itself makes.
    """

    def __init__(self) -> None:
        self.lines: dict[str, Listed] = {}
        self.counted: set[str] = set()
        self.passed_over: dict[str, str] = {}
        self._extra: dict[str, Rule] = {}
        self._rules: dict[str, Rule] = {}

    def __getitem__(self, file: str) -> tuple[Rule, ...]:
        return (self.rule(file),)

    def __iter__(self) -> Iterator[str]:
        yield from self.lines
        yield from self._extra

    def __len__(self) -> int:
        return len(self.lines) + len(self._extra)

    def __contains__(self, file: object) -> bool:
        return file in self.lines or file in self._extra

    def add(self, rule: Rule) -> None:
        """A file that config makes, unless the tree has a line for it."""
        if rule.file not in self:
            self._extra[rule.file] = rule

    def rule(self, file: str) -> Rule:
        """The rule about a file. Raises `KeyError`."""
        found = self._rules.get(file) or self._extra.get(file)
        if found is None:
            found = self._rules[file] = self.lines[file].rule(file)
        return found

    def wanted(self, units: Callable[[str], int], selected: Container[str]) -> Iterator[str]:
        """The files whose conditions hold, in order."""

        def counts(name: str) -> bool:
            return units(name) > 0

        def there(name: str) -> bool:
            return name in selected

        for file, line in self.lines.items():
            if file in self.counted:
                holding = holds(line.rule(file).condition, counts)
            elif line.word:
                holding = line.word in selected
            else:
                holding = holds(line.condition, there)
            if holding and file not in self.passed_over:
                yield file
        yield from self._extra

    def only(self, some: Iterable[str]) -> Mapping[str, Rule]:
        """Some of the files, each with its rule."""
        return _Some(self, dict.fromkeys(some))


class _Some(Mapping[str, Rule]):
    """Some files of a table."""

    def __init__(self, files: Files, names: dict[str, None]) -> None:
        self._files, self._names = files, names

    def __getitem__(self, file: str) -> Rule:
        if file not in self._names:
            raise KeyError(file)
        return self._files.rule(file)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, file: object) -> bool:
        return file in self._names
