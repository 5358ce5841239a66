"""``timehands source TREE why FILE --recording DIR``: which of a file's functions ran in a boot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from timehands.boot import Booted
    from timehands.reports.sourced.places import Places
    from timehands.reports.sourced.reached import FileReached, Reached
    from timehands.sources.code.model import Ran
    from timehands.sources.document import Block
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
    """A recording that was opened; ``lacks`` says what its kernel does not tell, if anything, and
    ``others`` what shows that the tree is not its kernel's.
    """

    recording: Recording
    places: Places
    lacks: str
    others: tuple[str, ...]
    printed: dict[str, str]


def look(tree: SourceTree, options: argparse.Namespace) -> Looked:
    """Open the recording that was named. Raises `RecordingError`."""
    from timehands.boot import open_recording

    return looked(tree, open_recording(options.recording), options.kernel)


def looked(tree: SourceTree, booted: Booted, path: Path | None) -> Looked:
    """A boot, to be asked what of a tree's files ran. ``path``: its kernel, where it was moved."""
    from timehands.reports.sourced.join import others
    from timehands.reports.sourced.places import Places, kernel_of

    recording = booted.recording
    kernel, lacks = kernel_of(recording, path)
    places, other = Places(recording, tree, kernel), tuple(others(tree, recording))
    return Looked(recording, places, lacks, other, _printed(booted))


def _printed(booted: Booted) -> dict[str, str]:
    """Of functions that are known to print a line of the console, the event of their first."""
    messages = booted.report.story.messages
    return {one.source: one.evidence[0] for one in reversed(messages) if one.evidence}


def ran_in(options: argparse.Namespace) -> tuple[Ran, tuple[str, ...]]:
    """The functions that ran in the recording that was named, by their names; and what it lacks.

    Raises `RecordingError`.
    """
    from timehands.boot import open_recording
    from timehands.reports.sourced.reached import names_reached
    from timehands.sources.code.model import Ran

    booted = open_recording(options.recording)
    ran, never = names_reached(booted.recording, _printed(booted))
    dropped = booted.recording.header.events_dropped
    lacks = f"{dropped:,} events were dropped: of no function it is said that it never ran"
    return Ran(ran, never), (lacks,) if dropped else ()


def reached_in(looked: Looked, tree: SourceTree, file: str) -> FileReached:
    """What the recording shows of a file's functions."""
    from dataclasses import replace

    from timehands.reports.sourced.reached import reached

    found = reached(
        looked.recording, looked.places, tree, file, lacks=looked.lacks, printed=looked.printed
    )
    return replace(found, complaints=(*looked.others, *found.complaints))


def blocks(found: FileReached, recording: Path) -> tuple[Block, ...]:
    """The answer as blocks, to be put below why the file is compiled."""
    from timehands.reports.sourced.reached import Ran
    from timehands.sources.document import Heading, Words

    counts = ", ".join(f"{found.count(ran)} {_WORDS[ran.value]}" for ran in Ran)
    told: list[Block] = [Heading("In the recording", f"{recording}: {counts}")]
    told += [Words(complaint, "doubt") for complaint in found.complaints]
    for ran in Ran:
        rows = [one for one in found.functions if one.ran is ran]
        told += _alike(_WORDS[ran.value], _MEANING[ran.value], rows) if rows else ()
    return tuple(told)


#: By the values of `Ran`.
_WORDS = {"reached": "reached", "never": "never entered", "not watched": "not watched"}
_MEANING = {
    "reached": "",
    "never": "the entry was watched to the end, and never came",
    "not watched": "nothing is known of these",
}


def _alike(name: str, meaning: str, functions: list[Reached]) -> tuple[Block, ...]:
    """Functions of which the recording shows the same."""
    from timehands.sources.document import Heading, Table

    many = str(len(functions)) + (f", {meaning}" if meaning else "")
    rows = tuple((one.function, one.where or "", _shown(one)) for one in functions)
    heads = ("function", "begins at", "shown by" if name == "reached" else "note")
    if not any(row[2] for row in rows):
        heads, rows = heads[:2], tuple(row[:2] for row in rows)  # type: ignore[misc, assignment]
    return Heading(name.capitalize(), many), Table(heads, rows)


def _shown(one: Reached) -> str:
    """By what, in words."""
    times = {0: "", 1: "entered once", 2: "entered twice"}
    entered = times.get(one.entries or 0, f"entered {one.entries:,} times" if one.entries else "")
    return "; ".join(filter(None, [entered, *one.seen, one.note]))
