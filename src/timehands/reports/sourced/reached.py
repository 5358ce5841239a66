"""Which functions of a file ran in a recording, which never did, and of which nothing is known.

A function is *reached* when something shows that it ran: its entry was watched and seen, an event
came from within it, it was a caller, it was in a backtrace of a stop, the kernel's own log has it,
or the console has a line that it prints. It is *never* entered only when its entry was watched to
the end and never came. Everything else is *not watched*: nothing is known, and nothing is claimed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from timehands.errors import SourceUnknown
from timehands.guests.tslog.kept import log_of
from timehands.guests.tslog.log import What
from timehands.reports.sourced.functions import Function, by_lines, by_names
from timehands.reports.sourced.places import INLINED_IN, Places
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

_TOP: Final = 1 << 64
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
#: Events that are ours, and not of a function of the guest.
_NOT_OF_CODE: Final = frozenset({Kind.HELLO, Kind.SLIDE, Kind.PROGRESS, Kind.COUNT, Kind.COST})


class Ran(StrEnum):
    """What the recording shows of a function."""

    REACHED = "reached"
    NEVER = "never"
    NOT_WATCHED = "not watched"


@dataclass(frozen=True, slots=True)
class Reached:
    """A function of a file: what the recording shows of it, and by what.

    ``entries`` counts the entries that were streamed (None: they were not watched). ``seen`` are
    the other signs, in words. ``where`` is where the function begins.
    """

    function: str
    where: Where | None
    ran: Ran
    entries: int | None = None
    seen: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "function": self.function,
            "file": self.where.file if self.where else None,
            "line": self.where.line if self.where else None,
            "ran": self.ran.value,
            "entries": self.entries,
            "seen": list(self.seen),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class FileReached:
    """All functions of a file. ``complaints`` say what keeps the answer from being the whole."""

    file: str
    functions: tuple[Reached, ...]
    complaints: tuple[str, ...] = ()

    def count(self, ran: Ran) -> int:
        """How many functions came out so."""
        return sum(one.ran == ran for one in self.functions)

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "functions": [one.to_json() for one in self.functions],
            "complaints": list(self.complaints),
        }


@dataclass(frozen=True, slots=True)
class _Signs:
    """What the recording shows: of places by their address as linked, of functions by name.

    ``watched`` are the starts of the watched functions, ``within`` the events at each place,
    ``under_way`` return addresses and the like, ``inlined`` what was inlined at any of these, by
    its file (empty: not known) and name.
    """

    watched: dict[str, frozenset[int]]
    entries: Counter[str]
    within: Counter[int]
    under_way: frozenset[int]
    inlined: Counter[tuple[str, str]]
    stopped: Counter[str]
    logged: frozenset[str]
    printed: Mapping[str, str] = field(default_factory=dict)


def reached(
    recording: Recording,
    places: Places,
    tree: SourceTree,
    file: str,
    *,
    lacks: str = "",
    printed: Mapping[str, str] | None = None,
) -> FileReached:
    """What a recording shows of a file's functions.

    Args:
        file: relative to the tree's root.
        lacks: why the kernel tells no lines, where it does not.
        printed: functions that print a line which the console has, each with the line's reference
            (`timehands.story.model.Message`).
    """
    complaints = list(_complaints(recording))
    signs = replace(_signs(recording, places), printed=printed or {})
    try:
        inlined = {name for of, name in signs.inlined if of in ("", file)}
        functions = by_lines(places, tree, file, inlined)
    except SourceUnknown as error:
        functions = by_names(places, tree, file)
        complaints.append(lacks or f"{error.message}: of its functions only names are known")
    dropped = bool(recording.header.events_dropped)
    rows = tuple(_told(one, file, signs, dropped) for one in functions)
    return FileReached(file, rows, tuple(complaints))


def _complaints(recording: Recording) -> Iterator[str]:
    header = recording.header
    if not header.functions:
        yield "nothing was watched in this boot: of no function it is known that it never ran"
    if header.events_dropped:
        yield (
            f"{header.events_dropped:,} events were dropped: a function that is said to be never "
            "entered may have been"
        )
    if header.ended_ns is None:
        yield "the recording was not closed: what came last may be missing"


def _told(one: Function, file: str, signs: _Signs, dropped: bool) -> Reached:
    watched = _is_watched(one, signs)
    entries = signs.entries[one.name] if watched else None
    seen = tuple(_seen(one, file, signs))
    where = Where(file, one.line) if one.line else None
    if entries or seen:
        return Reached(one.name, where, Ran.REACHED, entries, seen, one.note)
    never = watched and not dropped
    return Reached(one.name, where, Ran.NEVER if never else Ran.NOT_WATCHED, entries, (), one.note)


def _is_watched(one: Function, signs: _Signs) -> bool:
    """Whether its own entry was watched, not that of another of the same name."""
    starts = signs.watched.get(one.name)
    if starts is None or one.absent:
        return False
    if one.code:
        return not starts or any(start in starts for start, _ in one.code)
    return len(starts) >= one.alike or one.alike == 1


def _seen(one: Function, file: str, signs: _Signs) -> Iterator[str]:
    code = [range(start, end) for start, end in one.code]
    within = sum(times for at, times in signs.within.items() if any(at in part for part in code))
    if within:
        yield f"{within:,} events from within it"
    if any(at in part for at in signs.under_way for part in code):
        yield "it was under way when a watched function ran"
    times = signs.inlined[file, one.name] + signs.inlined["", one.name]
    if times:
        yield f"inlined at {times:,} places that ran" if times > 1 else "it ran inlined in another"
    if signs.stopped[one.name]:
        yield f"in {signs.stopped[one.name]:,} stops or their backtraces"
    if one.name in signs.logged:
        yield "in the kernel's own log (TSLOG)"
    if one.name in signs.printed:
        yield f"the console has a line that it prints ({signs.printed[one.name]})"


@lru_cache(maxsize=2)
def _signs(recording: Recording, places: Places) -> _Signs:
    slide = places.slide
    entries: Counter[str] = Counter()
    within: Counter[int] = Counter()
    for event in recording.events:
        name = recording.function(event)
        if name and event.kind is Kind.ENTER:
            entries[name] += 1 + event.passed
        elif not name and event.kind not in _NOT_OF_CODE:
            within[(event.pc - slide) % _TOP] += 1 + event.passed
    # An address without an offset is a pointer to a function, which says not that it ran.
    ran = {address: name for address, name in recording.symbols.items() if "+" in name}
    return _Signs(
        watched=_watched(recording),
        entries=entries,
        within=within,
        under_way=frozenset((address - slide) % _TOP for address in ran) - within.keys(),
        inlined=Counter(one for address in ran for one in places.inlined_at(address)),
        stopped=_stopped(recording),
        logged=frozenset(_logged(recording)),
    )


def _watched(recording: Recording) -> dict[str, frozenset[int]]:
    header = recording.header
    starts = (*header.function_starts, *([None] * len(header.functions)))
    found: dict[str, frozenset[int]] = {}
    for name, start in zip(header.functions, starts, strict=False):
        known = frozenset() if start is None else frozenset({start})
        found[name] = found.get(name, frozenset()) | known
    return found


def _stopped(recording: Recording) -> Counter[str]:
    found: Counter[str] = Counter()
    for stop in recording.stops:
        frames = (stop.where, *stop.backtrace)
        found.update({name[0] for frame in frames if (name := _NAME.match(frame))})
    return found


def _logged(recording: Recording) -> Iterator[str]:
    """The functions in the kernel's own log of its boot."""
    log = log_of(recording)
    if log is not None:
        yield from (one.name for one in log.records if one.what in (What.ENTER, What.EXIT))


def names_reached(
    recording: Recording, printed: Mapping[str, str] | None = None
) -> tuple[frozenset[str], frozenset[str]]:
    """By their names alone: the functions that ran, and those that were never entered."""
    enters = (event for event in recording.events if event.kind is Kind.ENTER)
    ran = {name for event in enters if (name := recording.function(event))}
    # An address without an offset is a pointer to a function, which says not that it ran.
    for name in recording.symbols.values():
        if "+" in name:
            ran.update(one.split("+")[0] for one in name.split(INLINED_IN))
    ran |= {*_stopped(recording), *_logged(recording), *(printed or {})}
    never = set() if recording.header.events_dropped else _watched(recording).keys() - ran
    return frozenset(ran), frozenset(never)
