"""``timehands source TREE``: a kernel's source tree, by one file for each subverb.

The module of a subverb has ``add(subparsers)``, which sets ``run`` to its ``run(options) -> int``.
It imports what it works with when it runs.
"""

from __future__ import annotations

import argparse
import importlib

#: The modules of the subverbs, in the order of the help.
SUBVERBS = (
    "source_why",
    "source_config",
    "source_find",
    "source_path",
    "source_clocks",
    "source_log",
    "source_blame",
    "source_pages",
)  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its subverbs to the command's parser."""
    parser = subparsers.add_parser(
        "source",
        help="ask a kernel's source tree: why a file is compiled, who calls what, since when",
        description="Answers questions about the source tree of FreeBSD, NetBSD, OpenBSD or Linux: "
        "its configuration, its cross reference, its history.",
    )
    parser.add_argument("tree", metavar="TREE", help="the source tree (/usr/src, or its sys/)")
    subverbs = parser.add_subparsers(dest="subverb", required=True, metavar="SUBVERB")
    for name in SUBVERBS:
        importlib.import_module(f"timehands.cli.{name}").add(subverbs)
