"""Guests of our own monitor on this terminal: ``run --machine monitor``, and ``restore``."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timehands.boot import Prepared
    from timehands.kernels.kernel import Kernel
    from timehands.monitor.devices.signals import Ending
    from timehands.monitor.microvm import Microvm
    from timehands.monitor.terminal import Kept, Make, Serve

_STATUS_BITS = 0x7F
_ADDRESS = re.compile(r"\b0x[0-9a-f]{16}\b")


def add_keeping(parser: argparse.ArgumentParser) -> None:
    """The option to keep a snapshot."""
    parser.add_argument(
        "--snapshot-after",
        nargs=2,
        metavar=("S", "FOLDER"),
        help="keep a snapshot of the guest (of the monitor) S seconds after the start, and go on",
    )


def run_on_monitor(args: argparse.Namespace, prepared: Prepared) -> int:
    """Run a kernel. Raises `HostError`, `MachineError`, `KernelError`, `UsageError`."""
    from timehands.errors import UsageError
    from timehands.kernels.patch import patched
    from timehands.monitor.microvm import Microvm
    from timehands.watch.exits.made import loaded, settings_for

    machine, load, kernel = prepared.request.machine, prepared.load, prepared.kernel
    if args.gdb_port:
        raise UsageError("the monitor serves gdb on a private Unix socket only: --gdb")
    if args.dry_run:
        print(shlex.join(prepared.vmm.command(machine, load)))
        return 0
    kept, settings = kept_from(args), settings_for(machine, load)
    with tempfile.TemporaryDirectory(prefix="timehands-") as name, contextlib.ExitStack() as stack:
        if args.patch:
            copy = stack.enter_context(patched(kernel, tuple(args.patch), Path(name)))
            load = replace(load, kernel=copy.absolute())
        what = loaded(machine, load)

        def make(console: Callable[[bytes], None]) -> Microvm:
            return Microvm(settings, what, console=console)

        served = _gdb(kernel, Path(name) if args.gdb else None)
        return run_to_end(make, kept, lambda words: with_names(words, kernel), served)


def _gdb(kernel: Kernel, folder: Path | None) -> Serve | None:
    """What serves gdb from that folder, and says how to start it."""
    if folder is None:
        return None
    from timehands.debug.own_gdb import Place, write_commands
    from timehands.monitor.gdb_server import serve

    place = Place.socket_in(folder)
    commands = write_commands(folder, kernel, place)

    def begin(guest: Microvm) -> contextlib.AbstractContextManager[object]:
        server = serve(guest, Path(place.target))
        print(f"the guest waits for: gdb -x {commands}", file=sys.stderr, flush=True)
        return server

    return begin


def kept_from(args: argparse.Namespace) -> Kept | None:
    """The snapshot that was asked for. Raises `UsageError`."""
    from timehands.errors import UsageError
    from timehands.monitor.terminal import Kept

    if not args.snapshot_after:
        return None
    seconds, folder = args.snapshot_after
    try:
        after_s = float(seconds)
    except ValueError:
        after_s = -1.0
    if not 0 <= after_s < 1e9:
        raise UsageError(f"--snapshot-after {seconds}: give seconds, and then a folder")
    return Kept(after_s, Path(folder))


def run_to_end(
    make: Make, kept: Kept | None, named: Callable[[str], str], serve: Serve | None = None
) -> int:
    """Run a guest, and say how it ended; ``named`` puts names to the addresses in that.

    The exit status: what the guest wrote to its debug exit port; 1 when KVM could not go on.
    """
    from timehands.monitor.terminal import run_on_terminal

    ending = run_on_terminal(make, kept, serve)
    if ending.reason != "stopped" or ending.words:
        words = f": {named(ending.words)}" if ending.words else ""
        print(f"the guest ended by {ending.reason}{words}", file=sys.stderr)
    return _status(ending)


def _status(ending: Ending) -> int:
    if ending.reason in ("lost", "guest-panic"):
        return 1
    return ending.value & _STATUS_BITS


def with_names(words: str, kernel: Kernel) -> str:
    """An ending in words, with the kernel's names for the addresses in it."""

    def named(match: re.Match[str]) -> str:
        place = kernel.symbols.find(int(match[0], 16))
        return f"{match[0]} ({place.name}+{place.offset:#x})" if place else match[0]

    return _ADDRESS.sub(named, words)
