"""``timehands restore FOLDER``: go on with a guest of the monitor from a snapshot of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.cli.run_monitor import add_keeping, kept_from, run_to_end

if TYPE_CHECKING:
    from timehands.monitor.microvm import Microvm


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "restore",
        help="go on with a guest of the monitor from a snapshot of it",
        description="Goes on with a guest of our own monitor from the folder that run "
        "--snapshot-after made, with its console on this terminal: Ctrl-A X ends it. A host that "
        "lacks what the guest needs is refused with the reason. The folder stays as it is. Exit "
        "status: as of run.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the snapshot")
    parser.add_argument(
        "--pause",
        choices=("monotonic", "wall"),
        help="what pvclock does about the time in between: go on from where it stood, or catch up "
        "(else as the guest was made)",
    )
    add_keeping(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Restore and run. Raises `SnapshotError`, `HostError`, `MachineError`."""
    from timehands.monitor.settings import Policy
    from timehands.monitor.snapshot import restore

    policy = Policy(args.pause) if args.pause else None

    def make(console: Callable[[bytes], None]) -> Microvm:
        return restore(args.folder, console=console, policy=policy)

    return run_to_end(make, kept_from(args), str)
