"""Boundaries and outcome of a BSD kernel, by its functions or else its console."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from timehands.guests.bsd.messages import without_stamp
from timehands.guests.telling import NOT_PLANNED, boundary_at, entries, watched
from timehands.story.model import Boundary, Mark, Outcome, OutcomeKind, References
from timehands.story.outcome import Signs, outcome_of
from timehands.story.spans import Call, open_calls
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

PROMPT = "root device:"
#: FreeBSD's debugger may print its prompt before it.
_PANIC = re.compile(r"^(?:\S+> )?panic: (.{1,200})$")
_ENDED = {
    "boundary": ": as far as it gets without a root file system",
    "interrupted": "; then the boot was interrupted",
}
Lines = Mapping[Mark, re.Pattern[str]]


@dataclass(frozen=True, slots=True)
class Words:
    """How a system's functions and lines show how far it came.

    ``asks``: the function that reads a line for the kernel's own questions, once ``roots`` looks
    for the root file system; ``panics``: the functions that end the kernel, by their message;
    ``restarts``: those that reset the machine. ``prompt``: the question at which a kernel ends
    that has no root file system, and ``waits``: that it came there, in words.
    """

    entries: tuple[str, ...]
    lines: Lines
    asks: str
    roots: str
    panics: tuple[str, ...]
    restarts: tuple[str, ...]
    prompt: str = PROMPT
    waits: str = "the kernel asks for its root device"


@dataclass(frozen=True, slots=True)
class Fault:
    """A trap that led to a panic: told after its message; ``where`` it was, if that is known."""

    told: str
    where: str | None
    evidence: References


def said(recording: Recording, lines: Lines, mark: Mark, how: str) -> Boundary:
    """The boundary as the console shows it."""
    for line in recording.console:
        if lines[mark].search(without_stamp(line.text)):
            return Boundary(mark, recording.since_start(line.host_ns), how, (line.reference,))
    return Boundary(mark, None)


def kernel_entry(recording: Recording, words: Words) -> Boundary:
    """The kernel's first function, or its first line."""
    event = next(entries(recording, *words.entries), None)
    if event is None:
        how = "no later than its first line"
        return said(recording, words.lines, Mark.KERNEL_ENTRY, how)
    return boundary_at(recording, Mark.KERNEL_ENTRY, event, recording.function(event) or "")


def clock_known(
    recording: Recording, words: Words, found: Callable[[Recording, Event], str | None]
) -> Boundary:
    """The first clock whose rate the kernel knows; ``found`` says how an event shows it."""
    for event in recording.events:
        if how := found(recording, event):
            return boundary_at(recording, Mark.CLOCK_KNOWN, event, how)
    if watched(recording):
        return Boundary(Mark.CLOCK_KNOWN, None)
    return said(recording, words.lines, Mark.CLOCK_KNOWN, "seen on the console")


def timer_armed(recording: Recording, words: Words, event: Event | None) -> Boundary:
    """The function that starts the clock interrupt, or what is printed after it."""
    if event is None:
        return said(recording, words.lines, Mark.TIMER_ARMED, "no later than it says so")
    return boundary_at(recording, Mark.TIMER_ARMED, event, recording.function(event) or "")


def init_boundary(recording: Recording, words: Words) -> Boundary:
    """init itself, or the question at which a kernel ends that has no root file system."""
    asks = False
    for event in recording.events:
        name = recording.function(event) if event.kind is Kind.ENTER else None
        asks = asks or name == words.roots
        if name == "sys_execve":
            return boundary_at(recording, Mark.INIT, event, "the kernel starts init")
        if name == words.asks and asks:
            return boundary_at(recording, Mark.INIT, event, PROMPT)
    asked = said(recording, {Mark.INIT: re.compile(f"^{PROMPT}")}, Mark.INIT, PROMPT)
    if asked.evidence:
        return asked
    return said(recording, words.lines, Mark.INIT, "the root file system is there")


def outcome(
    recording: Recording,
    words: Words,
    calls: tuple[Call, ...],
    init: Boundary,
    fault: Callable[[Recording], Fault | None] = lambda _recording: None,
) -> Outcome:
    """How the boot ended; ``fault`` tells where a trap was that led to a panic."""
    panic, evidence = _panic(recording, words)
    trap = fault(recording) if panic is not None else None
    if panic is not None and trap:
        panic, evidence = f"{panic} {trap.told}".strip(), (*evidence, *trap.evidence)
    busy = open_calls(calls, recording)
    restarted = next(entries(recording, *words.restarts), None) is not None
    within = busy[-1].name if busy else None
    ended = outcome_of(recording, Signs(init.evidence, False, panic, evidence, restarted, within))
    reason = recording.header.ended_reason or "interrupted"
    if ended.kind is OutcomeKind.INIT_REACHED and words.prompt in init.how:
        return replace(ended, text=f"{words.waits}{_ENDED.get(reason, f' ({reason})')}")
    if ended.kind is OutcomeKind.PANICKED and trap:
        return replace(ended, where=trap.where)
    return ended


def _panic(recording: Recording, words: Words) -> tuple[str | None, References]:
    for line in recording.console:
        if match := _PANIC.search(without_stamp(line.text)):
            return match[1].strip(), (line.reference,)
    for event in entries(recording, *words.panics):
        text = recording.text(event, "string") or "no message read"
        return text.strip(), (event.reference,)
    return None, ()


def unknown(recording: Recording) -> Iterator[str]:
    """What this recording cannot show, said plainly."""
    if not recording.header.planned:
        yield NOT_PLANNED[recording.header.chosen]
    elif not watched(recording):
        yield "the kernel has no symbols: clocks and calibrations are known from the console only"
    if recording.header.console_dropped:
        yield f"{recording.header.console_dropped:,} bytes of console output were not kept"
