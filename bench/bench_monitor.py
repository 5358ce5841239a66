#!/usr/bin/env python3
"""How fast the monitor is, side by side with QEMU's microvm on the same KVM, in one run.

    bench/bench_monitor.py KERNEL [--runs 10] [--accesses 100000]

Three tables; the order of the two alternates, so that a host that gets busy slows both:

- Starting: from the command ``timehands boot`` (a process of its own) to the guest's first
  instruction and to the kernel's first line on the console. Beside it what the machine alone takes:
  from QEMU's execution, or the call that makes the VM, to its first instruction.
- A VM: KVM's machine with interrupt controllers, 256 MiB and one vCPU. Of QEMU, from its execution
  to the answer of its monitor.
- Accesses: how many reads of port 0x80 a guest makes in a second. Of the monitor with the recording
  on (each access is an event or is counted), and with nobody watching; of QEMU with nobody
  watching, as it has nothing that could.

  On a busy host the wall's second is shared with others, so there are also accesses in a second of
  the CPU time of QEMU, and of the monitor's vCPU.

QEMU's own "first instruction" is when its vCPUs were let go. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from timehands.machines.build import BARE_FLAGS, PAYLOADS, compiler
from timehands.machines.host_qemu import find_qemu
from timehands.machines.machine import Load, Machine
from timehands.machines.vmm import QemuVmm, Vmm
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.words import WATCHED
from timehands.watch.exits import MonitorVmm
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Header, KernelIdentity, Recording
from timehands.watch.run import Limits, run

MACHINES: Mapping[str, Machine] = {
    "monitor": Machine("kvm", "monitor", "host"),
    "QEMU microvm": Machine("kvm", "microvm", "host"),
}
WORDS: Mapping[str, tuple[str, ...]] = {
    "monitor": ("--machine", "monitor"),
    "QEMU microvm": ("--machine", "microvm", "--accel", "kvm"),
}
WANTED_VM_MS, WANTED_ACCESSES = 5.0, 30_000
#: The port that is read is that of POST codes: no device of KVM's, and next to no work in either.
GUEST = """
#include "bare.h"
void bare_main(const uint32_t *start_info)
{{
    (void)start_info;
    serial_init();
    put_text("begin\\n");
    for (uint32_t i = 0; i < {accesses}; i++)
        inb(0x80);
    put_text("end\\n");
    bare_end();
}}
"""


@dataclass
class Times:
    """Samples in ms, by what they are of."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def show(self, title: str, unit: str) -> None:
        print(f"\n{title}")
        for name, values in self.values.items():
            low, middle, high = min(values), statistics.median(values), max(values)
            print(f"  {name:<44} {middle:10,.1f} {unit}  ({low:,.1f} to {high:,.1f})")


def alternating(names: Iterable[str], runs: int) -> Iterable[str]:
    """Each name so often, in an order that alternates."""
    order = list(names)
    for number in range(runs):
        yield from order if number % 2 == 0 else reversed(order)


def starting(kernel: Path, runs: int) -> None:
    """The command as a process, ended at the kernel's first lines."""
    times = Times()
    for number, name in enumerate(alternating(WORDS, runs + 1)):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "timehands", "boot", str(kernel), "-q", "--no-survey"]
            words += ["--until", "kernel_entry", "--record", f"{folder}/r", *WORDS[name]]
            start_ns = time.monotonic_ns()
            done = subprocess.run(words, capture_output=True, check=False)
            if done.returncode not in (0, 1):
                sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr.decode()}")
            if number >= len(WORDS):  # the first of each warms the caches
                _add(times, name, Recording.open(Path(folder) / "r"), start_ns)
    times.show(f"Starting {kernel.name}", "ms")


def _add(times: Times, name: str, made: Recording, start_ns: int) -> None:
    header = made.header
    first_ns = header.resumed_ns
    times.add(f"command to first instruction, {name}", (first_ns - start_ns) / 1e6)
    times.add(f"the machine alone, {name}", (first_ns - header.started_ns) / 1e6)
    if made.console:
        said_ns = made.console[0].host_ns
        times.add(f"command to first line, {name}", (said_ns - start_ns) / 1e6)
        times.add(f"first instruction to first line, {name}", (said_ns - first_ns) / 1e6)


def creating(guest: Path, runs: int, qemu: Vmm) -> None:
    """A VM, made and thrown away."""
    times = Times()
    for name in alternating(WORDS, runs):
        if name == "monitor":
            begin_ns = time.monotonic_ns()
            made = Microvm(Settings(clocks=WATCHED), None)
            times.add("monitor", (time.monotonic_ns() - begin_ns) / 1e6)
            made.close()
        else:
            times.add(name, asyncio.run(_ready_ms(qemu, guest)))
    times.show(f"A VM created (wanted of the monitor: {WANTED_VM_MS:g} ms)", "ms")


async def _ready_ms(qemu: Vmm, guest: Path) -> float:
    running = await qemu.start(MACHINES["QEMU microvm"], Load(guest), _Nobody())
    await running.kill()
    return (running.ready_ns - running.started_ns) / 1e6


class _Nobody:
    """A sink that keeps when which line ended, and nothing else."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self._rest = b""

    def console(self, host_ns: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [(host_ns, line.decode(errors="replace").strip()) for line in lines]

    def stream(self, _host_ns: int, _data: bytes) -> None:
        pass

    def machine_event(self, _host_ns: int, _name: str, _data: object) -> None:
        pass


def accessing(guest: Path, accesses: int, runs: int, qemu: Vmm) -> None:
    """Reads of a port, between two lines of the guest."""
    rates = Times()
    names = ("monitor, recording on", "monitor, nobody watching", "QEMU microvm, nobody watching")
    for name in alternating(names, runs):
        cpu = None
        if name == names[0]:
            seconds, cpu = asyncio.run(_recorded(guest))
        elif name == names[1]:
            seconds = _unwatched(guest)
        else:
            seconds, cpu = asyncio.run(_run(qemu, MACHINES["QEMU microvm"], guest))
        rates.add(name, accesses / seconds)
        if cpu:
            rates.add(f"{name}, CPU time", accesses / cpu)
    rates.show(f"Reads of a port in a second (wanted: {WANTED_ACCESSES:,})", "/s")


async def _recorded(guest: Path) -> tuple[float, float | None]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "r"
        identity = KernelIdentity(str(guest), "0" * 64, 0, "unknown", "", "ELF", "PVH", 0, None)
        header = Header(identity, MACHINES["monitor"], Load(guest), "a benchmark")
        recorder = Recorder(folder, header, Plan())
        await run(MonitorVmm(), recorder, None, Limits(timeout_s=120))
        made = Recording.open(folder)
        lines = [(line.host_ns, line.text) for line in made.console]
    return _between(lines), (made.header.qemu_cpu_ns or 0) / 1e9


def _unwatched(guest: Path) -> float:
    from timehands.monitor.loading import Load as Loaded

    said: list[tuple[int, bytes]] = []
    load = Loaded(memoryview(guest.read_bytes()))
    with Microvm(
        Settings(clocks=WATCHED), load, console=lambda d: said.append((time.monotonic_ns(), d))
    ) as made:
        made.resume()
        made.wait(120)
    sink = _Nobody()
    for host_ns, data in said:
        sink.console(host_ns, data)
    return _between(sink.lines)


async def _run(vmm: Vmm, machine: Machine, guest: Path) -> tuple[float, float | None]:
    sink = _Nobody()
    running = await vmm.start(machine, Load(guest), sink, talks=False)
    await running.resume()
    await running.wait(120)
    cpu_ns = running.cpu_ns()
    await running.end()
    return _between(sink.lines), (cpu_ns or 0) / 1e9


def _between(lines: Iterable[tuple[int, str]]) -> float:
    at = {text: host_ns for host_ns, text in lines}
    return (at["end"] - at["begin"]) / 1e9


def build(folder: Path, accesses: int) -> Path:
    """The guest that reads a port."""
    source, output = folder / "guest.c", folder / "guest"
    source.write_text(GUEST.format(accesses=accesses))
    flags = (*BARE_FLAGS, "-m32", "-march=i586", "-T", str(PAYLOADS / "bare.ld"))
    inputs = [source, PAYLOADS / "bare.S", PAYLOADS / "bare_serial.c"]
    command = [compiler(), *flags, "-I", str(PAYLOADS), "-o", str(output), *map(str, inputs)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return output


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--accesses", type=int, default=100_000)
    args = parser.parse_args()
    found = find_qemu(plugin=False)
    qemu = QemuVmm(str(found.path), found.version, found.sandbox)
    print(f"QEMU {qemu.version}, {args.runs} runs each: the median, and from the least to the most")
    with tempfile.TemporaryDirectory() as name:
        guest = build(Path(name), args.accesses)
        creating(guest, args.runs, qemu)
        accessing(guest, args.accesses, args.runs, qemu)
    starting(args.kernel, args.runs)


if __name__ == "__main__":
    main()
