"""The part of FreeBSD's makefiles that says which files a kernel module is made of.

Read are assignments, ``.PATH``, ``.include`` of the tree's own files, and conditionals. A question
about the machine is answered; what others ask is kept as it is written. Loops, modifiers and what
a shell would say are not followed: words that need them are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from timehands.sources.config.reading import Place, Reader, joined
from timehands.sources.where import Where

_ASSIGNMENT = re.compile(r"([A-Za-z_.][\w.${}-]*)\s*(\+=|\?=|:=|!=|=)\s*(.*)$")
_PATH = re.compile(r"\.PATH(?:\.\w+)?\s*:\s*(.*)$")
_INCLUDE = re.compile(r"\.\s*-?include\s*\"([^\"]+)\"")
_CONDITIONAL = re.compile(r"\.\s*(if|ifdef|ifndef|elif|else|endif)\b\s*(.*)$")
_MACHINE = re.compile(r"\$\{(MACHINE(?:_ARCH|_CPUARCH)?)\}\s*(==|!=)\s*\"?([\w-]+)\"?$")
_REFERENCE = re.compile(r"\$\{([\w.]+(?::H)*)\}|\$\(([\w.]+)\)|\$([A-Za-z])(?![A-Za-z{(])")
_MOST_LINES = 5000
_MOST_WORDS = 20_000
_DEEPEST = 12
#: What a variable stands for is no longer than this: values may double each other without end.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a value, the line that has it, and the conditionals that it is under."""

    text: str
    where: Where
    under: str = ""


@dataclass(slots=True)
class _If:
    """A conditional: whether its branch counts (None: unknown), and as what it is told."""

    holds: bool | None
    told: str
    taken: bool = False


@dataclass(slots=True)
class Makefile:
    """What a makefile assigns, all of it: of alternatives that are not decided, each."""

    reader: Reader
    machine: str
    variables: dict[str, list[Word]] = field(default_factory=dict)
    paths: list[Word] = field(default_factory=list)
    _ifs: list[_If] = field(default_factory=list)

    def read(self, place: Place) -> None:
        """Take in a file and those that it includes."""
        text = self.reader.text(place.file) if self.reader.has(place.file) else None
        depth = len(self._ifs)
        for line, content in _logical_lines(text or ""):
            if match := _CONDITIONAL.match(content):
                self._conditional(match.group(1), match.group(2).strip(), depth)
            elif all(one.holds is not False for one in self._ifs):
                self._take(content, place, place.where(line))
        del self._ifs[depth:]

    def _take(self, content: str, place: Place, where: Where) -> None:
        under = " and ".join(one.told for one in self._ifs if one.holds is None)
        if match := _PATH.match(content):
            self.paths += [Word(text, where, under) for text in match.group(1).split()]
        elif match := _INCLUDE.match(content):
            self._include(match.group(1), place, where)
        elif match := _ASSIGNMENT.match(content):
            name, operator, value = match.groups()
            found = [Word(text, where, under) for text in value.split()]
            known = self.variables.setdefault(name, [])
            if operator in ("=", ":=") and not under:
                known.clear()
            if operator != "!=" and (operator != "?=" or not known):
                known += found[: _MOST_WORDS - len(known)]

    def _include(self, name: str, place: Place, where: Where) -> None:
        folder = place.file.rpartition("/")[0]
        file = self.path(self.text(name, folder), folder)
        if "$" not in file and place.refusal(file) is None and self.reader.has(file):
            self.read(place.included(file, where.line, "include"))

    def _conditional(self, keyword: str, rest: str, depth: int) -> None:
        if keyword.startswith("if"):
            asked = rest if keyword == "if" else f"{keyword[2:]} {rest}"
            holds = self._answer(rest) if keyword == "if" else None
            self._ifs.append(_If(holds, asked, holds is True))
        elif len(self._ifs) > depth:
            last = self._ifs.pop()
            if keyword == "endif":
                return
            holds = False if last.taken else self._answer(rest) if keyword == "elif" else None
            if keyword == "else" and last.holds is False and not last.taken:
                holds = True
            told = rest if keyword == "elif" else f"not ({last.told})"
            self._ifs.append(_If(holds, told, last.taken or holds is True))

    def _answer(self, asked: str) -> bool | None:
        """What a question about the machine comes to; None when it is about something else."""
        answers = []
        for part in asked.split("||"):
            match = _MACHINE.match(part.strip().strip("()"))
            if match is None:
                return None
            answers.append((match.group(3) == self.machine) == (match.group(2) == "=="))
        return any(answers)

    # ---- values

    def text(self, text: str, folder: str) -> str:
        """A word with its references expanded, as far as they have one value."""
        return self._expanded(text, folder, {}, 0)

    def _expanded(self, text: str, folder: str, known: dict[str, str], depth: int) -> str:
        """``known``: what variables came to, each worked out once."""

        def value(match: re.Match[str]) -> str:
            name = match.group(1) or match.group(2) or match.group(3)
            if (built_in := self._built_in(name, folder)) is not None:
                return built_in
            if name not in known:
                known[name] = match.group()
                words = self.variables.get(name, [])
                if len(words) == 1 and len(words[0].text) <= _LONGEST and depth < _DEEPEST:
                    found = self._expanded(words[0].text, folder, known, depth + 1)
                    known[name] = found if len(found) <= _LONGEST else match.group()
            return known[name]

        return _REFERENCE.sub(value, text)

    def _built_in(self, name: str, folder: str) -> str | None:
        """What make or its own files set: paths begin with a stroke at the tree's root."""
        if name.startswith("MACHINE"):
            return self.machine
        name, *heads = name.split(":")
        if name in self.variables:
            return None
        here = f"/{folder}" if self.reader.tree.sys else f"/sys/{folder}"
        known = {"SRCTOP": "", "SYSDIR": "/sys", "S": "/sys", ".CURDIR": here, ".PARSEDIR": here}
        value = known.get(name)
        return value.rsplit("/", len(heads))[0] if value and heads else value

    def path(self, text: str, folder: str) -> str:
        """A path of a makefile in a folder as one of the tree."""
        if not text.startswith("/"):
            return joined(folder, text)
        path = joined("", text).lstrip("/")
        return path if self.reader.tree.sys else path.removeprefix("sys/")

    def words(self, name: str, folder: str) -> Iterator[Word]:
        """The words of a variable; one that is a variable itself gives its words."""
        names, waiting = [name], [iter(self.variables.get(name, ()))]
        for _ in range(_MOST_WORDS):
            while waiting and (word := next(waiting[-1], None)) is None:
                waiting.pop()
                names.pop()
            if not waiting or word is None:
                return
            inner = self._named(word.text, folder)
            if inner and inner != names[-1] and len(names) <= _DEEPEST:
                names.append(inner)
                waiting.append(iter(self.variables[inner]))
            elif "$" not in (text := self.text(word.text, folder)):
                yield Word(text, word.where, word.under)

    def _named(self, text: str, folder: str) -> str:
        """The variable that a word is: by itself, or once what is in it is expanded."""
        for one in (text, self.text(text, folder)):
            if match := _REFERENCE.fullmatch(one):
                name = next(filter(None, match.groups()), "")
                if name in self.variables:
                    return name
        return ""


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and recipes; each word of what ``\\`` joins has its own number."""
    head = ""
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        if line.startswith("\t") and not head:
            continue
        content = line.split("#", 1)[0].rstrip()
        goes_on = content.endswith("\\")
        content = content.removesuffix("\\").strip()
        match = _ASSIGNMENT.match(content) if not head else None
        if content:
            yield number, f"{head}{content}"
        if not goes_on:
            head = ""
        elif match:
            head = f"{match.group(1)} += "
        elif _PATH.match(content):
            head = ".PATH: "
