#!/usr/bin/env python3
"""Simulated clock reads a second: the arrays engine, a plain C loop, and the scalar engine.

    bench/bench_simulate.py [--reads 1e8] [--rounds 5] [--cc gcc]

Windows of reads are made first, by the simulator from scenarios; what is timed is their evaluation:
when each read happens, the guest's TSC, nanoseconds by pvclock's arithmetic, the reader's last
value, and the judge's statistics (warps and stalls with the worst, offsets), all in exact integers.

- *one vCPU*: a guest on KVM with a master clock that reads ten million times a second;
- *four vCPUs*: the same with four that read by turns, whose order has to be found;
- *four, skewed*: their TSCs differ by cycles, there is no master clock, and the reader holds its
  answer to the last one that any vCPU got;
- *exits*: NVMM as it is, one vCPU that leaves its guest every 50 to 200 us.

In one run, taking turns (the order changes each round) after a round that does not count:

- *arrays*: `timehands.simulate.arrays`;
- *C*: bench/simulate_loop.c, compiled with -O2, by ctypes: a call for each window;
- *scalar*: `timehands.simulate.scalar`, the reference, on a part of the windows.

All three must end with the same tallies; the bench fails otherwise. A round evaluates up to ten
million reads; medians, least and greatest of the rounds, by wall time and by CPU time (on a busy
host the latter says more). At the end a whole run of ``--reads`` reads, from the scenario to the
verdict, in a process of its own, with the most memory that it had (getrusage).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from timehands.simulate.arrays import ArraysEngine
from timehands.simulate.hosts import HostSpec
from timehands.simulate.readers import Reader, keeps_last, refuses
from timehands.simulate.run import effective_reader, simulate
from timehands.simulate.scalar import ScalarEngine
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.segments import Window
from timehands.simulate.tally import Across, Read, Tallies, Tally
from timehands.simulate.units import Span
from timehands.simulate.world import World

ROUND_READS = 10_000_000
SCALAR_READS = 200_000
_SOURCE = Path(__file__).with_name("simulate_loop.c")

_ONE = Scenario(
    title="one vCPU that reads all the time",
    hosts=(HostSpec(name="host", tsc_khz=2_499_998, drift_ppb=20_000),),
    duration_ns=1_000_000_000,
    reads_per_s=10_000_000,
)
_SKEWED = HostSpec(name="host", tsc_khz=2_499_998, skew_cycles=(0, 40, -25, 900))
SCENARIOS = {
    "one vCPU": _ONE,
    "four vCPUs": replace(_ONE, vcpus=4, duration_ns=250_000_000),
    "four, skewed": replace(
        _ONE,
        vcpus=4,
        duration_ns=250_000_000,
        hosts=(_SKEWED,),
        provider="kvm-no-masterclock",
    ),
    "exits": replace(
        _ONE,
        provider="nvmm",
        reader="tsc",
        load=Load(exits=Away(every=Span(50_000, 200_000), length=Span(5_000, 40_000))),
    ),
}


class Case(NamedTuple):
    """A scenario's windows, made before anything is timed."""

    reader: Reader
    vcpus: int
    windows: list[Window]

    @classmethod
    def of(cls, scenario: Scenario) -> Case:
        """What the world of this scenario does."""
        reader = effective_reader(scenario)
        world = World(scenario, 1, scenario.provider, reader)
        return cls(reader, scenario.vcpus, list(world.windows()))

    @property
    def reads(self) -> int:
        """How many reads there are."""
        return sum(one.reads for window in self.windows for one in window.segments)

    def part(self, reads: int) -> Case:
        """The first windows, with so many reads or a few more."""
        chosen: list[Window] = []
        while sum(one.reads for w in chosen for one in w.segments) < reads:
            chosen.append(self.windows[len(chosen)])
            if len(chosen) == len(self.windows):
                break
        return self._replace(windows=chosen)

    def tallies(self) -> Tallies:
        """Empty ones."""
        return Tallies(self.reader, [Tally() for _ in range(self.vcpus)])


def by_engine(engine: Any, case: Case) -> Tallies:
    """All windows by one of our engines."""
    tallies = case.tallies()
    runs = engine(tallies)
    for window in case.windows:
        runs.window(window)
    runs.flush()
    return tallies


# The C loop, with structures as in its source.

_U64, _I64, _U32 = ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint32
_SEGMENT = (
    "start_ns", "length_ns", "reads", "base", "since_ns", "hz", "tsc_timestamp", "system_time",
)  # fmt: skip
_TALLY = ("reads", "warps", "worst_warp_ns", "stalls", "worst_stall_ns")
_TALLY_END = ("first_due_ns", "first_ns", "last_due_ns", "last_ns", "held_due_ns")


class CSegment(ctypes.Structure):
    """struct segment."""

    _fields_ = (
        *((name, _U64) for name in _SEGMENT),
        ("mul", _U32),
        ("shift", ctypes.c_int32),
        ("vcpu", _U32),
        ("keeps", _U32),
    )


class CTally(ctypes.Structure):
    """struct tally."""

    _fields_ = (
        *((name, _U64) for name in _TALLY),
        ("low_ns", _I64),
        ("high_ns", _I64),
        *((name, _U64) for name in _TALLY_END),
    )


class CAcross(ctypes.Structure):
    """struct across."""

    _fields_ = tuple(
        (name, _U64) for name in ("reads", "warps", "worst_warp_ns", "last_ns", "last_value_ns")
    )


class Loop:
    """The compiled loop. Its input is made of a case before anything is timed."""

    def __init__(self, compiler: str, folder: Path) -> None:
        library = folder / "simulate_loop.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True)
        self._run_window = ctypes.CDLL(str(library)).run_window
        self._run_window.argtypes = (ctypes.c_void_p, _U64, _U64, ctypes.c_void_p, ctypes.c_void_p)
        self._run_window.restype = None

    @staticmethod
    def prepared(case: Case) -> list[tuple[Any, int, int]]:
        """Each window's segments as C has them, those of one vCPU after those of another."""
        windows = []
        for window in case.windows:
            segments = sorted(window.segments, key=lambda one: one.vcpu)
            assert not any(refuses(case.reader, one.page) for one in segments)
            made = (CSegment * len(segments))(
                *(
                    CSegment(
                        one.start_ns, one.end_ns - one.start_ns, one.reads, *one.tsc,
                        one.page.tsc_timestamp, one.page.system_time, one.page.tsc_to_system_mul,
                        one.page.tsc_shift, one.vcpu, keeps_last(case.reader, one.page),
                    )
                    for one in segments
                )
            )  # fmt: skip
            windows.append((made, len(segments), window.paused_ns))
        return windows

    def run(self, windows: Sequence[tuple[Any, int, int]], case: Case) -> Tallies:
        """All windows; the tallies as ours are."""
        tallies, across = (CTally * case.vcpus)(), CAcross()
        for segments, count, paused_ns in windows:
            self._run_window(segments, count, paused_ns, tallies, ctypes.byref(across))
        return Tallies(
            case.reader,
            [_tally(one) for one in tallies],
            Across(across.warps, across.worst_warp_ns, across.last_ns),
            across.last_value_ns,
        )


def _tally(one: CTally) -> Tally:
    return Tally(
        reads=one.reads,
        warps=one.warps,
        worst_warp_ns=one.worst_warp_ns,
        stalls=one.stalls,
        worst_stall_ns=one.worst_stall_ns,
        low_ns=one.low_ns,
        high_ns=one.high_ns,
        first=Read(one.first_due_ns, one.first_ns),
        last=Read(one.last_due_ns, one.last_ns),
        held_due_ns=one.held_due_ns,
    )


# Measuring.


class Rates:
    """Reads a second of one contender, round by round."""

    def __init__(self, run: Callable[[], Tallies], reads: int) -> None:
        self._run, self._reads = run, reads
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def round(self) -> Tallies:
        """Run once."""
        wall, cpu = time.perf_counter(), time.process_time()
        tallies = self._run()
        self.cpu.append(self._reads / (time.process_time() - cpu))
        self.wall.append(self._reads / (time.perf_counter() - wall))
        return tallies


def measure(name: str, case: Case, loop: Loop, rounds: int) -> None:
    """All contenders on one case; prints. Ends the bench when they do not agree."""
    windows, part = loop.prepared(case), case.part(SCALAR_READS)
    contenders = {
        "arrays": Rates(lambda: by_engine(ArraysEngine, case), case.reads),
        "C": Rates(lambda: loop.run(windows, case), case.reads),
        "scalar": Rates(lambda: by_engine(ScalarEngine, part), part.reads),
    }
    ends = {who: rates.round() for who, rates in contenders.items()}  # a warm-up
    agree = ends["arrays"] == ends["C"] and by_engine(ArraysEngine, part) == ends["scalar"]
    if not agree:
        sys.exit(f"{name}: the contenders do not agree:\n{ends}")
    for rates in contenders.values():
        rates.wall.clear()
        rates.cpu.clear()
    for number in range(rounds):
        for rates in list(contenders.values())[:: -1 if number % 2 else 1]:
            rates.round()
    segments = sum(len(window.segments) for window in case.windows)
    print(f"{name}: {case.reads:,} reads in {segments:,} segments; all three agree")
    report(contenders)


def report(contenders: dict[str, Rates]) -> None:
    """A line each, in millions of reads a second."""
    base = statistics.median(contenders["C"].cpu)
    for who, rates in contenders.items():
        wall, cpu = statistics.median(rates.wall), statistics.median(rates.cpu)
        spread = f"{min(rates.wall) / 1e6:,.2f} to {max(rates.wall) / 1e6:,.2f}"
        print(
            f"    {who:8}{wall / 1e6:9.2f} M reads/s  ({spread}); by CPU time "
            f"{cpu / 1e6:7.2f}, {cpu / base:6.3f} of C"
        )


def whole_run(reads: int) -> None:
    """One run of a scenario from its start to the verdict; prints JSON. In a process of its own."""
    duration_ns = reads * 10**9 // _ONE.reads_per_s
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = simulate(replace(_ONE, duration_ns=duration_ns))
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "reads": outcome.all.reads,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_kib": used.ru_maxrss,
        "warps": outcome.all.warps,
        "rate_error_ppb": outcome.all.rate_error_ppb,
    }
    print(json.dumps(figures))


def print_whole_run(reads: int) -> None:
    """What `whole_run` found."""
    command = [sys.executable, __file__, "--whole", str(reads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(
        f"a whole run: {found['reads']:,} reads in {found['wall_s']:.1f} s "
        f"({found['reads'] / found['wall_s'] / 1e6:,.1f} M reads/s; by CPU time "
        f"{found['reads'] / found['cpu_s'] / 1e6:,.1f}), at most {found['peak_kib'] / 1024:,.0f} "
        f"MiB of memory; {found['warps']} warps, rate error {found['rate_error_ppb']} ppb"
    )


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=float, default=1e8, help="of the whole run (1e8)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--whole", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.whole is not None:
        whole_run(args.whole)
        return 0
    if shutil.which(args.cc) is None:
        sys.exit(f"a C compiler is needed: {args.cc} is not there")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(args.cc, Path(folder))
        for name, scenario in SCENARIOS.items():
            measure(name, Case.of(scenario), loop, args.rounds)
    print_whole_run(int(args.reads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
