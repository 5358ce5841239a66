"""The command ``timehands``: one verb, its options, an exit status.

Exit status: 0 the work was done (for ``boot``: init was reached, or the boundary asked for); 1 it
was done and shows trouble (init was not reached, something is lacking); 2 it could not be done, or
was asked for wrongly; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from timehands import __version__
from timehands.errors import TimehandsError

#: One file for each verb; this is their order in the help.
VERBS = (
    "boot", "debug", "run", "restore", "report", "compare", "explain", "kernel", "source", "cpuid",
    "pvclock", "conform", "doctor",
)  # fmt: skip
FAILED = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Errors of ours become a message on standard error and status 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    args = _parser(words).parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except TimehandsError as error:
        print(f"timehands: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        _say("timehands: interrupted")
        _mute_what_is_closed()
        return INTERRUPTED
    except BrokenPipeError:
        _mute_what_is_closed()
        return FAILED
    except OSError as error:
        _say(f"timehands: {error.filename or 'the output'}: {error.strerror or error}")
        _mute_what_is_closed()
        return FAILED


def _prepare_streams() -> None:
    """Streams that were closed lead nowhere; one that cannot show a character shows another."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with all verbs; only the module of the verb asked for is imported, if it is one.

    Importing all of them would cost every call what the heaviest verb needs.
    """
    parser = argparse.ArgumentParser(
        prog="timehands",
        description="Boots a real kernel as a microVM, watches how it finds its clocks, says what "
        "is wrong, and proves the fix by booting again.",
    )
    parser.add_argument("--version", action="version", version=f"timehands {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    asked = [words[0]] if words and words[0] in VERBS else VERBS
    for verb in asked:
        importlib.import_module(f"timehands.cli.{verb}").add_parser(subparsers)
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """A closed terminal or a polite kill ends the work as Ctrl-C does: nothing is left behind."""
    raise KeyboardInterrupt


def _say(text: str) -> None:
    """The terminal may be gone."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _mute_what_is_closed() -> None:
    """Python flushes both streams when it ends; one that nobody reads would change the status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
