#!/usr/bin/env python3
"""What watching a boot costs: CPU time against the same boot unwatched, and wall time around QEMU.

    bench/bench_watch.py VMLINUZ [--runs 10] [--deterministic]

Three tables from one run:

- CPU time of QEMU, watched and unwatched, in pairs whose order alternates. The interval is a
  bootstrap of the pairs (percentiles 2.5 and 97.5 of 9,999 resamples of their median).
- Wall time of the command ``timehands boot`` around QEMU's own, from the command's start to QEMU's
  and from QEMU's end to the command's.
- Time from the command to the guest's first instruction, with the survey and without.

The first boot warms the caches and is not counted. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timehands.watch.recording import Recording
from timehands.watch.records import Kind

RESAMPLES = 9_999
#: Our init waits a second to see the kernel change its mind: not here.
ARGUMENTS = "timehands_settle_ms=0"


@dataclass(frozen=True)
class Boot:
    """One run of the command. Times in ms; ``cpu`` is QEMU's, ``own_cpu`` is ours."""

    wall: float
    before: float
    after: float
    first: float | None
    cpu: float
    own_cpu: float
    events: int


def boot(kernel: Path, *options: str) -> Boot:
    """Boot once with the command, as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "timehands", "boot", str(kernel), "-q"]
        words += ["--record", f"{folder}/r", "--append", ARGUMENTS, *options]
        usage = os.times()
        start_ns = time.monotonic_ns()
        done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        end_ns = time.monotonic_ns()
        used = os.times()
        if done.returncode not in (0, 1):
            sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr.decode()}")
        recording = Recording.open(Path(folder) / "r")
        spent = used.children_user + used.children_system
        spent -= usage.children_user + usage.children_system
        return _boot(recording, start_ns, end_ns, spent * 1000)


def _boot(recording: Recording, start_ns: int, end_ns: int, cpu_of_all: float) -> Boot:
    header = recording.header
    first = next((e.host_ns for e in recording.events if e.kind is Kind.FIRST), None)
    cpu = (header.qemu_cpu_ns or 0) / 1e6
    return Boot(
        wall=(end_ns - start_ns) / 1e6,
        before=(header.started_ns - start_ns) / 1e6,
        after=(end_ns - (header.ended_ns or end_ns)) / 1e6,
        first=(first - start_ns) / 1e6 if first else None,
        cpu=cpu,
        own_cpu=cpu_of_all - cpu,
        events=recording.watching.events,
    )


def in_pairs(runs: int, one: Callable[[], Boot], other: Callable[[], Boot]) -> list[list[Boot]]:
    """Both, so many times, the first of a pair alternating."""
    pairs = []
    for number in range(runs):
        if number % 2:
            second = other()
            pairs.append([one(), second])
        else:
            pairs.append([one(), other()])
    return pairs


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    dice = random.Random(1)
    medians = sorted(
        statistics.median(dice.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


def spread(values: Sequence[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):9.0f} {min(values):9.0f} {max(values):9.0f}"


def show_cpu(pairs: list[list[Boot]]) -> None:
    """The first table."""
    print(f"\nCPU time of QEMU, {len(pairs)} pairs, ms   median     least  greatest")
    print(f"  unwatched                     {spread([b.cpu for _, b in pairs])}")
    print(f"  watched                       {spread([a.cpu for a, _ in pairs])}")
    ratios = [100 * (a.cpu / b.cpu - 1) for a, b in pairs]
    low, high = interval(ratios)
    print(f"  watching adds {statistics.median(ratios):.1f} % (95 %: {low:.1f} to {high:.1f} %), "
          f"{statistics.median(a.events for a, _ in pairs):.0f} events")  # fmt: skip


def show_wall(boots: list[Boot]) -> None:
    """The second table."""
    print(f"\nWall time around QEMU, {len(boots)} runs, ms   median     least  greatest")
    rows = {
        "the command before QEMU": [b.before for b in boots],
        "the command after QEMU": [b.after for b in boots],
        "both": [b.before + b.after for b in boots],
        "the command's own CPU time": [b.own_cpu for b in boots],
    }
    for name, values in rows.items():
        print(f"  {name:30}{spread(values)}")


def show_first(without: list[Boot], surveyed: list[Boot]) -> None:
    """The third table."""
    print(f"\nTo the first instruction, {len(without)} runs, ms  median   least  greatest")
    for name, boots in (("without the survey", without), ("with the survey", surveyed)):
        print(f"  {name:30}{spread([b.first for b in boots if b.first is not None])}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="What watching a boot costs.")
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--deterministic", action="store_true", help="count instructions (-icount)")
    args = parser.parse_args()
    more = ["--deterministic"] if args.deterministic else []
    plain = ["--no-survey", *more]
    boot(args.kernel, *more)
    pairs = in_pairs(
        args.runs,
        lambda: boot(args.kernel, *plain),
        lambda: boot(args.kernel, "--no-watch", *plain),
    )
    surveyed = [boot(args.kernel, "--until", "kernel_entry", *more) for _ in range(args.runs)]
    watched = [a for a, _ in pairs]
    show_cpu(pairs)
    show_wall(watched)
    show_first(watched, surveyed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
