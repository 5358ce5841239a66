"""The timecounters of a BSD kernel: each tc_init, and which one is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from timehands.guests.bsd.layouts import DUMMY_HZ, DUMMY_QUALITY
from timehands.guests.telling import Draft, backtrace
from timehands.story.model import ClockRole, ClockState
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Event, Kind

#: What every boot begins with: a counter that adds one each time it is read (kern_tc.c).
DUMMY = "dummy"
_DUMMY_MOVES = "moves by one each time it is read"
_SIGN = 1 << 31
_MOST = 64
_LOOK_BACK = 64

Drafts = dict[str, Draft]
#: Whether the second of two (quality, frequency) is taken instead of the first.
Better = Callable[[tuple[int, int], tuple[int, int]], bool]


def netbsd_prefers(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """NetBSD's tc_init: a better quality, or the same and a greater frequency."""
    return new[0] >= 0 and new > old


def later_preferred(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """FreeBSD's and OpenBSD's tc_init: the same frequency does too."""
    return new[0] >= 0 and new >= old


def draft_of(drafts: Drafts, name: str) -> Draft:
    """The timecounter of that name; one of its own when there are too many to be true."""
    if name not in drafts and len(drafts) >= _MOST:
        return Draft(name, ClockRole.SOURCE)
    return drafts.setdefault(name, Draft(name, ClockRole.SOURCE))


def registered(
    recording: Recording, prefers: Better, flags: Mapping[int, str] | None = None
) -> Drafts:
    """Every tc_init that was seen, with its callers, and whether it changed what is in use.

    Where the variable ``timecounter`` was not read, the system's rule says it. ``flags``: what the
    bits of ``tc_flags`` mean.
    """
    drafts: Drafts = {}
    using, last = _dummy(), None
    for event in recording.events:
        if recording.function(event) != "tc_init":
            continue
        if event.kind is Kind.ENTER:
            last = _register(recording, event, drafts, flags or {})
        elif last is not None:
            now = recording.text(event, "current") or _by_rule(using, last, prefers)
            if now == last.name and now != using.name:
                last.step(recording, event, f"selected instead of {using.name}", _SELECTED)
                using = last
            else:
                _not_selected(recording, event, last, using)
            last = None
    return drafts


_SELECTED = ClockState.SELECTED


def _dummy() -> Draft:
    return Draft(DUMMY, ClockRole.SOURCE, frequency_hz=DUMMY_HZ, rating=DUMMY_QUALITY)


def signed(value: int | None) -> int | None:
    """An unsigned number of 32 bits as a signed one."""
    return value - (value & _SIGN) * 2 if value is not None else None


def set_flags(value: int, names: Mapping[int, str]) -> str:
    """The flags that are set, in words."""
    return ", ".join(word for bit, word in names.items() if value & bit)


def _register(
    recording: Recording, event: Event, drafts: Drafts, flags: Mapping[int, str]
) -> Draft | None:
    name = recording.text(event, "tc_name")
    if not name:
        return None
    draft = draft_of(drafts, name)
    draft.rating = signed(recording.number(event, "tc_quality"))
    draft.frequency_hz = recording.number(event, "tc_frequency")
    mask = recording.number(event, "tc_counter_mask")
    parts = ["registered"]
    parts += [f"quality {draft.rating}"] if draft.rating is not None else []
    parts += [f"{mask.bit_length()} bits"] if mask else []
    able = set_flags(recording.number(event, "tc_flags") or 0, flags)
    what = ", ".join([*parts, able] if able else parts)
    draft.step(recording, event, what, ClockState.REGISTERED, _callers(recording, event))
    return draft


def _callers(recording: Recording, event: Event) -> tuple[str, ...]:
    """The functions that called tc_init, also one that did so by a jump as its last act.

    Such a function has left the stack, but it was entered from the same place.
    """
    names = backtrace(recording, event)
    for earlier in reversed(recording.events[max(event.index - _LOOK_BACK, 0) : event.index]):
        if earlier.kind is Kind.ENTER and earlier.values[4] == event.values[4]:
            jumped = recording.function(earlier)
            return (jumped, *names) if jumped and jumped not in names else names
    return names


def _worth(draft: Draft) -> tuple[int, int]:
    return draft.rating or 0, draft.frequency_hz or 0


def _by_rule(using: Draft, new: Draft, prefers: Better) -> str:
    return new.name if prefers(_worth(using), _worth(new)) else using.name


def _not_selected(
    recording: Recording, seen: Event | ConsoleLine, new: Draft, using: Draft
) -> None:
    """One of negative quality is never chosen by itself: it is rejected."""
    never = (new.rating or 0) < 0
    state = ClockState.REJECTED if never else ClockState.REGISTERED
    new.step(recording, seen, f"not selected: {_why_not(new, using)}", state)


def _why_not(new: Draft, using: Draft) -> str:
    if (new.rating or 0) < 0:
        return f"its quality {new.rating} is negative"
    if new.rating == using.rating:
        return f"{using.name} has the same quality and no smaller frequency"
    if _worth(new) > _worth(using):
        return f"{using.name} was chosen by its name"
    return f"{using.name} has quality {using.rating}"


def from_console(
    recording: Recording, told: Iterable[tuple[str, int, int, ConsoleLine]], prefers: Better
) -> Drafts:
    """Timecounters by the kernel's own messages: name, frequency in Hz, quality, console line."""
    drafts: Drafts = {}
    using = _dummy()
    for name, hz, quality, line in told:
        draft = draft_of(drafts, name)
        draft.frequency_hz, draft.rating = hz, quality
        draft.step(recording, line, f"registered, quality {quality}", ClockState.REGISTERED)
        if prefers(_worth(using), _worth(draft)):
            draft.step(recording, line, f"selected instead of {using.name}", _SELECTED)
            using = draft
        elif quality < 0:
            _not_selected(recording, line, draft, using)
    return drafts


def rows_of(recording: Recording, key: str = "timecounters") -> Iterator[dict[str, Any]]:
    """The rows of the list that the last look found, as far as they make sense."""
    listed = recording.looked.get(key)
    rows = listed.get("rows") if isinstance(listed, dict) else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and _is_counter(row):
            yield row


def _is_counter(row: dict[str, Any]) -> bool:
    numbers = (row.get("frequency"), row.get("quality"))
    return isinstance(row.get("name"), str) and all(
        isinstance(n, int) and not isinstance(n, bool) for n in numbers
    )


def chosen(recording: Recording, drafts: Drafts) -> str | None:
    """Which timecounter is in use at the end, and the last word on each: by the kernel's variables.

    Without them by what tc_init left; without both, by the last that was selected.
    """
    for row in rows_of(recording):
        draft = draft_of(drafts, row["name"])
        draft.frequency_hz, draft.rating = row["frequency"] or draft.frequency_hz, row["quality"]
        if draft.name == DUMMY:
            draft.state, draft.how = ClockState.OFFERED, f"there from the start; {_DUMMY_MOVES}"
        elif not draft.steps:
            draft.state = ClockState.REGISTERED
    selected = looked_name(recording, "timecounter") or _left(recording) or _last_selected(drafts)
    for draft in drafts.values():
        if draft.state is _SELECTED and draft.name != selected:
            draft.state = ClockState.REGISTERED
    if selected == DUMMY:
        dummy = draft_of(drafts, DUMMY)
        dummy.frequency_hz, dummy.rating = DUMMY_HZ, DUMMY_QUALITY
        dummy.how = _DUMMY_MOVES
    if selected:
        draft_of(drafts, selected).state = _SELECTED
    return selected


def looked_name(recording: Recording, key: str) -> str | None:
    """The name of what a pointer (``timecounter``) pointed to at the end."""
    row = recording.looked.get(key)
    return row["name"] if isinstance(row, dict) and _is_counter(row) else None


def _left(recording: Recording) -> str | None:
    """What the last tc_init left in use."""
    for event in reversed(recording.events):
        if recording.function(event) == "tc_init" and (name := recording.text(event, "current")):
            return name
    return None


def _last_selected(drafts: Drafts) -> str | None:
    latest: tuple[int, str] | None = None
    for draft in drafts.values():
        for step in draft.steps:
            if step.what.startswith("selected") and step.at_ns is not None:
                latest = max(latest or (0, ""), (step.at_ns, draft.name))
    return latest[1] if latest else None
