"""``timehands pvclock``: the paravirtual clock of KVM and Xen, by one file for each subverb."""

from __future__ import annotations

import argparse
import importlib

#: The modules of the subverbs, in the order of the help; each has `add_parser`, as a verb's has.
SUBVERBS = (
    "pvclock_decode",
    "pvclock_scale",
    "pvclock_check",
    "pvclock_simulate",
    "pvclock_explore",
)  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its subverbs to the command's parser."""
    parser = subparsers.add_parser(
        "pvclock",
        help="read, check and work out pvclock, the clock that KVM and Xen give to guests",
        description="All about pvclock, the clock that KVM and Xen give to guests.",
    )
    subverbs = parser.add_subparsers(dest="subverb", required=True, metavar="SUBVERB")
    for name in SUBVERBS:
        importlib.import_module(f"timehands.cli.{name}").add_parser(subverbs)
