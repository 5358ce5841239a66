"""``timehands source TREE why FILE --recording DIR``: which of a file's functions ran in a boot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from timehands.reports.sourced.places import Places
    from timehands.reports.sourced.reached import FileReached, Reached
    from timehands.sources.code.model import Ran
    from timehands.sources.document import Block, Cell
    from timehands.sources.tree import SourceTree
    from timehands.watch.recording import Recording


def add_recording_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a recording."""
    parser.add_argument(
        "--recording",
        type=Path,
        metavar="DIR",
        help="say also which functions of the file ran in this recording, and which never",
    )
    parser.add_argument(
        "--kernel", type=Path, metavar="FILE", help="the recorded kernel, where it was moved"
    )


class Looked(NamedTuple):
    """A recording that was opened; ``lacks`` says what its kernel does not tell, if anything."""

    recording: Recording
    places: Places
    lacks: str
    printed: dict[str, str]


def look(tree: SourceTree, options: argparse.Namespace) -> Looked:
    """Open the recording that was named. Raises `RecordingError`."""
    from timehands.boot import open_recording
    from timehands.reports.sourced.places import Places, kernel_of

    booted = open_recording(options.recording)
    recording, messages = booted.recording, booted.report.story.messages
    printed = {one.source: one.evidence[0] for one in reversed(messages) if one.evidence}
    kernel, lacks = kernel_of(recording, options.kernel)
    return Looked(recording, Places(recording, tree, kernel), lacks, printed)


def ran_in(options: argparse.Namespace) -> tuple[Ran, tuple[str, ...]]:
    """The functions that ran in the recording that was named, by their names; and what it lacks.

    Raises `RecordingError`.
    """
    from timehands.boot import open_recording
    from timehands.reports.sourced.reached import names_reached
    from timehands.sources.code.model import Ran

    booted = open_recording(options.recording)
    messages = booted.report.story.messages
    printed = {one.source: one.evidence[0] for one in reversed(messages) if one.evidence}
    ran, never = names_reached(booted.recording, printed)
    dropped = booted.recording.header.events_dropped
    lacks = f"{dropped:,} events were dropped: of no function it is said that it never ran"
    return Ran(ran, never), (lacks,) if dropped else ()


def reached_in(looked: Looked, tree: SourceTree, file: str) -> FileReached:
    """What the recording shows of a file's functions."""
    from dataclasses import replace

    from timehands.reports.sourced.reached import reached

    found = reached(looked.recording, looked.places, tree, file, printed=looked.printed)
    return replace(found, complaints=(looked.lacks, *found.complaints)) if looked.lacks else found


def blocks(found: FileReached, recording: Path) -> tuple[Block, ...]:
    """The answer as blocks, to be put below why the file is compiled."""
    from timehands.reports.sourced.reached import Ran
    from timehands.sources.document import Heading, Table, Words

    counts = ", ".join(f"{found.count(ran)} {_WORDS[ran.value]}" for ran in Ran)
    rows = tuple(_row(one) for ran in Ran for one in found.functions if one.ran is ran)
    told: list[Block] = [Heading("In the recording", f"{recording}: {counts}")]
    if rows:
        told.append(Table(("function", "begins at", "ran", "shown by"), rows))
    told += [Words(complaint, "doubt") for complaint in found.complaints]
    return tuple(told)


#: By the values of `Ran`.
_WORDS = {"reached": "reached", "never": "never entered", "not watched": "not watched"}


def _row(one: Reached) -> tuple[Cell, ...]:
    entered = f"entered {one.entries:,} times" if one.entries and one.entries > 1 else ""
    entered = "entered once" if one.entries == 1 else entered
    if one.ran.value == "never":
        entered = "its entry was watched, and never came"
    shown = "; ".join(filter(None, [entered, *one.seen, one.note]))
    return one.function, one.where or "", _WORDS[one.ran.value], shown
