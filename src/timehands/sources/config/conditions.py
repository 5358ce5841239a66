"""Conditions of the configuration languages as one kind of tree: names, not, and, or.

Each language has its own text for them (``a | b c`` in FreeBSD's files, ``(a | b) & !c`` in
NetBSD's, ``depends on A && !B`` in Kconfig); what they mean is the same, and so is what would have
to change for one to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: Conditions nest no deeper than this; a reader refuses what does.
DEEPEST = 100
#: More ways than this to make a condition hold are not followed.
_MOST_WAYS = 32


@dataclass(frozen=True, slots=True)
class Name:
    """Holds if the name is there (a device, an option, an attribute, a symbol)."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Not:
    """Holds if the other does not."""

    of: Condition

    def __str__(self) -> str:
        return f"!{_closed(self.of)}"


@dataclass(frozen=True, slots=True)
class All:
    """Holds if each part does; without parts it always holds."""

    parts: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " & ".join(map(_closed, self.parts)) or "always"


@dataclass(frozen=True, slots=True)
class Any:
    """Holds if at least one part does; without parts it never holds."""

    parts: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " | ".join(map(str, self.parts)) or "never"


Condition = Name | Not | All | Any
ALWAYS = All()
NEVER = Any()


def _closed(condition: Condition) -> str:
    """In brackets, where it would be read otherwise."""
    several = isinstance(condition, (All, Any)) and len(condition.parts) > 1
    return f"({condition})" if several else str(condition)


class Literal(NamedTuple):
    """A name that has to be there (``wanted``), or that must not be there."""

    name: str
    wanted: bool


def holds(condition: Condition, there: Callable[[str], bool]) -> bool:
    """Whether it holds, if ``there`` says which names are there."""
    match condition:
        case Name(name):
            return there(name)
        case Not(of):
            return not holds(of, there)
        case All(parts):
            return all(holds(part, there) for part in parts)
        case Any(parts):
            return any(holds(part, there) for part in parts)


def names(condition: Condition) -> Iterator[str]:
    """Each name in it once, in the order of the text."""
    seen: dict[str, None] = {}
    _collect(condition, seen)
    yield from seen


def _collect(condition: Condition, seen: dict[str, None]) -> None:
    match condition:
        case Name(name):
            seen.setdefault(name)
        case Not(of):
            _collect(of, seen)
        case All(parts) | Any(parts):
            for part in parts:
                _collect(part, seen)


def ways(
    condition: Condition, there: Callable[[str], bool], wanted: bool = True
) -> list[frozenset[Literal]]:
    """What would have to change for the condition to hold (or, not ``wanted``, to fail).

    Each way is a set of changes that is enough; the smallest come first, at most a few dozen. One
    empty way means that nothing has to change; no way means that nothing helps.
    """
    changed = {
        frozenset(literal for literal in way if there(literal.name) != literal.wanted)
        for way in _ways(condition, there, wanted)
    }
    return sorted(changed, key=lambda way: (len(way), sorted(way)))[:_MOST_WAYS]


def _ways(
    condition: Condition, there: Callable[[str], bool], wanted: bool
) -> list[frozenset[Literal]]:
    """Each way with all that it rests on, also what is as it has to be already."""
    match condition:
        case Name(name):
            return [frozenset({Literal(name, wanted)})]
        case Not(of):
            return _ways(of, there, not wanted)
        case All(parts) if wanted:
            return _every(parts, there, wanted)
        case Any(parts) if not wanted:
            return _every(parts, there, wanted)
        case All(parts) | Any(parts):
            found = [way for part in parts for way in _ways(part, there, wanted)]
            return _smallest(found, there)


def _every(
    parts: tuple[Condition, ...], there: Callable[[str], bool], wanted: bool
) -> list[frozenset[Literal]]:
    found: list[frozenset[Literal]] = [frozenset()]
    for part in parts:
        more = _ways(part, there, wanted)
        found = _smallest([one | other for one in found for other in more], there)
    return found


def _smallest(
    found: list[frozenset[Literal]], there: Callable[[str], bool]
) -> list[frozenset[Literal]]:
    """Those with the fewest changes, without those that contradict themselves or add to others."""

    def changes(way: frozenset[Literal]) -> int:
        return sum(there(literal.name) != literal.wanted for literal in way)

    possible = [way for way in dict.fromkeys(found) if not _contradicts(way)]
    possible.sort(key=lambda way: (changes(way), len(way)))
    kept: list[frozenset[Literal]] = []
    for way in possible[: 4 * _MOST_WAYS]:
        if not any(other <= way for other in kept):
            kept.append(way)
    return kept[:_MOST_WAYS]


def _contradicts(way: frozenset[Literal]) -> bool:
    return any(Literal(name, not wanted) in way for name, wanted in way)
