#!/usr/bin/env python3
"""How long a kernel file takes to its full symbol table, and how much memory; against
vmlinux-to-elf, in one run.

    bench/bench_kernel.py VMLINUZ [--vmlinux-to-elf PROGRAM] [--runs 10]

Each run is a process of its own, so Python's start is in every figure. ``first`` reads the file
anew, ``again`` finds it in the cache. vmlinux-to-elf gets the unpacked ELF file, as it cannot read
every bzImage; it is run on the bzImage too, once, to say whether it can.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_READ = """
import sys
from timehands.kernels.kernel import Kernel
print(len(Kernel.open(sys.argv[1], cache=sys.argv[2] == "again").symbols))
"""
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Run:
    """One process: wall time, peak resident memory, exit status, and what it printed."""

    wall_ms: float
    peak_mib: float
    status: int
    output: str


def measure(command: Sequence[str | Path], environment: dict[str, str]) -> Run:
    """Run a command to its end."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_ms = (time.perf_counter() - start) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return Run(wall_ms, usage.ru_maxrss / 1024, process.returncode, output.read())


def report(name: str, runs: Sequence[Run]) -> float:
    """Print one line; returns the median in ms."""
    times = sorted(run.wall_ms for run in runs)
    median = statistics.median(times)
    spread = f"{times[0]:.0f} to {times[-1]:.0f}"
    memory = max(run.peak_mib for run in runs)
    print(f"{name:<28}{median:>9.0f} ms  ({spread} ms, {len(runs)} runs){memory:>8.0f} MiB peak")
    return median


def _symbols(runs: Sequence[Run]) -> str:
    failed = next((run for run in runs if run.status), None)
    if failed:
        sys.exit(f"reading failed:\n{failed.output}")
    return runs[0].output.strip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vmlinuz", type=Path)
    parser.add_argument("--vmlinux-to-elf", type=Path, metavar="PROGRAM")
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        ours = [sys.executable, "-c", _READ, args.vmlinuz]
        first = [measure([*ours, "first"], environment) for _ in range(args.runs)]
        measure([*ours, "again"], environment)  # fills the cache
        again = [measure([*ours, "again"], environment) for _ in range(args.runs)]
        print(f"{args.vmlinuz}: {_symbols(first)} symbols, {_symbols(again)} from the cache\n")
        first_ms = report("timehands, first", first)
        again_ms = report("timehands, again", again)
        print(f"\nagain is {first_ms / again_ms:.1f} times as fast as first")
        if args.vmlinux_to_elf is None:
            print("vmlinux-to-elf was not measured: name it with --vmlinux-to-elf")
        elif not args.vmlinux_to_elf.exists():
            print(f"vmlinux-to-elf was not measured: {args.vmlinux_to_elf} is not there")
        else:
            _against(args.vmlinux_to_elf, args.vmlinuz, Path(folder), first_ms)


def _against(program: Path, vmlinuz: Path, folder: Path, ours_ms: float) -> None:
    from timehands.kernels.kernel import Kernel

    packed = measure([program, vmlinuz, folder / "packed.elf"], dict(os.environ))
    worked = not packed.status and (folder / "packed.elf").exists()
    print(f"vmlinux-to-elf on the file itself: {'works' if worked else 'fails'}", end=", ")
    print(f"{packed.wall_ms:.0f} ms")
    elf = Kernel.open(vmlinuz, cache=False).elf_path(folder)
    runs = [measure([program, elf, folder / "out.elf"], dict(os.environ)) for _ in range(3)]
    theirs_ms = report("vmlinux-to-elf, unpacked", runs)
    if any(run.status for run in runs):
        print("it failed on the unpacked file too")
    print(f"timehands, from the packed file, is {theirs_ms / ours_ms:.0f} times as fast")


if __name__ == "__main__":
    main()
