"""``timehands source TREE why FILE --config NAME``: is a file compiled, and by which lines.

``--json`` prints one object: ``schema`` (1), ``kernel``, ``files`` (each with ``file``,
``compiled`` (null where the configuration does not decide it), ``note`` and ``rules``: ``where``,
``text``, ``condition``, ``holds``, ``chain``, ``changes``; and ``modules``, the lines that put it
into a loadable module instead) and ``complaints``; with ``--recording``
also ``recording``: ``functions`` (each with ``function``, ``file``, ``line``, ``ran``, ``entries``,
``seen``, ``note``) and ``complaints``. The exit status is 1 when a single file
was asked for and is not compiled.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.sources.document import Document
    from timehands.sources.tree import SourceTree


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.source_recording import add_recording_options
    from timehands.cli.source_show import add_show_options

    parser = subparsers.add_parser(
        "why",
        help="why a file is compiled into a kernel, or what would have to change",
        description="Says whether a file is compiled into a kernel, by which line of the tree, and "
        "through which options, devices and includes; or what would put it there.",
    )
    parser.add_argument("file", metavar="FILE", help="a file of the tree, or a folder")
    add_config_options(parser)
    add_recording_options(parser)
    add_show_options(parser)
    parser.set_defaults(run=run)


def add_config_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The options that name a configuration."""
    parser.add_argument(
        "--config",
        required=required,
        metavar="NAME",
        help="the kernel's configuration: GENERIC, or its file (Linux: a .config)",
    )
    parser.add_argument("--arch", default="amd64", help="the architecture (default amd64)")


def run(options: argparse.Namespace) -> int:
    """Print the answer. Raises `ConfigurationUnknown`, `TreeUnusable`."""
    from timehands.cli.source_show import opened, resolved, show
    from timehands.sources.config import asking, pages, plain

    tree = opened(options)
    configuration = resolved(tree, options.config, options.arch)
    asked, answers = asking.why(tree, configuration, options.file)
    if len(answers) == 1:
        document = pages.why_page(configuration, answers[0])
    else:
        document = pages.files_page(configuration, asked, answers)
    data = plain.why(configuration, answers)
    if options.recording:
        document, data = _with_recording(tree, asked, options, document, data)
    show(options, document, data, linked=tree, own=configuration.source)
    return 0 if len(answers) != 1 or answers[0].compiled else 1


def _with_recording(
    tree: SourceTree,
    file: str,
    options: argparse.Namespace,
    document: Document,
    data: dict[str, Any],
) -> tuple[Document, dict[str, Any]]:
    """The same, with what ran in a recording."""
    from dataclasses import replace

    from timehands.cli.source_recording import blocks, look, reached_in

    found = reached_in(look(tree, options), tree, file)
    below = blocks(found, options.recording)
    whole = replace(document, blocks=(*document.blocks, *below))
    return whole, {**data, "recording": found.to_json()}
