"""What would have to be set in a .config for a condition to hold: symbols, and what they need.

A symbol is set by its prompt, if that can be seen; else it follows from a default, or another
symbol selects it. Ways that need a symbol which no Kconfig file of this architecture defines are
no ways. Of several the shortest is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from timehands.sources.config.conditions import All, Condition, Literal, Name, ways
from timehands.sources.config.linux.dotconfig import DotConfig
from timehands.sources.config.linux.expressions import BadExpression, level, parse, symbols
from timehands.sources.config.linux.kconfig import Clause, Entry
from timehands.sources.config.linux.known import Known
from timehands.sources.config.model import Change, Step
from timehands.sources.where import Where

_MOST_CHANGES = 8
_MOST_WAYS = 3
_MOST_SELECTORS = 6
_DEEPEST = 5
#: More symbols than this are not looked at for one condition.
_MOST_SYMBOLS = 400

#: What to set, in order; no way at all is None.
Steps = tuple[Step, ...]


class Remedies:
    """What would have to be set. ``file`` is the .config, for the lines in it."""

    def __init__(self, dot: DotConfig, file: str, known: Known) -> None:
        self._dot, self._file, self._known = dot, file, known
        self._left = 0
        self._found: dict[str, Steps] = {}

    def of(self, condition: Condition) -> tuple[Change, ...]:
        """The ways for a condition to hold, the ones with the fewest symbols of its own first."""
        changes: dict[Change, None] = {}
        for way in ways(condition, self._there):
            self._left, self._found = _MOST_SYMBOLS, {}
            if steps := self._all(way, frozenset()):
                changes[Change(steps)] = None
        return tuple(changes)[:_MOST_CHANGES]

    def _there(self, name: str) -> bool:
        return level(Name(name), self._dot.value) > 0

    def _all(self, way: Iterable[Literal], seen: frozenset[str]) -> Steps | None:
        """What all of these need together."""
        steps: dict[Step, None] = {}
        for literal in sorted(way):
            found = self._one(literal, seen)
            if found is None:
                return None
            steps.update(dict.fromkeys(found))
        return tuple(steps)

    def _one(self, literal: Literal, seen: frozenset[str]) -> Steps | None:
        name = literal.name.removesuffix("!=n").removesuffix("=y")
        if symbols(literal.name) != [name]:
            return (Step(None, f"{'' if literal.wanted else 'not '}{literal.name}"),)
        return self._set(name, seen) if literal.wanted else self._unset(name)

    def _unset(self, name: str) -> Steps | None:
        """Only what has a prompt, and is selected by nothing, can be taken away."""
        entries = self._known.entries(name)
        prompted = any(self._holds(one) for entry in entries for one in entry.prompts)
        selected = any(
            self._there(other) and self._holds(clause)
            for other, clause in self._known.selected_by(name)
        )
        if entries and (selected or not prompted):
            return None
        line = self._dot.lines.get(name)
        where = Where(self._file, line) if line else None
        return (Step(where, f"# CONFIG_{name} is not set"),)

    def _set(self, name: str, seen: frozenset[str]) -> Steps | None:
        if name in self._found:
            return self._found[name]
        if name in seen or len(seen) > _DEEPEST or not self._left:
            return None
        self._left -= 1
        within = seen | {name}
        found = min(self._by_itself(name, within), key=len, default=None)
        if found is None:
            found = min(self._by_others(name, within), key=len, default=None)
        if found is not None:
            self._found[name] = found
        return found

    def _by_itself(self, name: str, seen: frozenset[str]) -> Iterator[Steps]:
        """By a prompt that is seen, or by a default that is y."""
        for entry in self._known.entries(name):
            step = Step(entry.where, f"CONFIG_{name}=y")
            for prompt in entry.prompts:
                if (more := self._needs(entry, prompt.condition, seen)) is not None:
                    yield (step, *more)
            for default in entry.defaults:
                more = self._needs(entry, _default(default), seen)
                if more is not None:
                    yield more or (Step(default.where, f"{name} is y by default"),)

    def _by_others(self, name: str, seen: frozenset[str]) -> Iterator[Steps]:
        """By a symbol that selects it: those first whose own clause holds already."""
        selectors = self._known.selected_by(name)
        selectors.sort(key=lambda one: (not self._holds(one[1]), not self._defined(one[0])))
        for other, clause in selectors[:_MOST_SELECTORS]:
            found = self._together(All((Name(other), clause.condition)), seen)
            if found is not None:
                yield found

    def _needs(self, entry: Entry, more: Condition | None, seen: frozenset[str]) -> Steps | None:
        """What a symbol depends on, and what its prompt or its default is under."""
        return None if more is None else self._together(All((entry.condition, more)), seen)

    def _together(self, condition: Condition, seen: frozenset[str]) -> Steps | None:
        found = (self._all(way, seen) for way in ways(condition, self._there)[:_MOST_WAYS])
        return min((steps for steps in found if steps is not None), key=len, default=None)

    def _holds(self, clause: Clause) -> bool:
        return level(clause.condition, self._dot.value) > 0

    def _defined(self, name: str) -> bool:
        return bool(self._known.entries(name))


def _default(clause: Clause) -> Condition | None:
    """What a default needs to be y: its own condition, and what it gives."""
    try:
        return All((clause.condition, parse(clause.what)))
    except BadExpression:
        return None
