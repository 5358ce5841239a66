"""A kernel's own variables when the boot was over, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from timehands.guests.bsd.timecounters import rows_of
from timehands.story.model import Fact
from timehands.watch.recording import Recording

_ENDS = {
    "cycle": "the list goes in a circle",
    "long": "the list has no end within 32 entries",
    "broken": "the list leads to memory that holds no entry",
}
_MOST = 100
Meaning = Callable[[int], str]


def in_hz(value: int) -> str:
    """A frequency; a kernel that does not know it has 0."""
    return f"{value:,} Hz" if value else "unknown"


def whether(yes: str, no: str) -> Meaning:
    """A meaning of what is true or false."""
    return lambda value: yes if value else no


def facts(
    recording: Recording, meanings: Mapping[str, Meaning], texts: Mapping[str, str]
) -> tuple[Fact, ...]:
    """The timecounter in use, the list of all, and the variables; ``texts``: what names mean."""
    return (
        *chosen(
            recording, "timecounter", "timecounter->tc_name", "the clock that time is read from"
        ),
        *listed(recording, "timecounters"),
        *variables(recording, meanings, texts),
    )


def variable(recording: Recording, name: str) -> int | None:
    """A variable at the end; None: it was not read."""
    variables = recording.looked.get("variables")
    value = variables.get(name) if isinstance(variables, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def chosen(recording: Recording, key: str, name: str, what: str) -> Iterator[Fact]:
    """What a pointer to a clock pointed to at the end."""
    row = recording.looked.get(key)
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        yield Fact(name, row["name"], f"{what}, quality {row.get('quality')}")


def listed(recording: Recording, key: str) -> Iterator[Fact]:
    """A list of clocks; one that does not end as it should is said."""
    found = recording.looked.get(key)
    if isinstance(found, dict):
        names = ", ".join(row["name"] for row in rows_of(recording, key))
        yield Fact(key, names or "none", _ENDS.get(str(found.get("ends")), ""))


def variables(
    recording: Recording,
    meanings: Mapping[str, Meaning],
    texts: Mapping[str, str],
    hexadecimal: frozenset[str] = frozenset(),
) -> Iterator[Fact]:
    """The variables; ``hexadecimal``: those that are addresses or masks."""
    found = recording.looked.get("variables")
    pairs = list(found.items())[:_MOST] if isinstance(found, dict) else []
    for name, value in pairs:
        if isinstance(value, int) and not isinstance(value, bool):
            meaning = meanings.get(name)
            shown = f"{value:#x}" if name in hexadecimal else value
            yield Fact(str(name), shown, meaning(value) if meaning else "")
        elif isinstance(value, str):
            yield Fact(str(name), value, texts.get(name, ""))
