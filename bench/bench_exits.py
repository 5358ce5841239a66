#!/usr/bin/env python3
"""The monitor's bindings to KVM against C: exits to ports a second, and a machine made.

    bench/bench_exits.py [--exits 20000] [--machines 40] [--rounds 7] [--cc gcc]

A guest in real mode writes, or reads, port 0x80 in a loop. In one run, taking turns after a round
that does not count, the same vCPU is run

- from *C*: a loop of KVM_RUN that looks at the reason (bench/exits_loop.c);
- by *Vcpu.run*: `timehands.kvm`, each exit as a value;
- by the *monitor*: its vCPU thread, with a device that answers at the port;
- *recorded*: the same with an observer that keeps each access with place and host time.

Medians of the rounds. Wall time is what a user waits for; on a busy host the thread's CPU time says
more. Then a machine with chips, memory and a vCPU is made from C and by `timehands.kvm`, with and
without KVM's i8254, and a whole `Microvm` with its devices and threads: KVM waits in each step for
readers of its tables, for some ms where the host is busy, in C as in Python.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from timehands.kvm import Kvm, Vcpu, Vm, start_real_mode
from timehands.kvm.exits import Exit
from timehands.monitor.bus import Bus
from timehands.monitor.gate import Gate
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.vcpus import Around, VcpuThread

#: out 0x80, al; or in al, 0x80; and again.
GUESTS = {"out": b"\xe6\x80\xeb\xfc", "in": b"\xe4\x80\xeb\xfc"}
MEMORY = 256 << 20
T = TypeVar("T")
_SOURCE = Path(__file__).with_name("exits_loop.c")


class Spent(NamedTuple):
    """What so many exits cost, in seconds."""

    exits: int
    wall_s: float
    cpu_s: float


class Stopping:
    """A device that ends a run of the monitor's thread after so many accesses."""

    def __init__(self) -> None:
        self.left = 0
        self.stop: Callable[[], None] = _nothing

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop()

    def read(self, _offset: int, _size: int) -> int:
        """Any value."""
        self._count()
        return 0x5A

    def write(self, _offset: int, _size: int, _value: int) -> None:
        """Nothing."""
        self._count()


def _nothing() -> None: ...


class Recorder:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, int, Exit, int, int]] = []

    def accessed(self, vcpu: int, exit: Exit, value: int, pc: int, host_ns: int) -> None:
        """Keep it."""
        self.kept.append((host_ns, vcpu, exit, value, pc))


class TimedThread(VcpuThread):
    """A vCPU's thread that says what its time in the guest cost."""

    spent: tuple[float, float] = (0.0, 0.0)

    def _until_told_to_stop(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        super()._until_told_to_stop()
        self.spent = time.perf_counter() - wall, time.thread_time() - cpu


def by_c(library: ctypes.CDLL, vcpu: Vcpu, count: int) -> Spent:
    """The loop in C."""
    run = ctypes.byref(vcpu.shared)
    return _timed(count, lambda: _must_be(library.run_exits(vcpu.fileno(), run, count), 0))


def by_bindings(vcpu: Vcpu, count: int) -> Spent:
    """`Vcpu.run` alone."""

    def loop() -> None:
        for _ in range(count):
            vcpu.run()

    return _timed(count, loop)


def by_monitor(vcpu: Vcpu, count: int, *, recorded: bool) -> Spent:
    """The monitor's thread."""
    gate, ports, device = Gate(), Bus("port"), Stopping()
    ports.add(0x80, 1, device)
    recorder = Recorder() if recorded else None
    lost: list[object] = []
    thread = TimedThread(vcpu, Around(gate, ports, Bus("address"), lost.append, None, recorder))

    def stop() -> None:
        gate.close()
        vcpu.interrupt()

    device.left, device.stop = count, stop
    gate.set_open(True)
    thread.start()
    thread.join()
    _must_be(len(lost), 0)
    if recorder is not None:
        _must_be(len(recorder.kept), count)
    return Spent(count, *thread.spent)


def _timed(count: int, work: Callable[[], None]) -> Spent:
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    return Spent(count, time.perf_counter() - wall, time.thread_time() - cpu)


def _must_be(value: int, wanted: int) -> None:
    if value != wanted:
        raise SystemExit(f"bench_exits: {value} where {wanted} should be")


def exits(library: ctypes.CDLL, code: bytes, count: int, rounds: int) -> dict[str, list[Spent]]:
    """All ways, by turns."""
    with Kvm() as kvm, Vm(kvm) as vm:
        vm.add_memory(0, 0x1000)
        vm.memory.write(0, code)
        vm.create_irqchip()
        vcpu = vm.add_vcpu()
        start_real_mode(vcpu, 0)
        ways: dict[str, Callable[[], Spent]] = {
            "C": lambda: by_c(library, vcpu, count),
            "Vcpu.run": lambda: by_bindings(vcpu, count),
            "monitor": lambda: by_monitor(vcpu, count, recorded=False),
            "recorded": lambda: by_monitor(vcpu, count, recorded=True),
        }
        return _by_turns(ways, rounds)


def machines(library: ctypes.CDLL, count: int) -> dict[str, list[float]]:
    """How long each kind of machine takes to be made, in ms."""
    ways: dict[str, Callable[[], float]] = {
        "C": lambda: _c_machine(library, 0),
        "timehands.kvm": lambda: _our_machine(pit=False),
        "C, i8254": lambda: _c_machine(library, 1),
        "timehands.kvm, i8254": lambda: _our_machine(pit=True),
        "Microvm": lambda: _microvm(Clocks(pit=Maker.OURS, pvclock=Maker.OURS)),
        "Microvm, KVM's clocks": lambda: _microvm(Clocks()),
    }
    return _by_turns(ways, count)


def _c_machine(library: ctypes.CDLL, pit: int) -> float:
    took: int = library.create_machine(MEMORY, pit)
    if took < 0:
        raise SystemExit("bench_exits: KVM makes no machine for the C loop")
    return took / 1e6


def _our_machine(*, pit: bool) -> float:
    started = time.perf_counter()
    with Kvm() as kvm, Vm(kvm) as vm:
        vm.add_memory(0, MEMORY)
        vm.place_intel_pages()
        vm.create_irqchip()
        if pit:
            vm.create_pit()
        vm.add_vcpu()
        return (time.perf_counter() - started) * 1e3


def _microvm(clocks: Clocks) -> float:
    started = time.perf_counter()
    with Microvm(Settings(MEMORY, 1, clocks), None):
        return (time.perf_counter() - started) * 1e3


def _by_turns(ways: dict[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    result: dict[str, list[T]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            value = ways[name]()
            if number:
                result[name].append(value)
    return result


def print_exits(port: str, spent: dict[str, list[Spent]]) -> None:
    """A table for one kind of access."""
    print(f"\n{port:<24}{'a second':>12}{'by CPU time':>14}{'of C, CPU time':>16}")
    cpu_of_c = statistics.median(each.cpu_s / each.exits for each in spent["C"])
    for name, rounds in spent.items():
        wall = statistics.median(each.wall_s / each.exits for each in rounds)
        cpu = statistics.median(each.cpu_s / each.exits for each in rounds)
        print(f"  {name:<22}{1 / wall:>12,.0f}{1 / cpu:>14,.0f}{cpu_of_c / cpu:>16.2f}")


def print_machines(times_ms: dict[str, list[float]]) -> None:
    """A table of machines made."""
    print(f"\n{f'machine, {MEMORY >> 20} MiB, ms':<24}{'least':>12}{'median':>14}{'greatest':>16}")
    for name, each in times_ms.items():
        median = statistics.median(each)
        print(f"  {name:<22}{min(each):>12.2f}{median:>14.2f}{max(each):>16.2f}")


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exits", type=int, default=20_000)
    parser.add_argument("--machines", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cc", default="cc")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exits_loop.so")
        command = [options.cc, "-O2", "-shared", "-fPIC", "-o", str(path), str(_SOURCE)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(path))
        library.run_exits.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_long)
        library.run_exits.restype = ctypes.c_long
        library.create_machine.argtypes = (ctypes.c_uint64, ctypes.c_int)
        library.create_machine.restype = ctypes.c_int64
        for port, code in GUESTS.items():
            print_exits(f"port {port}", exits(library, code, options.exits, options.rounds))
        print_machines(machines(library, options.machines))


if __name__ == "__main__":
    main()
