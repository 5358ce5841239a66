"""``timehands source TREE log PATH``: the history of a file or a folder, by whom, when, with what
word; with lines changed or patches, and since which release.

``--json`` prints ``schema`` (1), ``path``, ``way`` (how the history was read), ``complaints`` (what
the answer lacks), ``changes``: each with ``revision``, ``author``, ``email``, ``date``,
``committed``, ``subject``, ``body``, ``path``, ``former``, ``kind``, ``cut``, ``release``
(``name``, ``how``) or null, and with ``--stat`` and ``--patch`` also ``stat`` and ``patch``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.document import Block, Document
    from timehands.sources.history.history import Change, History
    from timehands.sources.history.model import Stat
    from timehands.sources.tree import SourceTree

JSON_SCHEMA = 1
LIMIT = 20
#: A patch of more lines is cut in text and HTML, not in JSON.
_MOST_PATCH = 2000


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "log",
        help="the history of a file or a folder, and since which release each change is",
        description="The changes of a file or a folder, the newest first, also under the names "
        "that it had before; from a git repository, or from a log that was pasted out of a "
        "repository browser.",
    )
    parser.add_argument("path", nargs="?", default="", help="a file or a folder of the tree")
    group = parser.add_argument_group("which changes")
    add_ = group.add_argument
    add_("--author", default="", metavar="WHO", help="by authors with this in name or address")
    add_("--since", metavar="DATE", help="from 2024, 2024-11 or 2024-11-21 on")
    add_("--until", metavar="DATE", help="to the end of that year, month or day")
    add_("--word", default="", help="with this in the message")
    add_("--limit", type=int, default=LIMIT, metavar="N", help=f"at most so many ({LIMIT}); 0: all")
    add_("--no-follow", action="store_true", help="not under the names that the file had before")
    group = parser.add_argument_group("what of them")
    group.add_argument("--stat", action="store_true", help="how many lines each changed")
    group.add_argument("--patch", action="store_true", help="what each changed")
    group.add_argument(
        "--no-release", action="store_true", help="do not ask since which release each is"
    )
    add_where(parser)
    parser.add_argument(
        "--pasted",
        type=Path,
        metavar="FILE",
        help="a log pasted from GitHub, cgit, cvsweb, ViewVC or OpenGrok, or of git, cvs, svn log",
    )
    add_show_options(parser)
    parser.set_defaults(run=run)


def add_where(parser: argparse.ArgumentParser) -> None:
    """The options that say where the history is."""
    group = parser.add_argument_group("where from")
    group.add_argument(
        "--git", type=Path, metavar="DIR", help="the repository, where the tree is not in it"
    )
    group.add_argument("--revision", default="HEAD", metavar="REV", help="begin there (HEAD)")


def run(options: argparse.Namespace) -> int:
    """Print the log; 1 when there is no such change. Raises `SourcesError`, `UsageError`."""
    from timehands.cli.source_show import show
    from timehands.errors import UsageError

    if options.limit < 0:
        raise UsageError(f"--limit {options.limit} is less than none", advice="0 shows all.")
    told = _pasted(options) if options.pasted else _told(options)
    show(options, _document(told, options), _json(told))
    return 0 if told["rows"] else 1


def _told(options: argparse.Namespace) -> dict[str, Any]:
    """The changes with all that was asked of each."""
    from timehands.sources.history.filters import day
    from timehands.sources.tree import SourceTree

    tree = SourceTree.open(options.tree)
    path = tree.meant(options.path) if options.path else ""
    with open_history(options, tree) as history:
        changes = history.log(
            path,
            author=options.author,
            since=day(options.since) if options.since else None,
            until=day(options.until, end=True) if options.until else None,
            word=options.word,
            limit=options.limit or None,
            follow=not options.no_follow,
        )
        rows = [_row(history, change, options) for change in changes]
        none = "" if rows else _nothing(tree, path, options)
        told = {"path": path, "way": history.way, "rows": rows, "none": none}
        return {**told, "complaints": history.complaints}


def _nothing(tree: SourceTree, path: str, options: argparse.Namespace) -> str:
    """Why there is no change to tell, in words."""
    if options.author or options.since or options.until or options.word or not path:
        return "No such change."
    if tree.exists(path):
        return f"The tree has {path}, and the history from {options.revision} on has it not."
    near = ", ".join(tree.named(path))
    return f"Neither the history nor the tree has {path}." + (f" Perhaps {near}." if near else "")


def open_history(options: argparse.Namespace, tree: SourceTree) -> History:
    """The history that was named. Raises `HistoryUnavailable`."""
    from timehands.sources.history.history import History

    return History.open(tree, git_dir=options.git, revision=options.revision)


def _row(history: History, change: Change, options: argparse.Namespace) -> dict[str, Any]:
    release = None if options.no_release else history.first_release(change.revision)
    return {
        "change": change,
        "release": release,
        "stat": history.stat(change) if options.stat else None,
        "patch": history.patch(change) if options.patch else None,
    }


def _pasted(options: argparse.Namespace) -> dict[str, Any]:
    from timehands.errors import UsageError
    from timehands.sources.history.filters import Wanted, day
    from timehands.sources.history.pasted import read_pasted

    if options.patch:
        raise UsageError("a pasted log has no patches", advice="Leave --patch out.")
    wanted = Wanted(
        options.author,
        day(options.since) if options.since else None,
        day(options.until, end=True) if options.until else None,
        options.word,
    )
    pasted = read_pasted(options.pasted)
    changes = [one for one in pasted.changes if wanted.matches(one)]
    rows = [
        {"change": one, "release": None, "stat": _told_stat(one) if options.stat else None,
         "patch": None}
        for one in changes[: options.limit or None]
    ]  # fmt: skip
    told = {"path": options.path, "way": f"pasted: {pasted.form}", "rows": rows}
    return {**told, "complaints": list(pasted.complaints)}


def _told_stat(change: Change) -> list[Stat]:
    from timehands.sources.history.model import Stat

    return [Stat(change.path, *change.told)] if change.told else []


# ---- shown


def _document(told: dict[str, Any], options: argparse.Namespace) -> Document:
    from timehands.sources.document import Document, Words, partial

    name = told["path"] or (options.pasted.name if options.pasted else "the whole tree")
    blocks: list[Block] = []
    for row in told["rows"]:
        blocks += _blocks(row)
    if not blocks:
        blocks.append(Words(told.get("none") or "No such change.", "bad"))
    said = f"{len(told['rows'])} changes" if len(told["rows"]) != 1 else "1 change"
    more = ", there may be more" if options.limit and len(told["rows"]) == options.limit else ""
    blocks.append(Words(f"{said}{more}; by {told['way']}", "dim"))
    return Document(f"History of {name}", tuple(blocks), partial(told["complaints"]))


def _blocks(row: dict[str, Any]) -> Iterator[Block]:
    from timehands.sources.document import Preformatted, Words

    change: Change = row["change"]
    head = [change.short or "(no revision told)", change.day, change.author]
    yield Words("  ".join(filter(None, head)) + _since(row), "bold")
    yield Words(change.subject, indent=4)
    if change.former:
        yield Words(f"renamed from {change.former}", "dim", 4)
    if change.cut:
        yield Words("older changes are not in this repository", "doubt", 4)
    if row["stat"]:
        yield from (Words(stat_words(one), "dim", 4) for one in row["stat"])
    if row["patch"] is not None:
        yield from (Words(line, "dim", 4) for line in change.body.splitlines())
    if row["patch"]:
        lines = tuple(row["patch"][:_MOST_PATCH])
        left = len(row["patch"]) - len(lines)
        yield Preformatted((*lines, f"... and {left} lines more") if left > 0 else lines)


def _since(row: dict[str, Any]) -> str:
    release = row["release"]
    if release is None:
        return ""
    return f"  since {release}" if release.how == "tag" else f"  in the time of {release}"


def stat_words(stat: Stat) -> str:
    """``sys/x86/x86/tsc.c | +12 -3``"""
    if stat.added is None or stat.removed is None:
        return f"{stat.path} | binary"
    return f"{stat.path} | +{stat.added} -{stat.removed}".removeprefix(" | ")


def _json(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": JSON_SCHEMA,
        "path": told["path"],
        "way": told["way"],
        "complaints": told["complaints"],
        "changes": [_json_row(row) for row in told["rows"]],
    }


def _json_row(row: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    data = change_json(row["change"], row["release"])
    if row["stat"] is not None:
        data["stat"] = [asdict(one) for one in row["stat"]]
    if row["patch"] is not None:
        data["patch"] = row["patch"]
    return data


def change_json(change: Change, release: Any) -> dict[str, Any]:
    """A change as JSON types."""
    from dataclasses import asdict

    return {
        "revision": change.revision,
        "author": change.author,
        "email": change.email,
        "date": change.date.isoformat() if change.date else None,
        "committed": change.committed.isoformat() if change.committed else None,
        "subject": change.subject,
        "body": change.body,
        "path": change.path,
        "former": change.former,
        "kind": change.kind.value,
        "cut": change.cut,
        "release": asdict(release) if release else None,
    }
