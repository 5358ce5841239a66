#!/usr/bin/env python3
"""Stops a second: our client of the GDB remote protocol against gdb's own Python.

    bench/bench_stops.py [--stops 3000] [--rounds 3] [--gdb gdb] [--qemu qemu-system-x86_64]

A bare guest calls a function and writes a variable, for ever, on a microvm under TCG. In one run,
taking turns, our client and gdb stop it

- at each write of the variable (a watchpoint: the guest is only told to go on),
- at each call of the function (a breakpoint: the guest has to be got past it first; *hopping* is
  `Passing.HOP`: the function begins with a no-operation, as kernels' functions do),

and do the same at each stop: read the instruction pointer and one more register, keep them with
the host's time. gdb runs ``gdb -batch -x script.py`` in two ways: a loop around its ``continue``,
as our client's, and a ``stop`` method that returns False, its fastest way, in which a script cannot
let the guest run by itself. Times are within one process, from the first stop to the last. Nothing
is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timehands.kernels.kernel import Kernel
from timehands.machines.build import BARE_FLAGS, PAYLOADS, compiler
from timehands.watch.gdb import BreakKind, Breakpoint, GdbClient, Passing

TIMEOUT_S = 300
SOURCE = """
#include "bare.h"
/* On a page without code: the emulator translates code anew when its page is written. */
volatile struct { unsigned counted, more[2047]; } page __attribute__((aligned(4096)));
void tick(void);
__asm__("tick: .byte 0x0f, 0x1f, 0x44, 0, 0; incl page; ret");
void bare_main(const uint32_t *start_info) { (void)start_info; for (;;) tick(); }
"""
SCRIPT = """
import gdb, time
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set can-use-hw-watchpoints 1")
gdb.execute("target remote {socket}")
rows = []

def look():
    frame = gdb.newest_frame()
    pc, rax = (int(frame.read_register(name)) for name in ("rip", "rax"))
    rows.append((time.monotonic_ns(), pc, rax))

class Stop(gdb.Breakpoint):
    def stop(self):
        look()
        return len(rows) >= {stops}

kind = gdb.Breakpoint if {loop} else Stop
if {watch}:
    kind("*(unsigned *){address}", gdb.BP_WATCHPOINT, gdb.WP_WRITE)
else:
    kind("*{address}")
while len(rows) < {stops}:
    gdb.execute("continue", to_string=True)
    if {loop}:
        look()
with open("{log}", "w") as log:
    print(len(rows), rows[-1][0] - rows[0][0], file=log)
gdb.execute("kill")
"""


def build(folder: Path) -> Path:
    """The guest."""
    source, guest = folder / "guest.c", folder / "guest"
    source.write_text(SOURCE)
    flags = (*BARE_FLAGS, "-m32", "-march=i586", "-T", str(PAYLOADS / "bare.ld"))
    inputs = (source, PAYLOADS / "bare.S", PAYLOADS / "bare_serial.c")
    command = [compiler(), *flags, "-I", str(PAYLOADS), "-o", str(guest), *map(str, inputs)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return guest


def machine(qemu: str, guest: Path) -> list[str]:
    """The command, but for the stub."""
    words = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "microvm"]
    return [*words, "-cpu", "max", "-accel", "tcg", "-m", "64", "-kernel", str(guest), "-S"]


def with_ours(command: list[str], address: int, watch: bool, stops: int, hops: bool) -> float:
    """Stops a second of our client."""
    ours, theirs = socket.socketpair()
    stub = ["-chardev", f"socket,id=gdb,fd={theirs.fileno()}", "-gdb", "chardev:gdb"]
    qemu = subprocess.Popen(
        [*command, *stub], pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL
    )
    theirs.close()
    try:
        return asyncio.run(stop_often(ours, address, watch, stops, hops))
    finally:
        qemu.kill()
        qemu.wait()


async def stop_often(
    stub: socket.socket, address: int, watch: bool, stops: int, hops: bool
) -> float:
    """The same work as the script's."""
    rows: list[tuple[int, int, int]] = []
    kind, length = (BreakKind.WRITE, 4) if watch else (BreakKind.SOFTWARE, 1)
    async with await GdbClient.connect(stub) as gdb:
        await gdb.insert(Breakpoint(kind, address, length))
        if hops:
            gdb.passing = Passing.HOP
        while len(rows) < stops:
            await gdb.resume()
            await gdb.wait_stop(TIMEOUT_S)
            registers = await gdb.registers()
            rows.append((time.monotonic_ns(), registers["rip"], registers["rax"]))
    return (len(rows) - 1) * 1e9 / (rows[-1][0] - rows[0][0])


def with_gdb(
    gdb: str, command: list[str], folder: Path, *, address: int, watch: bool, stops: int, loop: bool
) -> float:
    """Stops a second of gdb's Python."""
    path, log, script = folder / "gdb", folder / "log", folder / "script.py"
    path.unlink(missing_ok=True)
    words = {"socket": path, "stops": stops, "watch": watch, "loop": loop, "log": log}
    script.write_text(SCRIPT.format(address=hex(address), **words))
    qemu = subprocess.Popen(
        [*command, "-gdb", f"unix:{path},server=on,wait=off"], stderr=subprocess.DEVNULL
    )
    try:
        while not path.exists():
            time.sleep(0.01)
        subprocess.run(
            [gdb, "-nx", "-batch", "-x", str(script)],
            capture_output=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        qemu.kill()
        qemu.wait()
    count, ns = map(int, log.read_text().split())
    return (count - 1) * 1e9 / ns


def measure(qemu: str, gdb: str, stops: int, rounds: int) -> None:
    """Both kinds, both clients, in turns; one table."""
    print(f"stops a second, {rounds} rounds          median   least to greatest")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guest = build(folder)
        command = machine(qemu, guest)
        symbols = Kernel.open(guest, cache=False).symbols
        for words, symbol, watch in (
            ("watchpoint", "page", True),
            ("breakpoint", "tick", False),
        ):
            address = symbols.lookup(symbol)[0]
            rates: dict[str, list[float]] = {}
            for _ in range(rounds):
                for who, hops in (("ours", False), ("ours, hopping", True)):
                    rate = with_ours(command, address, watch, stops, hops)
                    rates.setdefault(who, []).append(rate)
                for who, loop in (("gdb, a loop", True), ("gdb, stop()", False)):
                    rate = with_gdb(
                        gdb, command, folder,
                        address=address, watch=watch, stops=max(2, stops // 5), loop=loop,
                    )  # fmt: skip
                    rates.setdefault(who, []).append(rate)
            show(words, rates)


def show(words: str, rates: dict[str, list[float]]) -> None:
    """The rows, and what they say."""
    ours = statistics.median(rates["ours"])
    hopping = statistics.median(rates["ours, hopping"])
    for who, found in rates.items():
        span = f"{min(found):,.0f} to {max(found):,.0f}"
        median = statistics.median(found)
        times = f"   ours is {ours / median:.1f}, hopping {hopping / median:.1f} times that"
        ratio = "" if who.startswith("ours") else times
        print(f"  {words + ', ' + who:30}{median:10,.0f}   {span:18}{ratio}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Stops a second, against gdb's own Python.")
    parser.add_argument("--stops", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gdb", default="gdb")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    args = parser.parse_args()
    programs = [shutil.which(name) for name in (args.qemu, args.gdb)]
    if None in programs:
        sys.exit(f"both of these programs are needed: {args.qemu} {args.gdb}")
    measure(args.qemu, args.gdb, args.stops, args.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
