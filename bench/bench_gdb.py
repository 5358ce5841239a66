#!/usr/bin/env python3
"""Watching with the plugin, against gdb with a Python script that stops at the same functions.

    bench/bench_gdb.py VMLINUZ [--runs 5] [--gdb gdb]

The same kernel on the same machine, in one run, taking turns: unwatched, watched by the plugin, and
under gdb. gdb stops at the entry of each function of our plan and logs the time and three
arguments, which is what one would write by hand; the plugin also tells returns, members of
structures, CPUID, MSRs, ports and device memory. Times are from the guest's first instruction to
its end, measured on the host. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from timehands.boot import Prepared, Request, boot, prepare
from timehands.watch.plan import Plan
from timehands.watch.records import Kind

TIMEOUT_S = 300
#: What a person would write, without anything that costs time and need not.
SCRIPT = """
import gdb, time
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set osabi none")
gdb.execute("set architecture i386:x86-64")
gdb.execute("file {elf}")
gdb.execute("target remote {socket}")
log = open("{log}", "w")

class Entry(gdb.Breakpoint):
    def stop(self):
        frame = gdb.newest_frame()
        words = [int(frame.read_register(name)) for name in ("rdi", "rsi", "rdx")]
        log.write("%d %s %x %x %x\\n" % (time.monotonic_ns(), self.location, *words))
        return False

for address in {addresses}:
    Entry("*0x%x" % address)
log.write("%d begin\\n" % time.monotonic_ns())
try:
    gdb.execute("continue", to_string=True)
except gdb.error:
    pass
log.write("%d end\\n" % time.monotonic_ns())
log.close()
"""


@dataclass(frozen=True)
class Run:
    """One boot: ms from its first instruction to its end, and how many events were told."""

    wall_ms: float
    events: int


def with_timehands(prepared: Prepared, folder: Path) -> tuple[Run, tuple[str, ...]]:
    """A boot by our own means, and the QEMU command that it ran."""
    booted = asyncio.run(boot(prepared))
    header = booted.recording.header
    wall_ms = ((header.ended_ns or header.resumed_ns) - header.resumed_ns) / 1e6
    told = sum(e.kind is not Kind.COUNT for e in booted.recording.events)
    shutil.rmtree(folder)
    return Run(wall_ms, told), header.command


def with_gdb(gdb: str, command: tuple[str, ...], elf: Path, plan: Plan, folder: Path) -> Run:
    """The same boot under gdb, through a private socket."""
    log, script = folder / "log", folder / "script.py"
    addresses = sorted({f.start for f in plan.functions if f.enter and f.start >> 63})
    script.write_text(SCRIPT.format(elf=elf, socket=folder / "gdb", log=log, addresses=addresses))
    machine = command[: command.index("-chardev")]
    wiring = ("-serial", f"file:{folder}/console", "-no-reboot", "-S")
    server = ("-gdb", f"unix:{folder}/gdb,server=on,wait=off")
    qemu = subprocess.Popen([*machine, *wiring, *server], stderr=subprocess.DEVNULL)
    try:
        while not (folder / "gdb").exists():
            time.sleep(0.01)
        subprocess.run(
            [gdb, "-nx", "-batch", "-x", str(script)],
            capture_output=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        qemu.kill()
        qemu.wait()
    rows = [line.split() for line in log.read_text().splitlines()]
    return Run((int(rows[-1][0]) - int(rows[0][0])) / 1e6, len(rows) - 2)


def prepared_for(kernel: Path, folder: Path, *, watch: bool) -> Prepared:
    """The boot of all three: our init ends it at once."""
    return prepare(
        Request(
            kernel,
            arguments=("timehands_settle_ms=0",),
            folder=folder / "r",
            survey=False,
            watch=watch,
        )
    )


def one_round(kernel: Path, gdb: str) -> dict[str, Run]:
    """Each of the three once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watched = prepared_for(kernel, folder, watch=True)
        unwatched = prepared_for(kernel, folder, watch=False)
        plan = watched.knowledge.plan(watched.kernel)
        plain, command = with_timehands(unwatched, folder / "r")
        plugin, _ = with_timehands(watched, folder / "r")
        stops = with_gdb(gdb, command, watched.load.kernel, plan, folder)
        return {"unwatched": plain, "plugin": plugin, "gdb": stops}


def show(rounds: list[dict[str, Run]]) -> None:
    """One table."""
    print(f"{len(rounds)} rounds              wall ms  (least to greatest)   added ms    events")
    base = statistics.median(r["unwatched"].wall_ms for r in rounds)
    added: dict[str, float] = {}
    events: dict[str, float] = {}
    for name in ("unwatched", "plugin", "gdb"):
        walls = [r[name].wall_ms for r in rounds]
        added[name] = statistics.median(walls) - base
        events[name] = statistics.median(r[name].events for r in rounds)
        span = f"({min(walls):.0f} to {max(walls):.0f})"
        print(f"  {name:15}{statistics.median(walls):12.0f}  {span:22}"
              f"{added[name]:10.0f}{events[name]:10.0f}")  # fmt: skip
    for name in ("plugin", "gdb"):
        if added[name] > 0:
            rate = events[name] / added[name] * 1000
            print(f"  {name}: {rate:,.0f} events for each second that it adds")
    if added["plugin"] > 0:
        print(f"  gdb adds {added['gdb'] / added['plugin']:.0f} times the wall time of the plugin")
    else:
        print("  what the plugin adds is below the spread of these runs")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="The plugin against gdb.")
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gdb", default="gdb")
    args = parser.parse_args()
    gdb = shutil.which(args.gdb)
    if gdb is None:
        sys.exit(f"there is no program {args.gdb}")
    show([one_round(args.kernel, gdb) for _ in range(args.runs)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
