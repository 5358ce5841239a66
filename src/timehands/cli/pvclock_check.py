"""``timehands pvclock check``: what is wrong with a pvclock page, or with pages over time.

A file whose first character is ``{`` is a log of samples, one JSON object a line
(`timehands.clocks.pvclock.history`); anything else is a page, as ``decode`` takes it. Several files
are pages of one vCPU in the order of time. Exit status 1 when there is more than notes. ``--json``
prints for a page what ``decode --json`` prints, for a log or several pages one object: ``schema``
(1), ``source``, ``samples``, ``pages``, ``rate_ppb`` (the guest's clock against the host's, or
null), ``verdicts``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.clocks.pvclock.history import History

JSON_SCHEMA = 1
#: A line of a log that is longer is no sample.
MAX_LINE = 4096
_TROUBLE = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    from timehands.cli.pvclock_decode import add_page_options

    parser = subparsers.add_parser(
        "check",
        help="say what is wrong with a page, or with a log of samples over time",
        description="Says what is wrong with a pvclock page, with codes, and what it means to "
        "which guest. A log of samples (one JSON object a line: tsc, page, and if known host_ns, "
        "vcpu) also shows versions, steps and rates that a single page cannot. Exit status 1 when "
        "there is more than notes.",
    )
    parser.add_argument(
        "file",
        nargs="+",
        help="a page (binary or a dump), or a log of samples; - is stdin; several files are pages "
        "of one vCPU in the order of time",
    )
    add_page_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print verdicts; 1 when something is wrong. Raises `UsageError`."""
    from timehands.cli.pvclock_input import opened

    if len(args.file) > 1:
        return _check_pages(args)
    with opened(args.file[0], args.offset) as file:
        if file.peek().lstrip()[:1] == b"{" and not args.raw:
            return _check_log(file, args)
        return _check_page(file, args)


def _check_page(file: BufferedReader, args: argparse.Namespace) -> int:
    from timehands.cli.pvclock_decode import print_subject, subject_of
    from timehands.cli.pvclock_input import read_bytes
    from timehands.clocks.pvclock.verdicts import is_wrong

    subject = subject_of(read_bytes(file, raw=args.raw), args.file[0], args)
    print_subject(subject, args.json)
    return _TROUBLE if is_wrong(subject.verdicts) else 0


def _check_log(file: BufferedReader, args: argparse.Namespace) -> int:
    from timehands.clocks.pvclock.history import check_history, parse_samples

    return _print_history(check_history(parse_samples(_lines(file))), args)


def _check_pages(args: argparse.Namespace) -> int:
    from timehands.clocks.pvclock.history import check_history, page_sample
    from timehands.errors import UsageError

    if args.xen or args.wall_clock or args.tsc is not None:
        raise UsageError("--tsc, --wall-clock and --xen are for a single file")
    pages = enumerate(_pages(args), 1)
    return _print_history(check_history(page_sample(page, at) for at, page in pages), args)


def _pages(args: argparse.Namespace) -> Iterator[bytes]:
    from timehands.cli.pvclock_input import opened, read_bytes

    for name in args.file:
        with opened(name, args.offset) as file:
            yield read_bytes(file, raw=args.raw)


def _print_history(history: History, args: argparse.Namespace) -> int:
    from timehands.clocks.pvclock.verdicts import is_wrong

    source = args.file[0] if len(args.file) == 1 else f"{len(args.file)} pages"
    if args.json:
        print(json.dumps(_json(source, history), indent=2, ensure_ascii=False))
    else:
        print("\n".join(page(source, history)))
    return _TROUBLE if is_wrong(history.verdicts) else 0


def _lines(file: BufferedReader) -> Iterator[str]:
    """The lines of a log, of any length of log; of a line that is too long only its beginning."""
    whole = True
    while line := file.readline(MAX_LINE):
        if whole:
            yield line.decode("utf-8", "replace")
        whole = line.endswith(b"\n")


def _json(source: str, history: History) -> dict[str, object]:
    return {
        "schema": JSON_SCHEMA,
        "source": source,
        "samples": history.samples,
        "pages": history.pages,
        "rate_ppb": history.rate_ppb,
        "verdicts": [verdict.to_json() for verdict in history.verdicts],
    }


def page(source: str, history: History) -> Iterator[str]:
    """The lines for a terminal."""
    from timehands.cli.pvclock_rows import row, verdict_rows

    yield from row("pvclock of", source)
    yield from row("samples", f"{history.samples:,} of {history.pages:,} different pages")
    if history.rate_ppb is not None:
        yield from row("rate", f"{history.rate_ppb:+,} ppb against the host's clock")
    if history.verdicts:
        yield ""
        yield from verdict_rows(history.verdicts)
    else:
        yield from row("", "nothing to be said against it")
