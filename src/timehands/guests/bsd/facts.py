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
    return (*_chosen(recording), *_list(recording), *_variables(recording, meanings, texts))


def variable(recording: Recording, name: str) -> int | None:
    """A variable at the end; None: it was not read."""
    variables = recording.looked.get("variables")
    value = variables.get(name) if isinstance(variables, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _chosen(recording: Recording) -> Iterator[Fact]:
    row = recording.looked.get("timecounter")
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        quality = row.get("quality")
        meaning = f"the clock that time is read from, quality {quality}"
        yield Fact("timecounter->tc_name", row["name"], meaning)


def _list(recording: Recording) -> Iterator[Fact]:
    listed = recording.looked.get("timecounters")
    if isinstance(listed, dict):
        names = ", ".join(row["name"] for row in rows_of(recording))
        yield Fact("timecounters", names or "none", _ENDS.get(str(listed.get("ends")), ""))


def _variables(
    recording: Recording, meanings: Mapping[str, Meaning], texts: Mapping[str, str]
) -> Iterator[Fact]:
    variables = recording.looked.get("variables")
    pairs = list(variables.items())[:_MOST] if isinstance(variables, dict) else []
    for name, value in pairs:
        if isinstance(value, int) and not isinstance(value, bool):
            meaning = meanings.get(name)
            yield Fact(str(name), value, meaning(value) if meaning else "")
        elif isinstance(value, str):
            yield Fact(str(name), value, texts.get(name, ""))
