"""Two kernels' configurations beside each other: what only one has, and what differs.

Of one system, settings are compared by name. Of two systems, by what they mean
(`timehands.sources.config.equivalents`).
"""

from __future__ import annotations

from dataclasses import dataclass

from timehands.sources.config.equivalents import Meant, meaning, subjects
from timehands.sources.config.model import Configuration, Setting

#: Kinds of settings in which two kernels always differ.
_NAMES_ALONE = frozenset({"ident", "config"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A setting in both configurations; None where one never heard of it."""

    kind: str
    name: str
    a: Setting | None
    b: Setting | None

    @property
    def where(self) -> str:
        """``a`` or ``b``, if only that one has it on; ``both`` if the values differ."""
        on = [one is not None and one.on for one in (self.a, self.b)]
        return "both" if all(on) else "a" if on[0] else "b"


@dataclass(frozen=True, slots=True)
class Difference:
    """How two configurations differ.

    ``pairs`` are settings of the same system that differ; ``same`` counts those that do not.
    ``meanings`` are subjects with how each stands to them, for every subject that a system knows.
    ``only_a`` and ``only_b`` are files that only one compiles; across systems they are empty.
    """

    a: Configuration
    b: Configuration
    pairs: tuple[Pair, ...]
    same: int
    meanings: tuple[tuple[str, Meant, Meant], ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def across(self) -> bool:
        """Whether the two are of different systems."""
        return self.a.system != self.b.system


def compare(a: Configuration, b: Configuration) -> Difference:
    """How two configurations differ, of one system or of two."""
    meanings = tuple((subject, meaning(a, subject), meaning(b, subject)) for subject in subjects())
    known = tuple(row for row in meanings if row[1].known or row[2].known)
    if a.system != b.system:
        return Difference(a, b, (), 0, known)
    keys = dict.fromkeys((*a.settings, *b.settings))
    pairs, same = [], 0
    for kind, name in keys:
        one, other = a.settings.get((kind, name)), b.settings.get((kind, name))
        if _value(one) == _value(other):
            same += _value(one) is not None
        elif kind not in _NAMES_ALONE:
            pairs.append(Pair(kind, name, one, other))
    only_a = tuple(sorted(set(a.files) - set(b.files)))
    only_b = tuple(sorted(set(b.files) - set(a.files)))
    return Difference(a, b, tuple(pairs), same, known, only_a, only_b)


def _value(setting: Setting | None) -> tuple[str | None] | None:
    """What is compared: None when it is off."""
    return (setting.value,) if setting is not None and setting.on else None
