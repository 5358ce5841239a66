"""``timehands report DIR``: tell a recording again, without the guest."""

from __future__ import annotations

import argparse
from pathlib import Path

from timehands.cli.show import add_report_options, show, status_of


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "report",
        help="show the report of a recording again",
        description="Opens a recording that timehands boot made, and shows its report. Neither the "
        "guest nor the kernel file is needed. Exit status as for timehands boot.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the recording's folder")
    add_report_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open and show. Raises `RecordingError`."""
    from timehands.boot import open_recording, with_proof
    from timehands.prove import load_proof

    booted = open_recording(args.folder)
    proof = load_proof(booted.recording)
    show(with_proof(booted, proof) if proof else booted, args)
    return status_of(booted)
