"""FreeBSD's lists of files (sys/conf/files*) and of options (sys/conf/options*).

A line is ``FILE standard`` or ``FILE optional WORDS``: words beside each other must all be there,
``|`` parts alternatives, ``!`` denies the next word; other keywords say how the file is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from timehands.sources.config.conditions import ALWAYS, All, Any, Condition, Name, Not
from timehands.sources.config.model import Rule
from timehands.sources.config.reading import Place, Reader, joined
from timehands.sources.where import Where

#: Keywords with a text of their own, and those without.
_WITH_TEXT = ("dependency", "clean", "compile-with", "warning", "obj-prefix")
_FLAGS = (
    "no-ctfconvert", "no-obj", "no-implicit-rule", "before-depend", "nowerror", "local",
    "no-depend", "profiling-routine", "nowarn",
)  # fmt: skip
#: What a file with ``profiling-routine`` needs: config was called with -p.
PROFILING = "config -p"
_WORD = re.compile(r"""!|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s]+""")
_SOURCE = re.compile(r"\$S/([^\s\"']+\.[cSs])\b")
#: What kern.pre.mk links into every kernel, beside the files of the lists.
_SYSTEM = re.compile(r"(SYSTEM_CFILES|SYSTEM_OBJS|SYSTEM_LD)\s*\+?=\s*(.*)")
_MOST_WORDS = 2000


@dataclass(slots=True)
class FileList:
    """The rules of all lists that were read, by file, in order."""

    reader: Reader
    machine: str
    rules: dict[str, list[Rule]] = field(default_factory=dict)

    def read(self, place: Place) -> None:
        """Take in a list and those that it includes."""
        wanted_by = place.route[-1].where if place.route else None
        text = self.reader.text(place.file, wanted_by)
        for line, content in logical_lines(text) if text is not None else ():
            if self.reader.late(place.where(line)):
                return
            words = content.split(None, 1)
            if words[0] == "include":
                self._include(words[1:], place, line)
            else:
                self._add(content, place, line)

    def _include(self, rest: list[str], place: Place, line: int) -> None:
        where = place.where(line)
        word = _WORD.match(rest[0]) if rest else None
        if word is None:
            self.reader.complaints.add(where, "include without a file")
            return
        name = word.group().strip("\"'")
        file = joined(self.reader.tree.sys, name)
        if refusal := place.refusal(file):
            self.reader.complaints.add(where, refusal)
        else:
            self.read(place.included(file, line, f'include "{name}"'))

    def _add(self, content: str, place: Place, line: int) -> None:
        where = place.where(line)
        words = _WORD.findall(content)
        if len(words) < 2 or words[1] not in ("standard", "optional"):
            self.reader.complaints.add(
                where, f"{words[0][:100]} must be standard or optional: left out"
            )
            return
        if self.reader.full(len(self.rules), where):
            return
        if len(words) > _MOST_WORDS:
            self.reader.complaints.add(where, f"{len(words):,} words in one line: left out")
            return
        self._add_rule(content, words, place, where)

    def _add_rule(self, content: str, words: list[str], place: Place, where: Where) -> None:
        condition, notes, odd = _parsed(words[2:])
        if words[1] == "standard" and condition is not ALWAYS:
            odd = odd or "a standard file has no conditions"
        if "profiling-routine" in notes:
            condition = All((Name(PROFILING), condition))
        if words[1] == "optional" and condition is ALWAYS:
            odd = odd or "what is this optional on?"
        if odd:
            self.reader.complaints.add(where, f"{words[0]}: {odd}")
        text = " ".join(content.split())
        file, made = self._source(words[0], notes)
        notes = (*notes, f"makes {made}") if made else notes
        rule = Rule(file, where, text, condition, "no-obj" not in notes, notes, place.route)
        self.rules.setdefault(file, []).append(rule)

    def _source(self, name: str, notes: tuple[str, ...]) -> tuple[str, str]:
        """The file in the tree that a line compiles, and what is made of it on the way.

        A line for ``x.o`` names its source as a dependency; an interface (``x.m``) becomes ``x.c``.
        What is in the build's own folder has no folder in its name.
        """
        name, sys = name.replace("$M", self.machine), self.reader.tree.sys
        if "local" in notes:
            return name, ""
        if name.endswith(".m"):
            return joined(sys, name), f"{name.rpartition('/')[2][:-2]}.c"
        if "no-implicit-rule" in notes:
            dependency = next((note for note in notes if note.startswith("dependency ")), "")
            found = _SOURCE.search(dependency.replace("$M", self.machine))
            return (joined(sys, found.group(1)), name) if found else (name, "")
        return joined(sys, name), ""

    def read_makefiles(self) -> None:
        """The files that the makefiles name, for every kernel: made ones, and the first of all."""
        file = self.reader.tree.below_sys("conf/kern.pre.mk")
        text = self.reader.text(file) if self.reader.has(file) else None
        for line, content in logical_lines(text) if text is not None else ():
            match = _SYSTEM.match(content)
            for name in match.group(2).split() if match else ():
                if found := self._system_file(name):
                    rule = Rule(found, Where(file, line), " ".join(content.split()))
                    self.rules.setdefault(found, []).append(rule)

    def _system_file(self, name: str) -> str | None:
        if name.endswith(".c"):
            return name
        if name == "locore.o":
            machine = self.reader.tree.below_sys(f"{self.machine}/{self.machine}")
            ends = (f"{machine}/locore{end}" for end in (".S", ".s"))
            return next((file for file in ends if self.reader.has(file)), None)
        return "vers.c" if name == "vers.o" else None


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with what ``\\`` joins to them, without comments and empty ones."""
    start, parts = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not parts:
            start = number
            if line.lstrip().startswith("#"):
                continue
        if line.rstrip().endswith("\\"):
            parts += line.rstrip()[:-1] + " "
            continue
        parts += line
        if parts.strip():
            yield start, parts
        parts = ""
    if parts.strip():
        yield start, parts


def _parsed(words: list[str]) -> tuple[Condition, tuple[str, ...], str]:
    """The condition of a line, its other keywords, and what is odd about it."""
    alternatives: list[list[Condition]] = [[]]
    notes: list[str] = []
    negated, odd, left = False, "", iter(words)
    for word in left:
        if word == "!":
            negated = True
        elif word == "|":
            if not alternatives[-1]:
                odd = odd or "an alternative of nothing"
            alternatives.append([])
        elif word in _FLAGS:
            notes.append(word)
        elif word in _WITH_TEXT:
            notes.append(f"{word} {next(left, '')}".strip())
        elif word.startswith("#"):
            odd = odd or "a comment is only one at the start of a line"
            break
        else:
            alternatives[-1].append(Not(Name(word)) if negated else Name(word))
            negated = False
    found = tuple(All(tuple(parts)) for parts in alternatives if parts)
    if not found:
        return ALWAYS, tuple(notes), odd
    return (found[0] if len(found) == 1 else Any(found)), tuple(notes), odd


@dataclass(frozen=True, slots=True)
class KnownOption:
    """An option that may be set: the header that gets it, and the line that says so."""

    name: str
    header: str
    where: Where


def known_options(reader: Reader, machine: str) -> dict[str, KnownOption]:
    """The options of sys/conf/options and options.MACHINE, by name."""
    found: dict[str, KnownOption] = {}
    for name in ("options", f"options.{machine}"):
        file = reader.tree.below_sys(f"conf/{name}")
        text = reader.text(file) if name == "options" or reader.has(file) else None
        for line, content in logical_lines(text) if text is not None else ():
            words = content.split()
            header = words[1] if len(words) > 1 and not words[1].startswith("#") else ""
            header = header or f"opt_{words[0].lower()}.h"
            found.setdefault(words[0], KnownOption(words[0], header, Where(file, line)))
    return found
