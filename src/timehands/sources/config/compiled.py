"""What of a tree's C a configuration compiles: which files, and which of their ``#if``.

It is what `timehands.sources.code` asks a configuration (its ``Build``).
"""

from __future__ import annotations

from functools import cached_property

from timehands.sources.config import asking
from timehands.sources.config.conditions import ALWAYS
from timehands.sources.config.macros import ConfiguredMacros, macros
from timehands.sources.config.model import Configuration, Why
from timehands.sources.tree import SourceTree

_SOURCES = (".c", ".S", ".s")


class Compiled:
    """What a configuration compiles of a tree."""

    def __init__(self, tree: SourceTree, configuration: Configuration) -> None:
        self._tree, self._configuration = tree, configuration

    @property
    def name(self) -> str:
        """The configuration's."""
        return self._configuration.name

    @cached_property
    def macros(self) -> ConfiguredMacros:
        """The macros that it gives."""
        return macros(self._configuration)

    def listed(self, file: str) -> bool | None:
        """Whether a file is compiled, by its own lines; None: it has none (as headers have)."""
        if file in self._configuration.files:
            return True
        return False if file in self._configuration.rules else None

    def compiled(self, file: str) -> bool | None:
        """Whether a file is compiled; None where the configuration does not decide it."""
        if file in self._configuration.files:
            return True
        if not file.endswith(_SOURCES):
            return None
        return None if not self._answer(file).known else False

    def _answer(self, file: str) -> Why:
        return asking.one(self._tree, self._configuration, file)

    def condition(self, file: str) -> str:
        """Under which condition a file is compiled, and by which line; empty: always."""
        reason = self._configuration.files.get(file)
        if reason is None or reason.rule.condition == ALWAYS:
            return ""
        return f"{reason.rule.condition} ({reason.where})"

    def words(self, file: str) -> str:
        """The conditions of a file's lines, whether they hold or not."""
        if reason := self._configuration.files.get(file):
            return str(reason.rule.condition)
        verdicts = self._answer(file).verdicts
        conditions = dict.fromkeys(str(one.rule.condition) for one in verdicts)
        return "; ".join(conditions) or "no line names the file"

    def refusal(self, file: str) -> str:
        """Why a file is not compiled: its lines with their conditions."""
        answer = self._answer(file)
        lines = [f"{one.rule.condition} ({one.rule.where})" for one in answer.verdicts]
        return "; ".join(lines) or answer.note or "no line names it"
