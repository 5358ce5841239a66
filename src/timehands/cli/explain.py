"""``timehands explain CODE``: a page on a finding."""

from __future__ import annotations

import argparse
import json
import sys

from timehands.findings.catalogue import CATALOGUE, Entry, entry
from timehands.reports.plain import ascii_only
from timehands.reports.surface import Surface


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "explain",
        help="explain a finding: what it means, how it shows, why it happens, how to mend it",
        description="Explain a finding. Without a code, list all of them.",
    )
    parser.add_argument("code", nargs="?", metavar="CODE", help="a finding's code, such as TH101")
    parser.add_argument("--json", action="store_true", help="print {code, title, page} as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the page of ``args.code``, or the list of all codes. Returns 0.

    Raises `UsageError` when there is no such code.
    """
    chosen = [entry(args.code)] if args.code else list(CATALOGUE.values())
    if args.json:
        print(_as_json(chosen, one=bool(args.code)))
    elif args.code:
        print(_page(chosen[0], Surface.of(sys.stdout)), end="")
    else:
        print(_list(chosen))
    return 0


def _as_json(entries: list[Entry], *, one: bool) -> str:
    rows = [{"code": e.code, "title": e.title, "page": e.page} for e in entries]
    return json.dumps(rows[0] if one else rows, indent=2)


def _list(entries: list[Entry]) -> str:
    return "\n".join(f"{entry.code}  {entry.title}" for entry in entries)


def _page(found: Entry, surface: Surface) -> str:
    """The page: rendered on a terminal with colours, else the Markdown as it is."""
    text = found.page if surface.unicode else ascii_only(found.page)
    if not surface.color:
        return text
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=surface.width, force_terminal=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(Markdown(text))
    return capture.get()
