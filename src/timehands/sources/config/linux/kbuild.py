"""Kbuild: which objects the makefiles of Linux build, by which lines, under which symbols.

All directories are visited from the top, also those that a configuration leaves out: what would
have to change for a file to be built is a question, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from timehands.sources.config.conditions import ALWAYS, All, Any, Condition, Name, Not
from timehands.sources.config.linux import makefile
from timehands.sources.config.linux.dotconfig import DotConfig
from timehands.sources.config.linux.expressions import level
from timehands.sources.config.linux.lines import Built, Line
from timehands.sources.config.linux.makefile import CONFIG, Assignment, Include
from timehands.sources.config.reading import Reader, joined
from timehands.sources.where import Where

#: Lists of the makefiles at the top, and of those of directories.
_TOP = re.compile(r"(?:core|drivers|libs|head|net|virt|init|obj)-[ym]$")
_LISTS = re.compile(r"(obj|lib|extra)-[ym]$")
_MEMBERS = re.compile(r"(.+)-(objs|y|m)$")
_ENDS = (".c", ".S", ".rs", ".s", ".asn1", ".y", ".l", ".c_shipped", ".dts")
_SEVERAL = re.compile(r"(?:\$[({]CONFIG_\w+[)}]){2,}")
_PROMOTED = re.compile(r"subst\s+m,\s*y|:m=y")
_MOST_FOLDERS = 20_000
_DEEPEST = 8


class _Word(NamedTuple):
    """A word of a list, the list's name, and, for an object's members, the object."""

    list_name: str
    base: str
    line: Line


def _overridden(word: _Word, list_name: str, under: Condition) -> _Word:
    """A word of a list that is assigned anew: it counts only where that assignment does not."""
    if word.list_name != list_name:
        return word
    condition = All((word.line.condition, Not(_firm(under))))
    return word._replace(line=replace(word.line, condition=condition))


def _firm(condition: Condition) -> Condition:
    """The same, but what is m holds as what is y does."""
    match condition:
        case Name(name):
            return Name(f"{name}!=n") if name.isidentifier() and name != "m" else condition
        case Not(of):
            return Not(_firm(of))
        case All(parts):
            return All(tuple(_firm(part) for part in parts if part != Name("m")))
        case Any(parts):
            return Any(tuple(map(_firm, parts)))


@dataclass(slots=True)
class Kbuild:
    """All that the makefiles build. ``entered`` has, for each folder, the lines that lead to it."""

    reader: Reader
    dot: DotConfig
    variables: dict[str, str]
    entered: dict[str, list[Line]] = field(default_factory=dict)
    built: dict[str, list[Built]] = field(default_factory=dict)
    _listings: dict[str, frozenset[str]] = field(default_factory=dict)

    def visit(self) -> None:
        """Visit all folders from the top."""
        arch = self.variables.get("SRCARCH", "")
        waiting = []
        # The first make calls itself once more, with these.
        self.variables |= {"sub_make_done": "1", "MAKEFLAGS": "--no-print-directory"}
        for file in ("Kbuild", "Makefile", f"arch/{arch}/Makefile"):
            if not self.reader.has(file):
                continue
            for line in self._lines(file, "", _TOP, {}):
                if line.word.endswith("/"):
                    waiting.append(self._enter(line, line.word))
                else:
                    self._build(line, {})
        while waiting and not self.reader.late():
            folder = waiting.pop()
            if folder and len(self.entered) < _MOST_FOLDERS:
                waiting += self._visit_folder(folder)
        for ways in self.built.values():
            # Lists that others refer to are no programs of their own.
            if not all(one.apart for one in ways):
                ways[:] = [one for one in ways if not one.apart]

    def _enter(self, line: Line, word: str) -> str:
        """Note how a folder is entered; the folder, the first time, else nothing."""
        folder = joined(line.folder, word.rstrip("/"))
        known = folder in self.entered
        self.entered.setdefault(folder, []).append(line)
        return "" if known else folder

    def _visit_folder(self, folder: str) -> Iterator[str]:
        names = self._listing(folder)
        name = next((one for one in ("Kbuild", "Makefile") if one in names), None)
        if name is None:
            return
        members: dict[str, list[Line]] = {}
        lines = list(self._lines(f"{folder}/{name}", folder, _LISTS, members))
        for line in lines:
            if line.word.endswith("/"):
                if entered := self._enter(line, line.word):
                    yield entered
            else:
                self._build(line, members)
        for base in members.keys() - {line.word[:-2] for line in lines}:
            for line in members[base]:
                if line.word.endswith(".o"):
                    self._note(line, None, base)

    def _build(self, line: Line, members: dict[str, list[Line]]) -> None:
        if line.word.endswith(".o"):
            for member in members.get(line.word[:-2]) or (None,):
                self._note(line, member)

    def _note(self, line: Line, member: Line | None, apart: str = "") -> None:
        own = member or line
        source = self._source(joined(own.folder, own.word[:-2]))
        if not self.reader.full(len(self.built), own.where):
            self.built.setdefault(source, []).append(Built(source, line, member, apart))

    def _source(self, base: str) -> str:
        folder, _, name = base.rpartition("/")
        listing = self._listing(folder)
        end = next((end for end in _ENDS if name + end in listing), None)
        return f"{base}{end}" if end else f"{base}.o"

    def _listing(self, folder: str) -> frozenset[str]:
        found = self._listings.get(folder)
        if found is None:
            found = self._listings[folder] = self.reader.names(folder)
        return found

    # ---- one makefile

    def _lines(
        self, file: str, folder: str, lists: re.Pattern[str], members: dict[str, list[Line]]
    ) -> Iterator[Line]:
        variables = {**self.variables, "src": folder or ".", "obj": folder or "."}
        read = []
        for source, one in self._assignments(file, variables):
            guard = self._resolved(one.guard, variables)
            self._assign(one, makefile.expand(one.value, variables), guard, variables)
            read.append((Where(source, one.line), one, guard))
        # Lists are expanded when they are used, which is after all assignments.
        found: list[_Word] = []
        for where, one, guard in read:
            own = All((*guard.parts, *_asked(one.name))) if isinstance(guard, All) else guard
            list_name = self._list_name(one.name, variables)
            if one.operator != "+=" and any(known.list_name == list_name for known in found):
                found = [_overridden(known, list_name, own) for known in found]
            value = makefile.expand(one.value, variables)
            of = None if lists.match(list_name) else _MEMBERS.match(list_name)
            if of is None and not lists.match(list_name):
                continue
            base = of.group(1) if of else ""
            for word in self._words(value, where, known=bool(of)):
                line = Line(folder, word, own, where, one.text)
                found.append(_Word(list_name, base, line))
        for kept in found:
            if kept.base:
                members.setdefault(kept.base, []).append(kept.line)
        yield from (kept.line for kept in found if not kept.base)

    def _list_name(self, name: str, variables: dict[str, str]) -> str:
        """A list's name as this configuration has it; one under a symbol that is off ends in y."""
        if "$" not in name:
            return name
        whole = re.sub(r"\$[({](?:subst\s+m,\s*y,\s*)?\$[({]CONFIG_\w+[)}][)}]", "y", name)
        spelled = CONFIG.sub(lambda match: self._letter(match) or "y", _SEVERAL.sub("y", whole))
        return makefile.expand(spelled, variables, empty=True)

    def _letter(self, match: re.Match[str]) -> str:
        """What a symbol in a name is: y, m, or nothing."""
        symbol = match.group(1)
        promoted = bool(_PROMOTED.search(match.group()))
        return ("", "m", "y")[self._level(Name(f"{symbol}!=n" if promoted else symbol))]

    def _level(self, condition: Condition) -> int:
        return level(condition, self.dot.made)

    def _assignments(
        self,
        file: str,
        variables: dict[str, str],
        depth: int = 0,
        under: tuple[Condition, ...] = (),
    ) -> Iterator[tuple[str, Assignment]]:
        text = self.reader.text(file)
        read = makefile.read(text or "")
        for number, words in read.odd:
            self.reader.complaints.add(Where(file, number), words)
        for one in read.parts:
            guard = All((*under, *one.guard.parts))
            if isinstance(one, Assignment):
                yield file, replace(one, guard=guard)
                continue
            # Variables have the values that assignments gave them until here.
            for path in self._included(one, variables):
                if depth < _DEEPEST and path != file and self.reader.has(path):
                    yield from self._assignments(path, variables, depth + 1, guard.parts)

    def _included(self, one: Include, variables: dict[str, str]) -> Iterator[str]:
        places = {**variables, "srctree": "", "objtree": ""}
        for word in makefile.expand(one.files, places).split():
            if "$" not in word:
                yield joined("", word.lstrip("/"))

    def _assign(
        self, one: Assignment, value: str, guard: Condition, variables: dict[str, str]
    ) -> None:
        """Keep a variable's value, as this configuration has it."""
        name = makefile.expand(CONFIG.sub(self._letter, one.name), variables)
        if "$" in name or not self._level(guard):
            return
        if one.operator == "+=":
            variables[name] = f"{variables.get(name, '')} {value}".strip()
        elif one.operator != "?=" or name not in variables:
            variables[name] = value

    def _resolved(self, guard: Condition, variables: dict[str, str]) -> Condition:
        """A guard in which questions about variables are answered."""
        match guard:
            case Name(name) if name.startswith("$"):
                return ALWAYS if self._answered(name[1:], variables) else Any()
            case Name():
                return guard
            case Not(of):
                inner = self._resolved(of, variables)
                return Any() if inner == ALWAYS else ALWAYS if inner == Any() else Not(inner)
            case All(parts):
                found = [self._resolved(part, variables) for part in parts]
                return Any() if Any() in found else All(tuple(p for p in found if p != ALWAYS))
            case Any(parts):
                found = [self._resolved(part, variables) for part in parts]
                return ALWAYS if ALWAYS in found else Any(tuple(p for p in found if p != Any()))

    def _answered(self, question: str, variables: dict[str, str]) -> bool:
        """``left=right`` or ``left!=``, expanded; a variable that nobody set is empty."""
        unequal = question.endswith("!=")
        left, _, right = question.rstrip("!=").partition("=")
        sides = [makefile.expand(one, variables, empty=True).strip() for one in (left, right)]
        if any("$" in side for side in sides):
            return False
        return (sides[0] != sides[1]) if unequal else (sides[0] == sides[1])

    def _words(self, value: str, where: Where, known: bool = False) -> Iterator[str]:
        odd = makefile.expand(value, {}, empty=True)
        if "$" in odd:
            if not known:
                self.reader.complaints.add(where, f"not understood: {odd.strip()[:120]}")
            return
        yield from odd.split()


@lru_cache(maxsize=8192)
def _asked(name: str) -> tuple[Condition, ...]:
    """The symbols in a list's name: ``obj-$(CONFIG_X)``; one that m is made y for counts as y.

    Of two beside each other one alone gives a list that counts: ``x-$(CONFIG_A)$(CONFIG_B)``.
    """
    found = CONFIG.findall(name)
    promoted = bool(_PROMOTED.search(name))
    asked: tuple[Condition, ...] = tuple(
        Name(f"{one}!=n") if promoted else Name(one) for one in found
    )
    if _SEVERAL.search(name) and len(asked) == 2:
        one, other = asked
        asked = (Any((one, other)), Not(All((one, other))))
    return (*asked, Name("m")) if name.endswith("-m") else asked
