"""``timehands source TREE blame FILE:LINE``: who last changed a line, when, why, since when.

``--json`` prints ``schema`` (1), ``file``, ``line``, ``text``, ``change`` (as ``log`` does, or null
for a line that is not committed), ``then`` (``path`` and ``line`` in that change), ``way``,
``complaints``.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.document import Document
    from timehands.sources.history.history import Blamed

JSON_SCHEMA = 1


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_log import add_where
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "blame",
        help="who last changed a line: for a frame of a backtrace",
        description="Who last changed a line of a file as it is in the tree, when, with what "
        "words, and since which release.",
    )
    parser.add_argument("place", metavar="FILE:LINE", help="as sys/x86/x86/tsc.c:123")
    add_where(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print it. Raises `SourcesError`, `UsageError`."""
    from timehands.cli.source_log import change_json, open_history
    from timehands.cli.source_show import show
    from timehands.sources.document import partial
    from timehands.sources.tree import SourceTree

    file, line = parse_place(options.place)
    tree = SourceTree.open(options.tree)
    file = tree.meant(file)
    with open_history(options, tree) as history:
        found = history.blame(file, line)
        release = history.first_release(found.change.revision) if found.change else None
        way, complaints = history.way, history.complaints
    data = {
        "schema": JSON_SCHEMA,
        "file": file,
        "line": line,
        "text": found.text,
        "change": change_json(found.change, release) if found.change else None,
        "then": {"path": found.path, "line": found.line} if found.change else None,
        "way": way,
        "complaints": complaints,
    }
    show(options, _document(file, line, found, release, partial(complaints)), data)
    return 0


def parse_place(text: str) -> tuple[str, int]:
    """A file and a line. Raises `UsageError`."""
    from timehands.errors import UsageError

    file, _, line = text.rpartition(":")
    if not file or not line.isdecimal() or len(line) > 9:
        raise UsageError(f"{text!r} is no place", advice="A place is as sys/x86/x86/tsc.c:123.")
    return file, int(line)


def _document(file: str, line: int, found: Blamed, release: Any, lacks: str) -> Document:
    from timehands.sources.document import Document, Preformatted, Rows, Words
    from timehands.sources.where import Where

    where = Where(file, line)
    text = Preformatted((found.text,), where)
    change = found.change
    if change is None:
        return Document(str(where), (text, Words("This line is not committed.")), lacks)
    rows = [
        ("changed by", f"{change.author} <{change.email}>"),
        ("on", change.day),
        ("in", change.revision),
    ]
    if release is not None:
        rows.append(("since" if release.how == "tag" else "at the time of", release.name))
    if (found.path, found.line) != (file, line):
        rows.append(("it was then", f"{found.path}:{found.line}"))
    words = [Words(change.subject, "bold")]
    words += [Words(one, indent=4) for one in change.body.splitlines()[:40]]
    return Document(str(where), (text, Rows(tuple(rows)), *words), lacks)
