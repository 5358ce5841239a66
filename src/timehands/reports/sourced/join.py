"""The join: a report's functions with their lines, each line with its last change, each file with
the reason why it is in the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from timehands.errors import FileUnusable, HistoryUnavailable
from timehands.reports.model import Report
from timehands.reports.sourced.mentions import items
from timehands.reports.sourced.model import File, Item, Last, Sourced
from timehands.reports.sourced.places import Places, kernel_of
from timehands.sources.code.defined import Defined
from timehands.sources.config import Configuration, Why, resolve
from timehands.sources.history.history import History
from timehands.sources.history.releases import version_of
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where
from timehands.watch.recording import Recording

#: The lines whose last change is looked for, and how long that may take in all.
MOST_LINES: Final = 400
SECONDS: Final = 60.0
_MOST_CHAIN: Final = 12
#: The kernel's banner is among so many lines of the console.
_FIRST_LINES: Final = 200
#: Where a function of that name is defined, in all files of a tree.
Definitions = Callable[[str], Sequence[Where]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to join with.

    ``config`` is the configuration's name, None for none; ``git_dir`` the tree's repository, where
    that is elsewhere, read from ``revision`` on; ``kernel`` the recorded kernel's file, where it
    was moved; ``definitions`` is asked where a function is when the kernel has no line tables;
    ``cache`` is where what is read of a configuration is kept.
    """

    tree: SourceTree
    config: str | None = None
    arch: str = "amd64"
    git_dir: Path | None = None
    revision: str = "HEAD"
    kernel: Path | None = None
    definitions: Definitions | None = None
    cache: Path | None = None


def join(report: Report, recording: Recording, asked: Asked) -> Sourced:
    """The report's sources. What cannot be told is among the complaints.

    Raises `SourcesError` when the configuration that was named is not one of the tree.
    """
    configuration, complaints = _resolved(asked)
    places, lacks = places_of(recording, asked.tree, asked.kernel, configuration, asked.definitions)
    complaints = [*asked.tree.complaints, *others(asked.tree, recording), *lacks, *complaints]
    found = items(report, recording, places)
    return Sourced(
        tree=str(asked.tree.root),
        system=asked.tree.kind,
        config=asked.config,
        items=found,
        files=tuple(_file(configuration, file) for file in _files(found)),
        changes=_changes(found, asked, complaints),
        complaints=tuple(complaints),
    )


def others(tree: SourceTree, recording: Recording) -> Iterator[str]:
    """What shows that the tree is not what a recording's kernel was built from."""
    kernel = recording.header.kernel
    if "unknown" not in (tree.kind, kernel.os) and tree.kind != kernel.os:
        yield f"the kernel is {kernel.os}'s, and the tree {tree.kind}'s: its places mean nothing"
        return
    told = version_of(partial(_read, tree))
    version = told.name.split(maxsplit=1)[-1] if told else ""
    alike = version.startswith(kernel.version) or kernel.version.startswith(version)
    if told is not None and not alike and not _says(recording, version):
        yield f"the kernel is of {kernel.version}, the tree of {told.name}: lines may be others"


def _says(recording: Recording, version: str) -> bool:
    """Whether the kernel's first lines have that version: distributions name theirs otherwise."""
    word = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.])")
    return any(word.search(line.text) for line in recording.console[:_FIRST_LINES])


def _read(tree: SourceTree, file: str) -> bytes | None:
    try:
        return tree.read(tree.below_sys(file))
    except FileUnusable:
        return None


def places_of(
    recording: Recording,
    tree: SourceTree,
    path: Path | None,
    configuration: Configuration | None,
    definitions: Definitions | None = None,
) -> tuple[Places, list[str]]:
    """The places of a recording's functions, and what keeps them from being told.

    Of a kernel without line tables: where functions of the same names are defined, by
    ``definitions`` or in the files that the configuration compiles. ``path`` is as for `kernel_of`.
    """
    kernel, lacks = kernel_of(recording, path)
    told = definitions
    if told is None and configuration is not None and lacks:
        told = Defined(tree, configuration.files)
    if lacks and kernel is not None:
        lacks = "" if told else f"{lacks}; --config NAME finds where they begin"
    definition = partial(_defined, told, configuration) if told else None
    return Places(recording, tree, kernel, definition), [lacks] if lacks else []


def _defined(
    definitions: Definitions, configuration: Configuration | None, name: str
) -> Where | None:
    """The only definition of a function; of several, the only one that is compiled."""
    found = definitions(name)
    if len(found) > 1 and configuration is not None:
        found = [where for where in found if where.file in configuration.files]
    return found[0] if len(found) == 1 else None


def _resolved(asked: Asked) -> tuple[Configuration | None, list[str]]:
    """The configuration, and what is to be said of it."""
    if asked.config is None:
        return None, []
    configuration = resolve(asked.tree, asked.config, asked.arch, cache=asked.cache)
    if not configuration.complaints:
        return configuration, []
    many = len(configuration.complaints)
    return configuration, [
        f"{many} {'lines' if many > 1 else 'line'} of the configuration were not understood: see "
        f"timehands source {asked.tree.root} config {asked.config}"
    ]


def _files(found: tuple[Item, ...]) -> list[str]:
    places = (frame.where for item in found for frame in item.frames)
    return sorted({where.file for where in places if where})


def _file(configuration: Configuration | None, file: str) -> File:
    if configuration is None:
        return File(file, None)
    return compiled(configuration.why(file))


def compiled(why: Why) -> File:
    """Whether a file is compiled, with the lines that decided."""
    lines: list[tuple[Where | None, str]] = []
    for verdict in why.verdicts:
        if verdict.holds or not why.compiled:
            rule = verdict.rule
            lines.append((rule.where, rule.text))
            lines += [(step.where, step.words) for step in verdict.chain]
    if not lines and why.note:
        lines.append((None, why.note))
    # A header is compiled with those that include it: no line says so, and none is expected to.
    known = bool(why.verdicts)
    return File(
        why.file, why.compiled if known else None, tuple(dict.fromkeys(lines))[:_MOST_CHAIN]
    )


def _changes(found: tuple[Item, ...], asked: Asked, complaints: list[str]) -> dict[Where, Last]:
    """The last change of each line, while time lasts."""
    wanted = dict.fromkeys(
        frame.where for item in found for frame in item.frames if frame.where is not None
    )
    ends = monotonic() + SECONDS
    changes: dict[Where, Last] = {}
    try:
        history = History.open(asked.tree, git_dir=asked.git_dir, revision=asked.revision)
    except HistoryUnavailable as error:
        complaints.append(f"no last changes: {error.message}")
        return changes
    with history:
        for where in list(wanted)[:MOST_LINES]:
            if monotonic() > ends:
                complaints.append(f"last changes: stopped after {len(changes)} of {len(wanted)}")
                break
            try:
                changes[where] = _last(history, where)
            except FileUnusable as error:
                complaints.append(f"no last change: {error.message}")
        complaints += history.complaints
    if changes and not any(last.revision for last in changes.values()):
        complaints.append(
            f"no last changes: the repository has none of these lines at {asked.revision}: name "
            "another --revision"
        )
        return {}
    return changes


def _last(history: History, where: Where) -> Last:
    change = history.blame(where.file, where.line).change
    if change is None:
        return Last("", "", "", "not committed")
    release = history.first_release(change.revision)
    return Last(change.revision, change.day, change.author, change.subject, str(release or ""))
