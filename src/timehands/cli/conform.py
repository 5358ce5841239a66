"""``timehands conform``: whether the clocks that a VMM gives its guests are right.

Exit status 0 when nothing failed; 1 when something failed or the guest did not come to its end; 2
when it could not be run. ``--json`` prints one object: ``schema`` (1), ``vmm``, ``conforms``,
``trouble`` (how the run went wrong, or empty), ``counts``, and ``cases`` (each ``case``,
``verdict``, ``saw``, ``expected``, ``why``, ``reference``). ``--mutants`` is `conform_mutants`'s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.conform.judge import Judgement
    from timehands.conform.log import Line
    from timehands.conform.runners import Runner

_TROUBLE = 1
SECONDS = 60.0
MAX_SECONDS = 3600.0
MAX_VCPUS = 8
#: What is longer is no log of ours: the guest is stopped before.
MAX_LOG_BYTES = 16 << 20
#: The names that `timehands.conform.runners.RUNNERS` knows; here so that help needs no import.
VMMS = (
    "qemu-tcg", "qemu-kvm", "monitor", "monitor-wall", "monitor-kvm", "monitor-none",
    "monitor-split", "firecracker", "cloud-hypervisor",
)  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "conform",
        help="test whether a VMM's clocks are right",
        description="Runs a bare guest that measures every clock of its machine, and judges what "
        "it measured: CPUID, TSC, pvclock, LAPIC timer, i8254, RTC, sleeping, pauses. Exit status "
        "0 when nothing failed, 1 when something did.",
    )
    parser.add_argument("vmm", nargs="?", choices=VMMS, metavar="VMM", help=", ".join(VMMS))
    parser.add_argument(
        "--vmm-command",
        metavar="COMMAND",
        help="another VMM: a command with {guest} where the guest's file is to stand, that has the "
        "serial line on its standard input and output",
    )
    parser.add_argument(
        "--emit", metavar="FILE", type=Path, help="write the guest's file (PVH and multiboot)"
    )
    parser.add_argument("--read", metavar="LOG", help="judge what the guest printed; - is stdin")
    parser.add_argument("--log", metavar="FILE", type=Path, help="keep what the guest printed")
    parser.add_argument(
        "--mutants",
        nargs="*",
        metavar="NAME",
        help="plant defects in our own monitor, all or those named, and see each one caught",
    )
    parser.add_argument("--list", action="store_true", help="with --mutants: say what there is")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="with --mutants: look only at the area of the case that must catch it",
    )
    parser.add_argument("--vcpus", type=_vcpus, default=2, help="1 to 8; by default 2")
    parser.add_argument(
        "--timeout", type=_seconds, default=SECONDS, metavar="S", help="by default 60 s"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--tap", action="store_true", help="print TAP version 13")
    form.add_argument("--junit", action="store_true", help="print JUnit XML")
    form.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say of all cases what is expected, and why"
    )
    parser.set_defaults(run=run)


def _vcpus(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_VCPUS:
        raise argparse.ArgumentTypeError(f"give 1 to {MAX_VCPUS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"give 1 to {MAX_SECONDS:g} s")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Do it. Raises `UsageError`, `HostError`, `MachineError`, OSError."""
    from timehands.errors import UsageError

    asked = [name for name in ("vmm", "vmm_command", "emit", "read") if getattr(args, name)]
    if args.mutants is not None:
        return _hunt(args, asked)
    if len(asked) != 1:
        raise UsageError("name one VMM, or give one of --vmm-command, --emit, --read and --mutants")
    if args.list or args.quick:
        raise UsageError("--list and --quick go with --mutants")
    if args.emit:
        return _emit(args.emit)
    if args.read:
        return _judge_file(args)
    return _judge_run(args)


def _hunt(args: argparse.Namespace, asked: list[str]) -> int:
    from timehands.cli import conform_mutants
    from timehands.errors import UsageError

    if asked or args.log or args.tap or args.junit:
        raise UsageError("--mutants stands alone, or with --list, --quick and --json")
    return conform_mutants.run(args)


def _emit(path: Path) -> int:
    from timehands.conform.guest import conformance_guest

    shutil.copyfile(conformance_guest(), path)
    print(f"{path}: {path.stat().st_size:,} bytes; its serial line is 0x3f8")
    return 0


def _judge_file(args: argparse.Namespace) -> int:
    from timehands.conform.log import parse_lines

    if args.read == "-":
        text = sys.stdin.buffer.read(MAX_LOG_BYTES)
    else:
        with Path(args.read).open("rb") as file:
            text = file.read(MAX_LOG_BYTES)
    lines = parse_lines(text.decode("utf-8", "replace").splitlines())
    return _tell(lines, "the VMM of this log" if args.read == "-" else args.read, args)


def _judge_run(args: argparse.Namespace) -> int:
    import asyncio

    from timehands.conform.talk import Talk, talk
    from timehands.conform.wish import Wish

    async def listen() -> Talk:
        async with runner(Wish(args.vcpus)) as vmm:
            return await talk(vmm, args.timeout)

    runner = _runner(args)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(args.log.open("w", encoding="utf-8")) if args.log else None
        said = asyncio.run(listen())
        if log:
            log.writelines(f"{line}\n" for line in said.lines)
    return _tell(said.lines, args.vmm or args.vmm_command.split()[0], args)


def _runner(args: argparse.Namespace) -> Runner:
    from timehands.conform.runners import RUNNERS, by_command

    return by_command(args.vmm_command) if args.vmm_command else RUNNERS[args.vmm]


def _tell(lines: list[Line], vmm: str, args: argparse.Namespace) -> int:
    from timehands.conform.judge import judge
    from timehands.conform.log import read_log

    judgement = judge(read_log(lines), vmm)
    _print(judgement, args)
    return 0 if judgement.conforms else _TROUBLE


def _print(judgement: Judgement, args: argparse.Namespace) -> None:
    from timehands.conform import report

    if args.json:
        print(json.dumps(report.to_json(judgement), indent=2, ensure_ascii=False))
    elif args.junit:
        print(report.junit(judgement), end="")
    else:
        form = report.tap(judgement) if args.tap else report.table(judgement, verbose=args.verbose)
        print("\n".join(form))
