"""Kconfig files: each symbol with its prompts, defaults, dependencies, and who selects it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from timehands.sources.config.conditions import ALWAYS, All, Condition
from timehands.sources.config.linux.expressions import BadExpression, parse
from timehands.sources.config.model import Step
from timehands.sources.config.reading import Place, Reader
from timehands.sources.where import Where

TYPES = ("bool", "tristate", "string", "hex", "int")
_QUOTED = re.compile(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\([^)]*\)|\S+)\s*(.*)$""")
_IF = re.compile(r"(?:^|\s)if\s+(.*)$")
_VARIABLE = re.compile(r"\$\((\w+)\)|\$(\w+)")
_WORD = re.compile(r"[\w-]+")
_BLOCKS = {"endmenu": "menu", "endif": "if", "endchoice": "choice"}


@dataclass(frozen=True, slots=True)
class Clause:
    """``default VALUE if CONDITION``, ``select SYMBOL if CONDITION``: what, when, and its line."""

    what: str
    condition: Condition
    where: Where
    text: str


@dataclass(slots=True)
class Entry:
    """One definition of a symbol: where, its type, and its clauses.

    ``depends`` has its own dependencies and those of the menus and ifs around it, each with its
    line; ``choice`` is the line of the choice that it is one of.
    """

    name: str
    where: Where
    depends: list[tuple[Condition, Step]]
    choice: Where | None = None
    type: str = ""
    prompts: list[Clause] = field(default_factory=list)
    defaults: list[Clause] = field(default_factory=list)

    @property
    def condition(self) -> Condition:
        """All dependencies together."""
        return All(tuple(condition for condition, _ in self.depends))


@dataclass(slots=True)
class _Block:
    kind: str
    depends: list[tuple[Condition, Step]]
    where: Where


@dataclass(slots=True)
class Kconfig:
    """The symbols of a tree for an architecture."""

    reader: Reader
    variables: dict[str, str]
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    selected_by: dict[str, list[tuple[str, Clause]]] = field(default_factory=dict)
    _blocks: list[_Block] = field(default_factory=list)
    _entry: Entry | None = None

    def read(self, place: Place) -> None:
        """Take in a file and those that it sources."""
        text = self.reader.text(place.file, place.route[-1].where if place.route else None)
        depth = len(self._blocks)
        for line, content in logical_lines(text or ""):
            if self.reader.late(place.where(line)):
                break
            try:
                self._take(content, place, line)
            except BadExpression as error:
                self.reader.complaints.add(place.where(line), str(error))
        self._entry = None
        if len(self._blocks) != depth:
            self.reader.complaints.add(place.where(1), "its menus, ifs and choices do not match")
            del self._blocks[depth:]

    def _take(self, content: str, place: Place, line: int) -> None:
        match = _WORD.match(content)
        keyword = match.group() if match else ""
        rest, where = content[len(keyword) :].strip(), place.where(line)
        if keyword in ("source", "rsource", "osource", "orsource"):
            self._entry = None
            self._source(keyword, rest, place, line)
        elif keyword in ("config", "menuconfig"):
            self._begin(rest.split()[0] if rest else "", where)
        elif keyword in ("menu", "choice", "if"):
            self._open(keyword, rest, where, content)
        elif keyword in _BLOCKS:
            self._close(_BLOCKS[keyword])
        elif keyword in ("comment", "mainmenu"):
            self._entry = Entry("", where, [])
        else:
            self._clause(keyword, rest, where, content)

    def _source(self, keyword: str, rest: str, place: Place, line: int) -> None:
        name = self._expanded(rest.strip("\"'"))
        file = f"{place.file.rpartition('/')[0]}/{name}" if "rsource" in keyword else name
        if "$" in file:
            self.reader.complaints.add(place.where(line), f"{file} is not known")
        elif refusal := place.refusal(file):
            self.reader.complaints.add(place.where(line), refusal)
        elif not keyword.startswith("o") or self.reader.has(file):
            self.read(place.included(file, line, f"source {rest}"))

    def _expanded(self, text: str) -> str:
        return _VARIABLE.sub(
            lambda match: self.variables.get(match.group(1) or match.group(2), match.group()), text
        )

    def _around(self) -> list[tuple[Condition, Step]]:
        return [one for block in self._blocks for one in block.depends]

    def _begin(self, name: str, where: Where) -> None:
        choices = [block.where for block in self._blocks if block.kind == "choice"]
        entry = Entry(name, where, self._around(), choices[-1] if choices else None)
        self._entry = entry
        self.entries.setdefault(name, []).append(entry)

    def _open(self, kind: str, rest: str, where: Where, content: str) -> None:
        block = _Block(kind, [], where)
        if kind == "if":
            block.depends.append((parse(rest), Step(where, content)))
        self._blocks.append(block)
        self._entry = None if kind == "if" else Entry("", where, block.depends)

    def _close(self, kind: str) -> None:
        self._entry = None
        if not self._blocks or self._blocks[-1].kind != kind:
            raise BadExpression(f"an end of a {kind} that did not begin")
        self._blocks.pop()

    def _clause(self, keyword: str, rest: str, where: Where, content: str) -> None:
        entry = self._entry
        if entry is None:
            if keyword and not re.match(r"[\w-]+\s*[:+?]?=", content):
                raise BadExpression(f"{content[:60]!r} does not belong here")
            return
        if keyword in (*TYPES, "prompt"):
            entry.type = keyword if keyword in TYPES else entry.type
            if rest:
                entry.prompts.append(self._parted(rest, where, content))
        elif keyword in ("def_bool", "def_tristate"):
            entry.type = keyword.removeprefix("def_")
            entry.defaults.append(self._parted(rest, where, content))
        elif keyword == "default":
            entry.defaults.append(self._parted(rest, where, content))
        elif keyword == "depends":
            text = rest.removeprefix("on").strip()
            entry.depends.append((parse(text), Step(where, content)))
        elif keyword in ("select", "imply"):
            clause = self._parted(rest, where, content)
            if keyword == "select":
                self.selected_by.setdefault(clause.what, []).append((entry.name, clause))

    def _parted(self, rest: str, where: Where, content: str) -> Clause:
        """``WHAT if CONDITION``. An expression may be what a default gives."""
        match = _IF.search(rest)
        quoted = _QUOTED.match(rest)
        if quoted and rest.lstrip()[:1] in "\"'":
            what, tail = quoted.groups()
            condition = parse(tail[2:].strip()) if tail.startswith("if") else ALWAYS
            return Clause(what[1:-1], condition, where, content)
        what = rest[: match.start()].strip() if match else rest.strip()
        return Clause(what, parse(match.group(1)) if match else ALWAYS, where, content)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without help texts, comments and empty ones; what ``\\`` joins is one."""
    lines, number = text.split("\n"), 0
    while number < len(lines):
        line, start = lines[number], number + 1
        number += 1
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + " " + lines[number]
            number += 1
        content = line.strip()
        if not content or content[0] == "#":
            continue
        if content in ("help", "---help---"):
            number = _after_help(lines, number)
            continue
        content = _without_comment(content) if "#" in content else content
        yield start, " ".join(content.split()) if number > start else content


def _without_comment(content: str) -> str:
    quote = ""
    for position, sign in enumerate(content):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "#" and content[position - 1 : position].isspace():
            return content[:position].rstrip()
    return content


def _after_help(lines: list[str], number: int) -> int:
    """The first line after a help text, which ends where a line is less indented than its first."""
    while number < len(lines) and not lines[number].strip():
        number += 1
    if number >= len(lines):
        return number
    indent = _indent(lines[number])
    if not indent:
        return number
    while number < len(lines) and (not lines[number].strip() or _indent(lines[number]) >= indent):
        number += 1
    return number


def _indent(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())
