"""Frames and files of a source tree in the words of a report."""

from __future__ import annotations

from collections.abc import Iterator, Set

from timehands.reports.sourced.model import File, Frame, Item, Last, Sourced
from timehands.sources.where import Where

KINDS = {
    "outcome": "ended",
    "finding": "finding",
    "clock": "clock",
    "delay": "busy waits by",
    "calibration": "calibration",
    "message": "message of",
    "stop": "stop",
}


def place(one: Frame) -> str:
    """``tc_init at sys/kern/kern_tc.c:747``"""
    if one.where is None:
        return f"{one.function}{unplaced(one)}"
    return f"{one.function} {'at' if one.exact else 'begins at'} {one.where}"


def unplaced(one: Frame) -> str:
    """What is known of a function without a place: `` of vnode_if.c, which the tree has not``."""
    file = one.path.rsplit("/", 1)[-1]
    return f" of {file}, which the tree has not" if file else ", of no known file"


def more(sourced: Sourced, one: Frame, told: Set[str | Where] = frozenset()) -> Iterator[str]:
    """Why its file is compiled, and the last change of its line, as far as they are known.

    Of the files and lines in ``told`` that was said before.
    """
    if one.where is None:
        return
    file = sourced.file(one.where.file)
    if file is not None and file.file not in told and condition(file):
        yield condition(file)
    last = sourced.changes.get(one.where)
    if last is not None and one.where not in told:
        yield changed(last)


def beside(sourced: Sourced, one: Frame) -> Iterator[str]:
    """What stands beside a place where a table has the reasons of all files: the last change, and
    that its file is not compiled, which no running kernel's should be.
    """
    if one.where is None:
        return
    file, last = sourced.file(one.where.file), sourced.changes.get(one.where)
    if file is not None and file.compiled is False:
        yield condition(file)
    if last is not None:
        yield changed(last)


def condition(file: File) -> str:
    """``compiled by sys/conf/files.x86:379 (optional kvm_clock | xenhvm)``"""
    if file.compiled is None or not file.lines:
        return ""
    where, words = file.lines[0][0], _without_name(file)
    if not file.compiled:
        return f"NOT compiled by this configuration: {words}" + (f" ({where})" if where else "")
    return f"compiled by {where} ({words})" if where else f"compiled: {words}"


def _without_name(file: File) -> str:
    """What the deciding line says, after the file's own name."""
    words = file.lines[0][1].split()
    own = next((n for n, word in enumerate(words) if word and file.file.endswith(word)), None)
    return " ".join(words if own is None else words[own + 1 :]) or "always"


def changed(last: Last) -> str:
    """``changed 2024-12-01 by Ada, 25af4ef01234, since v1.0``"""
    if not last.revision:
        return last.subject
    revision = last.revision[:12] if len(last.revision) >= 40 else last.revision
    since = f", in {last.release}" if last.release else ""
    return f"changed {last.day} by {last.author}, {revision}{since}"


def subject(sourced: Sourced) -> str:
    """What was joined with: ``/usr/src (freebsd), configuration FIRECRACKER``."""
    config = f", configuration {sourced.config}" if sourced.config else ""
    return f"{sourced.tree} ({sourced.system}){config}"


def item(one: Item) -> str:
    """What an item is: ``clock LAPIC``."""
    return f"{KINDS[one.kind]} {one.name}"
