"""``timehands report DIR``: tell a recording again, without the guest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.cli.report_source import add_source_options, with_source
from timehands.cli.show import add_report_options, show, status_of, write_page
from timehands.errors import RecordingDamaged, UsageError

if TYPE_CHECKING:
    from timehands.boot import Booted


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "report",
        help="show the report of a recording again",
        description="Opens a recording that timehands boot made, and shows its report. Neither the "
        "guest nor the kernel file is needed, but for --source. Exit status as for timehands boot.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the recording's folder")
    add_report_options(parser)
    add_source_options(parser)
    group = parser.add_argument_group("the kernel's own log of its boot (TSLOG)")
    group.add_argument("--flame", type=Path, metavar="FILE", help="write it as a flame chart (SVG)")
    group.add_argument(
        "--tslog",
        type=Path,
        metavar="FILE",
        help="write it as sysctl -b debug.tslog prints it, for scripts that make flame graphs",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open and show. Raises `RecordingError`, `SourcesError`, `UsageError`."""
    from timehands.boot import open_recording, with_proof
    from timehands.prove import load_proof

    booted = open_recording(args.folder)
    _write_log(booted, args)
    proof = load_proof(booted.recording)
    show(with_source(with_proof(booted, proof) if proof else booted, args), args)
    return status_of(booted)


def _write_log(booted: Booted, args: argparse.Namespace) -> None:
    """The kernel's own log in the forms that were asked for."""
    if args.flame is not None:
        _write_flame(booted, args.flame)
    if args.tslog is not None:
        _write_text(booted, args.tslog)


def _write_flame(booted: Booted, path: Path) -> None:
    from timehands.reports import flame
    from timehands.reports.words import kernel

    report = booted.report
    if not report.story.tslog:
        raise _no_times(booted) if isinstance(_kept(booted), dict) else _no_log(booted)
    write_page(path, flame.svg(report.story.tslog, kernel(report.kernel)))


def _write_text(booted: Booted, path: Path) -> None:
    from timehands.guests.tslog import Tslog, to_text

    kept = _kept(booted)
    if not isinstance(kept, dict):
        raise _no_log(booted)
    try:
        text = to_text(Tslog.from_json(kept))
    except (ValueError, KeyError, TypeError) as error:
        folder = booted.recording.folder
        raise RecordingDamaged("the kernel's log (TSLOG) makes no sense", path=folder) from error
    write_page(path, text)


def _kept(booted: Booted) -> object:
    return booted.recording.looked.get("tslog")


def _no_times(booted: Booted) -> UsageError:
    return UsageError(
        f"{booted.recording.folder} has a log in TSC ticks, and nothing tells how fast that TSC is",
        advice="Boot it without --no-survey, which measures it; --tslog writes the ticks.",
    )


def _no_log(booted: Booted) -> UsageError:
    return UsageError(
        f"{booted.recording.folder} has no log of the kernel's own",
        advice="FreeBSD and NetBSD keep one when they are built with options TSLOG.",
    )
