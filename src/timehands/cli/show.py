"""Showing a report: on the terminal, as JSON, as HTML; and the work's progress meanwhile."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.boot import Booted


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how a report is shown."""
    group = parser.add_argument_group("the report")
    group.add_argument(
        "--json", action="store_true", help="print the report as JSON (docs/schema.md)"
    )
    told = group.add_mutually_exclusive_group()
    told.add_argument(
        "--clocks",
        action="store_true",
        help="how the kernel came to its clocks, step by step, and nothing else",
    )
    told.add_argument("--all", action="store_true", help="leave nothing out")
    group.add_argument(
        "--html", type=Path, metavar="FILE", help="write the report as one HTML file"
    )


def show(booted: Booted, args: argparse.Namespace) -> None:
    """Write the report in every form that was asked for. Raises `UsageError`."""
    if args.html:
        from timehands.reports import html

        write_page(args.html, html.render(booted.report, booted.recording))
    if args.json:
        from timehands.reports.json_report import to_json

        print(json.dumps(to_json(booted.report), indent=2))
        return
    from timehands.reports.surface import Surface
    from timehands.reports.terminal import Detail, render

    detail = Detail.ALL if args.all else Detail.CLOCKS if args.clocks else Detail.SHORT
    surface = Surface.of(sys.stdout)
    text = render(
        booted.report,
        width=surface.width,
        color=surface.color,
        unicode=surface.unicode,
        detail=detail,
    )
    print(text, end="")


def status_of(booted: Booted) -> int:
    """The exit status: 0 when the boot came to init, or to the boundary that was asked for.

    A kernel that panicked may wait in its debugger: a boundary too, and no success.
    """
    from timehands.story.model import OutcomeKind

    kind = booted.report.story.outcome.kind
    asked = booted.recording.header.ended_reason == "boundary" and kind is OutcomeKind.STOPPED
    return 0 if asked or kind is OutcomeKind.INIT_REACHED else 1


def write_page(path: Path, text: str) -> None:
    """Write a page to a file. Raises `UsageError`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


class ProgressLine:
    """What is being done, on standard error: one line that is rewritten on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show this stage instead of the one before."""
        if self._quiet:
            return
        line = f"[{time.monotonic() - self._started:5.1f} s] {text}"
        if self._on_terminal:
            print(f"\r\x1b[K{line[:99]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._on_terminal and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
