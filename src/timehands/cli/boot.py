"""``timehands boot FILE``: boot a kernel as a microVM, watch, tell, prove."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.cli.machine_options import add_machine_options, machine_from
from timehands.cli.show import ProgressLine, add_report_options, show, status_of
from timehands.errors import UsageError
from timehands.story.model import Mark

if TYPE_CHECKING:
    from timehands.boot import Booted, Prepared, Request

#: Boundaries that a guest can be ended at: it has to run for that.
_NOT_REACHED = (Mark.PROCESS_STARTED, Mark.VM_READY, Mark.ENDED)
_MARKS = [mark.value for mark in Mark if mark not in _NOT_REACHED]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "boot",
        help="boot a kernel as a microVM, say how it found its clocks and what is wrong",
        description="Boots a kernel as a microVM under QEMU, watches from outside how it finds its "
        "clocks, and reports. Exit status 0: init, or the boundary asked for, was reached; 1: it "
        "was not; 2: no boot.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="bzImage, ELF, or compressed ELF")
    parser.add_argument("--prove", action="store_true", help="apply the fixes and boot again")
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="record each entry of a function of the kernel, with its caller (--machine monitor: "
        "by a hardware breakpoint; up to four times)",
    )
    add_load_options(parser)
    add_run_options(parser)
    add_machine_options(parser)
    add_report_options(parser)
    parser.set_defaults(run=run)


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is put into the machine."""
    add = parser.add_argument_group("what is started").add_argument
    add("--append", metavar="ARGS", default="", help="kernel arguments, as one string")
    add("--initrd", type=Path, metavar="FILE", help="ramdisk (ours, with a small init, else)")
    add("--disk", type=Path, metavar="FILE", help="raw or qcow2 image as virtio-blk, never written")
    add("--network", action="store_true", help="user network (off unless asked for)")
    add(
        "--forward",
        action="append",
        default=[],
        metavar="RULE",
        help="host forward, as QEMU spells it: tcp:127.0.0.1:2222-:22 (implies --network)",
    )
    add(
        "--patch",
        action="append",
        default=[],
        metavar="WORDS",
        help="change the kernel's data in a temporary copy: symbol+8=&function, symbol:4=0, "
        "variable.member=1; several with commas",
    )
    add("--entry", choices=("pvh", "bzimage"), help="entry point (PVH where the kernel has it)")
    add("--kaslr", action="store_true", help="let the kernel move itself; the slide is found")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how far and how a boot is run; `request_from` reads both."""
    add = parser.add_argument_group("the run").add_argument
    add("--until", choices=_MARKS, metavar="BOUNDARY", help="end there: " + ", ".join(_MARKS))
    add("--timeout", type=float, default=60.0, metavar="S", help="end after so many seconds (60)")
    add("--record", type=Path, metavar="DIR", help="record there (a folder in the cache else)")
    add("--no-survey", action="store_true", help="do not ask first what the machine offers")
    add("--no-watch", action="store_true", help="boot without the plugin: the console only")
    add("--qemu", type=Path, metavar="FILE", help="the QEMU to use ($TIMEHANDS_QEMU, or PATH)")
    add("--dry-run", action="store_true", help="print the QEMU command, ready to paste, and end")
    add("--quiet", "-q", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Boot and show. Raises every `TimehandsError`."""
    from timehands.boot import prepare

    request = replace(request_from(args), functions=tuple(args.function))
    prepared = prepare(request)
    if args.dry_run:
        print(_command(prepared))
        return 0
    with ProgressLine(quiet=args.quiet) as progress:
        booted = asyncio.run(_boot(prepared, progress, prove=args.prove))
    show(booted, args)
    return status_of(booted)


def request_from(args: argparse.Namespace) -> Request:
    """The request that the options make. Raises `UsageError`, `MachineError`."""
    from timehands.boot import Request

    if not args.timeout > 0:
        raise UsageError(f"a timeout of {args.timeout:g} s leaves no time to boot")
    if args.record and args.record.exists() and not args.record.is_dir():
        raise UsageError(f"there is no folder to record in: {args.record} is a file")
    if args.record and args.record.exists() and any(args.record.iterdir()):
        raise UsageError(f"the folder to record in is not empty: {args.record}")
    return Request(
        kernel=args.file,
        machine=machine_from(args),
        arguments=words_of(args.append),
        initrd=args.initrd,
        disk=args.disk,
        network=args.network or bool(args.forward),
        forwards=tuple(args.forward),
        entry=args.entry,
        kaslr=args.kaslr,
        until=Mark(args.until) if args.until else None,
        timeout_s=args.timeout,
        folder=args.record,
        survey=not args.no_survey,
        watch=not args.no_watch,
        qemu=args.qemu,
        patches=tuple(args.patch),
    )


def words_of(text: str) -> tuple[str, ...]:
    """Kernel arguments given as one string. Raises `UsageError`."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"the kernel arguments cannot be split: {error}: {text}") from error


async def _boot(prepared: Prepared, progress: ProgressLine, *, prove: bool) -> Booted:
    from timehands.boot import boot, ready_payloads

    ready_payloads(prepared)
    booted = await boot(prepared, progress=progress)
    if not prove:
        return booted
    from timehands.prove import prove as prove_fixes

    return await prove_fixes(booted, prepared, progress)


def _command(prepared: Prepared) -> str:
    from timehands.machines.qemu import paste_ready

    return paste_ready(prepared.vmm.command(prepared.request.machine, prepared.load))
