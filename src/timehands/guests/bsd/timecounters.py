"""The timecounters of a kernel of NetBSD's family: each tc_init, and which one is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from timehands.guests.bsd.layouts import DUMMY_HZ, DUMMY_QUALITY
from timehands.guests.telling import Draft, backtrace
from timehands.story.model import ClockRole, ClockState, References
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

#: What every boot begins with: a counter that adds one each time it is read (kern_tc.c).
DUMMY = "dummy"
_SIGN = 1 << 31
_MOST = 64
_LOOK_BACK = 64

Drafts = dict[str, Draft]
#: Whether the second of two (quality, frequency) is taken instead of the first.
Better = Callable[[tuple[int, int], tuple[int, int]], bool]


def netbsd_prefers(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """NetBSD's tc_init: a better quality, or the same and a greater frequency."""
    return new[0] >= 0 and new > old


def openbsd_prefers(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """OpenBSD's tc_init: the same frequency does too."""
    return new[0] >= 0 and new >= old


def draft_of(drafts: Drafts, name: str) -> Draft:
    """The timecounter of that name; one of its own when there are too many to be true."""
    if name not in drafts and len(drafts) >= _MOST:
        return Draft(name, ClockRole.SOURCE)
    return drafts.setdefault(name, Draft(name, ClockRole.SOURCE))


def registered(recording: Recording, prefers: Better) -> Drafts:
    """Every tc_init that was seen, with its callers, and whether it changed what is in use.

    Where the variable ``timecounter`` was not read, the system's rule says it.
    """
    drafts: Drafts = {}
    using, last = Draft(DUMMY, ClockRole.SOURCE, frequency_hz=DUMMY_HZ, rating=DUMMY_QUALITY), None
    for event in recording.events:
        if recording.function(event) != "tc_init":
            continue
        if event.kind is Kind.ENTER:
            last = _register(recording, event, drafts)
        elif last is not None:
            now = recording.text(event, "current") or _by_rule(using, last, prefers)
            if now == last.name and now != using.name:
                last.step(recording, event, f"selected instead of {using.name}", _SELECTED)
                using = last
            else:
                why = _why_not(last, using)
                last.step(recording, event, f"not selected: {why}", ClockState.REGISTERED)
            last = None
    return drafts


_SELECTED = ClockState.SELECTED


def _register(recording: Recording, event: Event, drafts: Drafts) -> Draft | None:
    name = recording.text(event, "tc_name")
    if not name:
        return None
    draft = draft_of(drafts, name)
    quality = recording.number(event, "tc_quality")
    draft.rating = quality - (quality & _SIGN) * 2 if quality is not None else None
    draft.frequency_hz = recording.number(event, "tc_frequency")
    mask = recording.number(event, "tc_counter_mask")
    parts = [f"registered, quality {draft.rating}"] + (
        [f"{mask.bit_length()} bits"] if mask else []
    )
    draft.step(
        recording, event, ", ".join(parts), ClockState.REGISTERED, _callers(recording, event)
    )
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


def _why_not(new: Draft, using: Draft) -> str:
    if (new.rating or 0) < 0:
        return f"its quality {new.rating} is negative"
    if new.rating == using.rating:
        return f"{using.name} has the same quality and no smaller frequency"
    return f"{using.name} has quality {using.rating}"


def from_console(
    recording: Recording, told: Iterable[tuple[str, int, int, Any]], prefers: Better
) -> Drafts:
    """Timecounters by the kernel's own messages: name, frequency in Hz, quality, console line."""
    drafts: Drafts = {}
    using = Draft(DUMMY, ClockRole.SOURCE, frequency_hz=DUMMY_HZ, rating=DUMMY_QUALITY)
    for name, hz, quality, line in told:
        draft = draft_of(drafts, name)
        draft.frequency_hz, draft.rating = hz, quality
        draft.step(recording, line, f"registered, quality {quality}", ClockState.REGISTERED)
        if prefers(_worth(using), _worth(draft)):
            draft.step(recording, line, f"selected instead of {using.name}", _SELECTED)
            using = draft
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
        if not draft.steps:
            draft.state = ClockState.REGISTERED
    selected = looked_counter(recording) or _last_selected(drafts)
    for draft in drafts.values():
        if draft.state is _SELECTED and draft.name != selected:
            draft.state = ClockState.REGISTERED
    if selected == DUMMY:
        dummy = draft_of(drafts, DUMMY)
        dummy.frequency_hz, dummy.rating = DUMMY_HZ, DUMMY_QUALITY
        dummy.how = "moves by one each time it is read"
    if selected:
        draft_of(drafts, selected).state = _SELECTED
    return selected


def looked_counter(recording: Recording) -> str | None:
    """The name of what ``timecounter`` pointed to at the end."""
    row = recording.looked.get("timecounter")
    return row["name"] if isinstance(row, dict) and _is_counter(row) else None


def _last_selected(drafts: Drafts) -> str | None:
    latest: tuple[int, str] | None = None
    for draft in drafts.values():
        for step in draft.steps:
            if step.what.startswith("selected") and step.at_ns is not None:
                latest = max(latest or (0, ""), (step.at_ns, draft.name))
    return latest[1] if latest else None


def evidence_of(drafts: Drafts, name: str) -> References:
    """What shows that a timecounter was registered."""
    draft = drafts.get(name)
    return draft.steps[0].evidence if draft and draft.steps else ()
