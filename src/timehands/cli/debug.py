"""``timehands debug KERNEL``: boot a kernel, stop it, look, change, go on."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timehands.cli.boot import add_load_options, add_run_options, request_from
from timehands.cli.machine_options import add_machine_options
from timehands.cli.show import ProgressLine
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.boot import Booted, Prepared
    from timehands.debug import Break, Debugging, Seen, Session
    from timehands.watch.stops import Stop

_DEFAULT_SECONDS = 60.0
#: A guest that is looked at by hand may run for so long in all, unless told otherwise.
_SHELL_SECONDS = 24 * 3600.0
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,19}", re.ASCII)
_SKIP = re.compile(r"([^=\s]+)(?:=(-?)(\S+))?")
_DESCRIPTION = """\
Boots a kernel as timehands boot does, and stops it where it is asked to: at functions, lines,
instructions, accesses to variables. Shows what was asked for as it happens, changes what it is told
to change, and goes on. Ends with what was never hit, how the boot ended, and where all of it is
recorded. Works without a debug build; with debug information it knows lines, types and arguments.
"""
_PLACES = """\
places: tc_init  pvclock_*  tc_init+0x1f  0xffffffff80c5b7c0  local_apic.c:547  pvclock.c:*
  cpuid  "cpuid 0x40000010"  "out 0x43"  "in 0x40"  "wrmsr 0x6e0"  "rdmsr 0x1b"  rdtsc  hlt
  "write of tsc_freq"  "read of X"  "access of X"; each may end in: if EXPRESSION
--print, --backtrace, --set, --ask-cpuid, --count and --ignore are of the --break or --watch before
them; before the first one they are of all.
Exit status 0: each place was hit, or none was asked for; 1: one was not; 2: no session;
130: ended by Ctrl-C, after what was seen until then is told.
"""


class _InOrder(argparse.Action):
    """Keeps options in the order in which they were given."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> None:
        namespace.wanted = [*(namespace.wanted or []), (self.dest, values)]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "debug",
        help="boot a kernel, stop it where you say, look at it and change it",
        description=_DESCRIPTION,
        epilog=_PLACES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="KERNEL", help="bzImage or ELF")
    parser.add_argument("--shell", action="store_true", help="an interactive prompt instead")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each stop")
    parser.add_argument(
        "--stub", action="store_true", help="stop by QEMU's stub, also where the plugin could"
    )
    _add_stop_options(parser)
    add_load_options(parser)
    add_run_options(parser)
    add_machine_options(parser)
    parser.set_defaults(run=run, wanted=None, no_survey=True)


def _add_stop_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stops")

    def add(name: str, metavar: str, text: str, kind: Callable[[str], Any] = str) -> None:
        group.add_argument(name, metavar=metavar, help=text, action=_InOrder, type=kind)

    add("--break", "PLACE", "stop there (see below)")
    add("--watch", "VARIABLE", "stop when it is written: --break 'write of VARIABLE'")
    add("--print", "EXPR", "show a C expression: 'cpu_feature & CPUID_TSC', 'tc->tc_name'")
    add("--backtrace", "N", "show who called, at most N frames", _positive)
    add("--ask-cpuid", "LEAF[,SUBLEAF]", "execute CPUID inside the guest there, and show it", _leaf)
    add("--set", "ASSIGNMENT", "then change something: 'tsc_freq = 1', '$rax = 0'")
    add("--count", "N", "stop there at most N times", _positive)
    add("--ignore", "N", "pass there N times first", _positive)
    plain = group.add_argument
    plain("--all-of", action="append", default=[], metavar="FILE.c",
          help="which functions of a source file are reached, and which not")  # fmt: skip
    plain("--skip", action="append", default=[], type=_skip, metavar="FUNCTION[=VALUE]",
          help="leave a function out each time; it returns VALUE")  # fmt: skip
    plain("--cpuid", action="append", default=[], type=_answer, metavar="LEAF=EAX,EBX,ECX,EDX",
          help="answer a CPUID leaf in place of the machine")  # fmt: skip


def _value(text: str, bits: int = 64) -> int:
    number = int(text, 0) if _NUMBER.fullmatch(text) else 1 << bits
    if number >= 1 << bits:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at most {bits} bits")
    return number


def _positive(text: str) -> int:
    number = _value(text, 31)
    if not number:
        raise argparse.ArgumentTypeError("give at least 1")
    return number


def _leaf(text: str) -> tuple[int, int]:
    leaf, comma, subleaf = text.partition(",")
    return _value(leaf, 32), _value(subleaf, 32) if comma else 0


def _answer(text: str) -> tuple[int, Leaf]:
    leaf, _, registers = text.partition("=")
    values = [_value(one, 32) for one in registers.split(",")]
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text!r}: give EAX,EBX,ECX,EDX after the leaf and =")
    return _value(leaf, 32), Leaf(*values)


def _skip(text: str) -> tuple[str, int | None]:
    found = _SKIP.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: give FUNCTION or FUNCTION=VALUE")
    if found[3] is None:
        return found[1], None
    return found[1], -_value(found[3]) if found[2] else _value(found[3])


def run(args: argparse.Namespace) -> int:
    """Run the session and show it. Raises every `TimehandsError`."""
    from timehands.boot import open_recording, prepare, ready_payloads
    from timehands.cli.main import INTERRUPTED

    if args.shell and args.timeout == _DEFAULT_SECONDS:
        args.timeout = _SHELL_SECONDS
    asked = asked_from(args)
    prepared = prepare(asked.boot)
    ready_payloads(prepared)
    if args.shell:
        from timehands.debug.shell import run_shell

        run_shell(prepared, asked)
        return 0
    show = _Show(as_json=args.json, quiet=args.quiet or args.json)
    session = asyncio.run(_run(prepared, asked, show))
    booted = open_recording(session.folder)
    show.end(session, booted)
    if session.reason == "interrupted":
        return INTERRUPTED
    return 0 if all(placed.stops for placed in session.breaks) else 1


async def _run(prepared: Prepared, asked: Debugging, show: _Show) -> Session:
    from timehands.debug import debugging

    with contextlib.ExitStack() as shown:
        progress = shown.enter_context(ProgressLine(quiet=show.quiet))
        async with debugging(prepared, asked, progress) as session:
            shown.close()
            for note in session.notes:
                show.note(note)
            for placed in (*session.breaks, *session.files):
                if placed.note:
                    show.note(placed.note)
            with _left_by_key(session):
                while (stop := await session.next()) is not None:
                    show.stop(stop, await session.attend(stop), session.guest.started_ns)
    return session


@contextlib.contextmanager
def _left_by_key(session: Session) -> Iterator[None]:
    """Ctrl-C ends the session, which then tells what it saw; a second one ends everything."""
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def leave() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        tasks.add(loop.create_task(session.leave()))

    loop.add_signal_handler(signal.SIGINT, leave)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def asked_from(args: argparse.Namespace) -> Debugging:
    """What the options ask for. Raises `UsageError`, `MachineError`."""
    from timehands.debug import Debugging, Skip

    return Debugging(
        boot=request_from(args),
        breaks=breaks_from(args.wanted or []),
        answers=dict(args.cpuid),
        skips=tuple(Skip(*one) for one in args.skip),
        files=tuple(args.all_of),
        inside=not (args.stub or args.shell),
    )


def breaks_from(wanted: Sequence[tuple[str, Any]]) -> tuple[Break, ...]:
    """The places, each with the options that follow it; those before the first are of all."""
    from timehands.debug import Break
    from timehands.watch.stops import parse

    common: list[tuple[str, Any]] = []
    groups: list[list[tuple[str, Any]]] = []
    for option, value in wanted:
        if option in ("break", "watch"):
            groups.append([(option, value)])
        else:
            (groups[-1] if groups else common).append((option, value))
    if common and not groups:
        raise UsageError(f"--{common[0][0].replace('_', '-')} needs a --break: where?")
    made = []
    for (option, value), *own in groups:
        options = [*common, *own]
        single = dict(options)
        text = f"write of {value}" if option == "watch" else value
        want = parse(text, passes=single.get("ignore", 0), most=single.get("count"))
        made.append(
            Break(
                want,
                prints=_all(options, "print"),
                backtrace=single.get("backtrace", 0),
                asks=_all(options, "ask_cpuid"),
                sets=_all(options, "set"),
            )
        )
    return tuple(made)


def _all(options: Sequence[tuple[str, Any]], name: str) -> tuple[Any, ...]:
    return tuple(value for option, value in options if option == name)


class _Show:
    """Prints stops as they happen: as text for people, or a JSON object a line."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        from timehands.reports.surface import Surface

        self.quiet = quiet
        self._json = as_json
        self._surface = Surface.of(sys.stdout)

    def note(self, text: str) -> None:
        """Something to know before it begins."""
        if not self._json:
            self._lines([(text, "", 0)])

    def stop(self, stop: Stop, seen: Seen, started_ns: int) -> None:
        """A stop, with what was looked at and changed."""
        from timehands.debug import words

        if self._json:
            print(json.dumps(words.stop_row(stop, seen, started_ns)), flush=True)
            return
        lines = [(words.heading(stop, started_ns), "bold", 0)]
        self._lines([*lines, *((text, "", 6) for text in words.details(stop, seen))])

    def end(self, session: Session, booted: Booted) -> None:
        """The summary."""
        from timehands.debug import words

        if self._json:
            print(json.dumps(words.summary_row(session, booted)))
        else:
            self._lines([_indented(text) for text in words.summary(session, booted)])

    def _lines(self, lines: Sequence[tuple[str, str, int]]) -> None:
        from rich.padding import Padding

        from timehands.reports.page import Page

        page = Page(self._surface.width, self._surface.color, self._surface.unicode)
        for text, style, indent in lines:
            page.print(Padding(page.styled(text, style), (0, 0, 0, indent)))
        print(page.text(), end="", flush=True)


def _indented(text: str) -> tuple[str, str, int]:
    """A line whose continuations stand as far in as it does."""
    bare = text.lstrip(" ")
    return bare, "", len(text) - len(bare)
