"""The table of what is selected, each name with the lines and the name that selected it."""

from __future__ import annotations

from dataclasses import dataclass, field

from timehands.sources.config.model import Chain
from timehands.sources.config.netbsd.tables import Tables

_DEEPEST = 200


@dataclass(slots=True)
class Selected:
    """Names that files can be conditional on, and why each is there."""

    tables: Tables
    causes: dict[str, tuple[Chain, str | None]] = field(default_factory=dict)
    expanded: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.causes

    def add(self, name: str, chain: Chain, because: str | None = None) -> bool:
        """Select a name alone; whether it is new. The first cause is the one that is told."""
        if name in self.causes:
            return False
        self.causes[name] = (chain, because)
        return True

    def remove(self, name: str) -> None:
        """Take a name away."""
        self.causes.pop(name, None)
        self.expanded.discard(name)

    def attribute(self, name: str, chain: Chain, because: str | None = None) -> None:
        """Select an attribute and all that it needs (an option of its name may be there before)."""
        stack = [(name, chain, because)]
        while stack:
            one, steps, cause = stack.pop()
            self.add(one, steps, cause)
            if one in self.expanded:
                continue
            self.expanded.add(one)
            found = self.tables.attributes.get(one)
            if found is not None:
                stack += [(other, found.steps, one) for other in found.needs]

    def remove_attribute(self, name: str) -> None:
        """Take an attribute away, and all that need it."""
        stack, seen = [name], {name}
        while stack:
            gone = stack.pop()
            self.remove(gone)
            for other in self.tables.attributes.values():
                if gone in other.needs and other.name not in seen:
                    seen.add(other.name)
                    stack.append(other.name)

    def chain(self, name: str) -> Chain:
        """Why a name is selected: the nearest line first, the configuration's own last."""
        steps: dict[object, None] = {}
        found: list[Chain] = []
        one: str | None = name
        while one is not None and one in self.causes and one not in steps and len(steps) < _DEEPEST:
            steps[one] = None
            chain, one = self.causes[one]
            found.append(chain)
        return tuple(dict.fromkeys(step for chain in found for step in chain))

    def origin(self, name: str) -> Chain:
        """The lines of the configuration that began it."""
        seen: set[str] = set()
        while name not in seen and name in self.causes:
            seen.add(name)
            chain, because = self.causes[name]
            if because is None or because not in self.causes:
                return chain
            name = because
        return ()
