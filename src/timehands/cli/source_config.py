"""``timehands source TREE config NAME [WORD ...]``: a kernel's configuration, and comparing two.

``--json`` prints one object: ``schema`` (1), ``kernel``, ``settings`` (``kind``, ``name``,
``value``, ``state``, ``on``, ``chain``), ``files`` (how many are compiled), ``complaints``; with
``--diff``:
``a``, ``b``, ``settings`` (both sides, null where one never heard of it), ``same``, ``meanings``,
``files_only_a``, ``files_only_b``, ``complaints``.
"""

from __future__ import annotations

import argparse


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "config",
        help="a kernel's configuration: where each option was set; or how two differ",
        description="Resolves a kernel's configuration: each option with where it was set, "
        "overridden or removed. With --diff: how two kernels' configurations differ, of one system "
        "or of two.",
    )
    parser.add_argument("name", metavar="NAME", help="GENERIC, or its file (Linux: a .config)")
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="WORD",
        help="only settings with one of these in their names",
    )
    parser.add_argument("--arch", default="amd64", help="the architecture (default amd64)")
    parser.add_argument("--diff", metavar="NAME", help="compare with this configuration")
    parser.add_argument(
        "--diff-tree", metavar="TREE", help="the other configuration's tree, if it is another"
    )
    parser.add_argument("--diff-arch", help="the other's architecture, if it is another")
    add_show_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the answer. Raises `ConfigurationUnknown`, `TreeUnusable`, `UsageError`."""
    from timehands.cli.source_show import opened, resolved, show
    from timehands.errors import UsageError
    from timehands.sources.config import compare, pages, plain
    from timehands.sources.tree import SourceTree

    if options.diff_tree and not options.diff:
        raise UsageError("--diff-tree names no configuration", advice="Give --diff NAME, too.")
    if options.diff and options.words:
        raise UsageError(
            f"{' '.join(options.words)}: a difference is shown whole",
            advice="Without --diff they choose settings.",
        )
    tree = opened(options)
    one = resolved(tree, options.name, options.arch)
    if options.diff:
        other_tree = SourceTree.open(options.diff_tree) if options.diff_tree else tree
        other = resolved(other_tree, options.diff, options.diff_arch or options.arch)
        difference = compare(one, other)
        # Places of two trees cannot be told from each other: they are no links.
        linked = None if options.diff_tree else tree
        document = pages.difference_page(difference)
        show(options, document, plain.difference(difference), linked=linked)
        return 0
    shown = [found for found in one.settings.values() if pages.matches(found, options.words)]
    document = pages.configuration_page(one, options.words)
    show(options, document, plain.configuration(one, shown), linked=tree, own=one.source)
    return 0
