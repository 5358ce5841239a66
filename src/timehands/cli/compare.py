"""``timehands compare A B``: how two boots found their clocks, side by side."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.cli.boot import words_of
from timehands.cli.machine_options import add_machine_options, machine_from
from timehands.cli.show import ProgressLine, write_page
from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.boot import Booted, Request
    from timehands.machines.survey import Survey
    from timehands.reports.compare import Comparison


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "compare",
        help="show side by side how two boots found their clocks",
        description="Shows two clock discoveries side by side: of two systems on the same machine, "
        "or of one kernel before and after a change. A and B are recordings (folders that "
        "timehands boot made) or kernels, which are booted on the same machine first. Exit status "
        "0: compared, whether they differ or not; 2: could not be compared.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help="a recording, or a kernel")
    _add_run_options(parser)
    add_machine_options(parser)
    group = parser.add_argument_group("the comparison")
    group.add_argument("--json", action="store_true", help="print it as JSON (docs/compare.md)")
    group.add_argument("--html", type=Path, metavar="FILE", help="write it as one HTML file")
    parser.set_defaults(run=run)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("kernels that are booted").add_argument
    for name in ("a", "b"):
        side = name.upper()
        add(f"--append-{name}", metavar="ARGS", default="", help=f"kernel arguments for {side}")
        add(
            f"--patch-{name}",
            action="append",
            default=[],
            metavar="WORDS",
            help=f"patch of {side}'s data, as for timehands boot --patch",
        )
    add("--timeout", type=float, default=60.0, metavar="S", help="end each after so many seconds")
    add("--qemu", type=Path, metavar="FILE", help="the QEMU to use ($TIMEHANDS_QEMU, or PATH)")
    add("--quiet", "-q", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Open or boot both, and show. Raises every `TimehandsError`."""
    from timehands.reports.compare import Side, compare

    if not args.timeout > 0:
        raise UsageError(f"a timeout of {args.timeout:g} s leaves no time to boot")
    with ProgressLine(quiet=args.quiet) as progress:
        first = _side(args, "a", None, progress)
        second = _side(args, "b", first, progress)
    sides = (Side(booted.report, booted.recording) for booted in (first, second))
    _show(compare(*sides), args)
    return 0


def _side(
    args: argparse.Namespace, name: str, other: Booted | None, progress: ProgressLine
) -> Booted:
    """A recording opened, or a kernel booted; the machine is surveyed once for both."""
    from timehands.boot import boot, open_recording, prepare, ready_payloads

    path: Path = getattr(args, name)
    if path.is_dir():
        _refuse_options(args, name)
        return open_recording(path)
    request = _request(args, name)
    surveyed: Survey | None = None
    if other is not None and other.report.machine == request.machine:
        surveyed = other.report.survey
    prepared = prepare(request)
    ready_payloads(prepared)
    return asyncio.run(boot(prepared, surveyed=surveyed, progress=progress))


def _refuse_options(args: argparse.Namespace, name: str) -> None:
    given = [
        f"--{option}-{name}" for option in ("append", "patch") if getattr(args, f"{option}_{name}")
    ]
    if given:
        raise UsageError(
            f"{getattr(args, name)} is a recording: {', '.join(given)} cannot change it"
        )


def _request(args: argparse.Namespace, name: str) -> Request:
    from timehands.boot import Request

    return Request(
        kernel=getattr(args, name),
        machine=machine_from(args),
        arguments=words_of(getattr(args, f"append_{name}")),
        timeout_s=args.timeout,
        qemu=args.qemu,
        patches=tuple(getattr(args, f"patch_{name}")),
    )


def _show(comparison: Comparison, args: argparse.Namespace) -> None:
    if args.html:
        from timehands.reports import compare_html

        write_page(args.html, compare_html.render(comparison))
    if args.json:
        from timehands.reports import compare_json

        print(json.dumps(compare_json.to_json(comparison), indent=2))
        return
    from timehands.reports.compare_terminal import render
    from timehands.reports.surface import Surface

    surface = Surface.of(sys.stdout)
    text = render(comparison, width=surface.width, color=surface.color, unicode=surface.unicode)
    print(text, end="")
