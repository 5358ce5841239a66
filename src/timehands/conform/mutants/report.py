"""The table of mutants: what catches what."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from timehands.conform.mutants.hunt import JSON_SCHEMA, Fate, Hunted, count
from timehands.conform.mutants.mutant import Mutant
from timehands.reports.plain import harmless

_WIDTH, _LABEL = 100, 30
_MARKS = {Fate.CAUGHT: "✓", Fate.MISSED: "✗", Fate.CANNOT: "–"}
_SAW = 300


def listed(mutants: Sequence[Mutant]) -> Iterator[str]:
    """What there is: each mutant, what it is, which case must catch it, and who had it."""
    for mutant in mutants:
        yield from _told(mutant.name, mutant.what)
        yield from _told("", f"{mutant.case}; {mutant.seen_in}")


def rows(hunted: Hunted) -> Iterator[str]:
    """One mutant: the case that must catch it, what became of it, and what it said."""
    mutant, fate = hunted.mutant, hunted.fate
    words = {
        Fate.CAUGHT: f"{mutant.case} failed",
        Fate.MISSED: f"{mutant.case} did not fail",
        Fate.CANNOT: f"{mutant.case}: cannot be shown here",
    }
    late = fate is Fate.CAUGHT and hunted.tries > 1
    tries = f" at try {hunted.tries}" if late else ""
    yield f"{_MARKS[fate] + ' ' + mutant.name:<{_LABEL}}{words[fate]}{tries}"
    yield from _told("", mutant.what)
    yield from _told("", hunted.saw)
    if hunted.also:
        yield from _told("", f"and so did {', '.join(hunted.also)}")


def foot(hunted: Sequence[Hunted]) -> str:
    """The last line."""
    found = count(hunted)
    shown = found[Fate.CAUGHT] + found[Fate.MISSED]
    text = f"{found[Fate.CAUGHT]} of {shown} mutants caught"
    if found[Fate.CANNOT]:
        text += f"; {found[Fate.CANNOT]} others cannot be shown here"
    return text


def to_json(hunted: Sequence[Hunted]) -> dict[str, Any]:
    """``schema``, ``counts`` by fate, ``mutants`` (see `Hunted.to_json`)."""
    return {
        "schema": JSON_SCHEMA,
        "counts": {fate.value: number for fate, number in count(hunted).items()},
        "mutants": [each.to_json() for each in hunted],
    }


def _told(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        harmless(text, _SAW),
        _WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )
