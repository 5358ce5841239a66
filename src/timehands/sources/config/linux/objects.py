"""What a configuration makes of Kbuild's lines: how far each folder is entered and each file built.

The lines are read once for a tree and a .config, and kept (`cache.Kept`): then each question reads
a few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from timehands.sources.config import coding
from timehands.sources.config.cache import Kept, Seen, Tables
from timehands.sources.config.conditions import ALWAYS, All, Condition
from timehands.sources.config.linux import rows
from timehands.sources.config.linux.dotconfig import DotConfig
from timehands.sources.config.linux.expressions import level
from timehands.sources.config.linux.kbuild import Kbuild
from timehands.sources.config.linux.lines import Built, Line
from timehands.sources.config.model import Chain, Rule, Step
from timehands.sources.config.reading import Reader

_LONGEST = 160


class Objects:
    """What the makefiles build for a .config, which is ``file``."""

    def __init__(
        self, reader: Reader, dot: DotConfig, file: str, variables: Mapping[str, str]
    ) -> None:
        self._reader, self._dot, self._file = reader, dot, file
        self._variables = dict(variables)
        place = str(reader.tree.root), reader.place(file)
        key = ("kbuild", *place, *map("=".join, sorted(variables.items())))
        self._kept = Kept(reader.cache, key, self._read)
        self._told = False
        self._levels: dict[str, int] = {}
        self._entered: dict[str, list[Line]] = {}

    def _read(self, seen: Seen) -> Tables:
        reader = self._reader.again(seen, adopt=True)
        kbuild = Kbuild(reader, self._dot, self._variables)
        kbuild.visit()
        self._entered, self._levels = kbuild.entered, {}
        return {
            "built": {file: list(map(rows.built, ways)) for file, ways in kbuild.built.items()},
            "entered": {name: list(map(rows.line, one)) for name, one in kbuild.entered.items()},
            "compiled": self._compiled(kbuild.built),
            "complaints": {"": coding.complaints(reader.complaints.all())},
        }

    def _compiled(self, built: Mapping[str, Sequence[Built]]) -> dict[str, int]:
        """By file, which of its ways takes it furthest, if any takes it into the kernel."""
        found = {}
        for file, ways in built.items():
            levels = [0 if one.apart else self.built_level(one) for one in ways]
            if any(levels):
                found[file] = levels.index(max(levels))
        return found

    def _row(self, table: str, key: str) -> Any:
        found = self._kept.get(table, key)
        if not self._told:
            self._told = True
            told = self._kept.decoded("complaints", "", coding.read_complaints)
            for one in told or ():
                self._reader.complaints.add(one.where, one.text)
        return found

    # ---- files

    def files(self) -> list[str]:
        """All files that a line builds."""
        self._row("complaints", "")
        return self._kept.keys("built")

    def compiled(self) -> list[str]:
        """Those that the configuration builds into the kernel or into a module."""
        self._row("complaints", "")
        return self._kept.keys("compiled")

    def ways(self, file: str) -> list[Built]:
        """All ways in which a file is built, those that hold first."""
        self._row("complaints", "")
        found = self._kept.decoded(
            "built", file, lambda ways: [rows.read_built(file, row) for row in ways]
        )
        return sorted(
            found or (), key=lambda one: (not one.apart, self.built_level(one)), reverse=True
        )

    # ---- how far

    def _lines(self, folder: str) -> list[Line]:
        """The lines that lead to a folder."""
        if folder not in self._entered:
            found = self._kept.decoded(
                "entered", folder, lambda lines: list(map(rows.read_line, lines))
            )
            self._entered[folder] = found or []
        return self._entered[folder]

    def folder_level(self, folder: str, seen: frozenset[str] = frozenset()) -> int:
        """How far a folder is entered: 0 not at all, 1 for modules alone, 2."""
        if folder in self._levels or not folder:
            return self._levels.get(folder, 2)
        if folder in seen:
            return 0
        within = seen | {folder}
        found = [self._line_level(one, within) for one in self._lines(folder)]
        self._levels[folder] = max(found, default=0)
        return self._levels[folder]

    def _line_level(self, one: Line, within: frozenset[str] = frozenset()) -> int:
        own = level(one.condition, self._dot.made)
        return min(own, self.folder_level(one.folder, within)) if own else 0

    def built_level(self, one: Built) -> int:
        """How far a file is built: 0 not at all, 1 into a module, 2 into the kernel."""
        line = 0 if self.lost(one) else self._line_level(one.line)
        if one.member is None or not line:
            return line
        member = level(one.member.condition, self._dot.made)
        return line if member == 2 or member == line == 1 else 0

    def lost(self, one: Built) -> bool:
        """Whether it is y in a folder that is entered for modules alone: then nobody builds it.

        So does Makefile.build of scripts/, which makes no built-in.a there (``need-builtin``).
        """
        own = level(one.line.condition, self._dot.made)
        obj = one.line.text.startswith("obj-")
        return obj and own == 2 and self.folder_level(one.line.folder) == 1

    # ---- why

    def route(self, folder: str) -> tuple[Chain, Condition]:
        """The lines that lead to a folder, and what they are under: those that hold, if any do."""
        steps: list[Step] = []
        conditions: list[Condition] = []
        seen: set[str] = set()
        while folder and folder not in seen:
            seen.add(folder)
            best = max(self._lines(folder), key=self._line_level, default=None)
            if best is None:
                break
            steps.append(Step(best.where, cut(best.text, best.word)))
            if best.condition != ALWAYS:
                conditions.append(best.condition)
            folder = best.folder
        return tuple(reversed(steps)), All(tuple(reversed(conditions)))

    def rule(self, one: Built) -> Rule:
        """A file's rule: its line, with what the folders above are under."""
        route, above = self.route(one.line.folder)
        parts = above.parts if isinstance(above, All) else (above,)
        own = one.condition
        flat = (*parts, *(own.parts if isinstance(own, All) else (own,)))
        nearest = one.nearest
        if one.member is not None:
            step = Step(one.line.where, cut(one.line.text, one.line.word))
            route = (*route, step)
        whole = flat[0] if len(flat) == 1 else All(tuple(dict.fromkeys(flat)))
        text = cut(nearest.text, nearest.word)
        return Rule(one.source, nearest.where, text, whole, not one.apart, (), route)


def cut(text: str, word: str, most: int = _LONGEST) -> str:
    """A line that is not too long, with the word that matters in it."""
    if len(text) <= most:
        return text
    head = text.split("=", 1)[0]
    return f"{head}= ... {word} ..."
