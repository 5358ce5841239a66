"""``timehands run KERNEL``: boot a kernel with its console on this terminal, perhaps under gdb."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.cli.boot import add_load_options, words_of
from timehands.cli.machine_options import add_machine_options, machine_from
from timehands.cli.run_monitor import add_keeping, run_on_monitor
from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.boot import Prepared, Request
    from timehands.machines.vmm import QemuVmm


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "run",
        help="boot a kernel with its console on this terminal, for your own gdb if asked for",
        description="Boots a kernel with its console on this terminal: Ctrl-A X ends it. Nothing "
        "is watched or recorded. With --gdb the guest stands still until your gdb, started by the "
        "line that is printed, lets it go on. Exit status: QEMU's; of the monitor what the guest "
        "wrote to its debug exit port, 1 when KVM could not go on.",
    )
    parser.add_argument("file", type=Path, metavar="KERNEL", help="bzImage, ELF, compressed ELF")
    group = parser.add_argument_group("your own gdb").add_mutually_exclusive_group()
    group.add_argument("--gdb", action="store_true", help="wait for it on a private Unix socket")
    group.add_argument(
        "--gdb-port", type=_port, metavar="PORT", help="wait for it on a TCP port of this host"
    )
    add_load_options(parser)
    parser.add_argument("--qemu", type=Path, metavar="FILE", help="the QEMU to use")
    parser.add_argument("--dry-run", action="store_true", help="print the command, and end")
    add_keeping(parser)
    add_machine_options(parser)
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 0 < number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no TCP port")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the guest to its end. Raises every `TimehandsError`."""
    from timehands.boot import prepare
    from timehands.machines.vmm import QemuVmm

    prepared = prepare(_request(args))
    vmm = prepared.vmm
    if isinstance(vmm, QemuVmm):
        _check_for_qemu(args)
        return _run_qemu(args, prepared, vmm)
    return run_on_monitor(args, prepared)


def _check_for_qemu(args: argparse.Namespace) -> None:
    if args.snapshot_after:
        raise UsageError("snapshots are the monitor's: --machine monitor")


def _run_qemu(args: argparse.Namespace, prepared: Prepared, vmm: QemuVmm) -> int:
    from timehands.debug.own_gdb import Place, write_commands
    from timehands.kernels.patch import patched
    from timehands.machines.qemu import terminal_command
    from timehands.machines.terminal import run_on_terminal

    with tempfile.TemporaryDirectory(prefix="timehands-") as name, contextlib.ExitStack() as stack:
        folder, place, load = Path(name), None, prepared.load
        if args.patch:
            copy = stack.enter_context(patched(prepared.kernel, tuple(args.patch), folder))
            load = replace(load, kernel=copy.absolute())
        if args.gdb or args.gdb_port:
            place = Place.port(args.gdb_port) if args.gdb_port else Place.socket_in(folder)
        command = terminal_command(
            vmm.path,
            prepared.request.machine,
            load,
            gdb=place.device if place else None,
            sandbox=vmm.sandbox,
        )
        if args.dry_run:
            print(shlex.join(command))
            return 0
        if place is not None:
            commands = write_commands(folder, prepared.kernel, place)
            print(f"the guest waits for: gdb -x {commands}", file=sys.stderr, flush=True)
        return run_on_terminal(command)


def _request(args: argparse.Namespace) -> Request:
    from timehands.boot import Request

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
        watch=False,
        qemu=args.qemu,
        patches=tuple(args.patch),
    )
