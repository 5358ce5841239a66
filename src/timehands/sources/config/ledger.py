"""The book that is kept while a configuration is read: what was set, where, and what became of it.

A ledger keeps the whole story of a name, also of one that was removed: `settings` has them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from timehands.sources.config.model import Chain, Setting, State, Step
from timehands.sources.where import Where

_MOST_STEPS = 500


@dataclass(slots=True)
class _Entry:
    value: str | None
    state: State
    steps: dict[Step, None] = field(default_factory=dict)

    def tell(self, chain: Chain) -> None:
        """Go on with the story, if it is not too long already."""
        if len(self.steps) < _MOST_STEPS:
            self.steps.update(dict.fromkeys(chain))


class Ledger:
    """Names by kind, each with its value, its state and its chain."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}

    def set(
        self,
        kind: str,
        name: str,
        value: str | None,
        chain: Chain,
        state: State = State.SET,
    ) -> None:
        """A line sets a name, again or for the first time; the last value counts."""
        entry = self._entries.setdefault((kind, name), _Entry(value, state))
        entry.value, entry.state = value, state
        entry.tell(chain)

    def remove(self, kind: str, name: str, chain: Chain) -> bool:
        """A line takes a name away. False if it was not there; then nothing is kept."""
        entry = self._entries.get((kind, name))
        if entry is None or not entry.state.on:
            return False
        entry.state = State.REMOVED
        entry.tell(chain)
        return True

    def note(self, kind: str, name: str, chain: Chain) -> None:
        """A line that has no effect, but belongs to the story (a duplicate that is ignored)."""
        if entry := self._entries.get((kind, name)):
            entry.tell(chain)

    def on(self, kind: str, name: str) -> bool:
        """Whether a name is set now."""
        entry = self._entries.get((kind, name))
        return entry is not None and entry.state.on

    def value(self, kind: str, name: str) -> str | None:
        """The value that a name has now, if any."""
        entry = self._entries.get((kind, name))
        return entry.value if entry is not None and entry.state.on else None

    def chain(self, kind: str, name: str) -> Chain:
        """All that was said about a name, first to last."""
        entry = self._entries.get((kind, name))
        return tuple(entry.steps) if entry is not None else ()

    def names(self, kind: str) -> Iterator[str]:
        """The names of a kind that are set now, in the order in which they first were."""
        for (other, name), entry in self._entries.items():
            if other == kind and entry.state.on:
                yield name

    def settings(self) -> dict[tuple[str, str], Setting]:
        """All of it as plain values."""
        return {
            (kind, name): Setting(kind, name, entry.value, entry.state, tuple(entry.steps))
            for (kind, name), entry in self._entries.items()
        }


def at(where: Where, words: str, route: Chain = ()) -> Chain:
    """A chain that ends in this line, after the includes that led to it."""
    return (*route, Step(where, words))
