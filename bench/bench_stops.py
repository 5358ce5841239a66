#!/usr/bin/env python3
"""Stops a second: our client and our sessions against gdb's own Python, and against the bound.

    bench/bench_stops.py [--stops 3000] [--rounds 3] [--gdb gdb] [--qemu qemu-system-x86_64]

A guest of a few lines (64 bits, with DWARF) calls functions and writes a variable, for ever, on a
microvm under TCG. In one run, taking turns, it is stopped

- at each write of the variable (a watchpoint: the guest is only told to go on),
- at each call of a function (a breakpoint: the guest has to be got past it first),

and the same is done at each stop:

- *registers*: the instruction pointer and one more, kept with the host's time;
- *name and callers*: ``tc->tc_name`` as text, and three callers by name, by DWARF.

Who does it:

- *bound*: a blocking loop around the socket that knows nothing: it sends ``g`` and ``c`` (``s``
  first, at a breakpoint) as bytes made before, and looks for the end of each reply. It is what
  this host and this QEMU allow a client to do one thing after the other.
- *client*: `GdbClient`. *Hopping* is `Passing.HOP`: the function begins with a no-operation, as
  Linux's do.
- *session*: `Stops` on a `Guest` with QMP and console, each stop written to a recording as
  ``timehands debug`` does. *Passed* is a stop whose condition does not hold or that an action takes
  care of; a *shown* one is handed to the caller. Its name and callers are kept in the recording.
- *inside*: `InsideClient`, whose stops the plugin makes (breakpoints only), and sessions with it.
  QEMU runs on, and so does the guest's time; the work that is done at a stop is the same.
- *gdb*: ``gdb -batch -x script.py``, in two ways: a loop around its ``continue``, and a ``stop``
  method that returns False, its fastest way, in which a script cannot let the guest run by itself.
  It keeps no recording, and takes a fifth as many stops.

*One CPU* is all of that, QEMU too, held to one processor from the start, as taskset(1) does: what
is done one after the other is then done without waking idle processors. Our client and sessions do
that by themselves (timehands/watch/gdb/together.py); *apart* is our client when it does not. What
of the gain is the processor's shows in *bound* and *gdb* with and without.

*Ever other* callers and names are those of 97 stops in turn, each with a stack pointer of its own:
more than a session remembers (timehands/watch/stops/again.py).

Times are within one process, from the first stop to the last. Both sides' answers are compared
where names are asked for. Nothing else is asserted. What *bound* is of gdb's best, each on one
processor or each not, is the most that any client of this stub could gain on gdb with the same
work.

Why breakpoints cost more than watchpoints: two runs and two stops of the guest instead of one
(a step, then on), and each stop that is no watchpoint's makes QEMU under TCG throw away all code
that it has translated (gdbstub/system.c, gdb_vm_state_change: tb_flush unless watchpoint_hit; a
patch of September 2025 on qemu-devel takes it out), some 100 us in its main thread. Hopping runs
the guest once: only half of that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from timehands.kernels.kernel import Kernel
from timehands.machines.build import compiler
from timehands.machines.machine import Load, Machine
from timehands.machines.vmm import QemuVmm
from timehands.watch.gdb import BreakKind, Breakpoint, GdbClient, Passing
from timehands.watch.gdb.packets import frame
from timehands.watch.plan import Plan
from timehands.watch.plugin import watcher_for
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Header, KernelIdentity
from timehands.watch.run import started
from timehands.watch.stops import Log, Stops, parse
from timehands.watch.stops.inside import InsideClient
from timehands.watch.stops.sites import Site

TIMEOUT_S = 300
COMMON = Path(__file__).resolve().parent.parent / "tests" / "guest_kernels" / "common"
FLAGS = (
    "-O2", "-g", "-std=gnu11", "-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pic",
    "-mcmodel=kernel", "-mno-red-zone", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls",
    "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables",
    "-mno-mmx", "-mno-sse", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-e,start",
    "-DPVH_ENTRY=start", "-DFIRST=cpu_startup", "-DSECOND=cpu_idle",
)  # fmt: skip
SOURCE = """
struct timecounter { int tc_quality; const char *tc_name; } i8254 = { 100, "i8254" };
struct timecounter varied[9] = {
    { 0, "i8254" }, { 1, "HPET" }, { 2, "ACPI-fast" }, { 3, "ACPI-safe" }, { 4, "TSC" },
    { 5, "TSC-low" }, { 6, "LAPIC" }, { 7, "kvmclock" }, { 8, "Hyper-V" } };
/* On a page without code: the emulator translates code anew when its page is written. */
volatile struct { unsigned counted, more[2047]; } page __attribute__((aligned(4096)));
void tick(void);
__asm__("tick: .byte 0x0f, 0x1f, 0x44, 0, 0; incl page; ret");
__attribute__((noinline)) void tc_init(struct timecounter *tc) { tc->tc_quality++; tick(); }
__attribute__((noinline)) void startrtclock(void) { tc_init(&i8254); page.more[0] = 0; }
__attribute__((noinline)) void cpu_configure(void) { startrtclock(); page.more[1] = 0; }
__attribute__((noinline)) void tc_windup(struct timecounter *tc) { tc->tc_quality++; tick(); }
__attribute__((noinline)) void statclock(int n) {
    volatile char room[16 * n + 16];
    room[0] = 0;
    tc_windup(&varied[n % 9]);
    page.more[2] = 0;
}
__attribute__((noinline)) void hardclock(int n) { statclock(n); page.more[3] = 0; }
void cpu_startup(void) {
    for (unsigned n = 0;; n = (n + 1) % 97) {
        cpu_configure();
        hardclock(n);
        page.more[4] = 0;
    }
}
void cpu_idle(void) {}
void timer_interrupt(void) {}
void traps_init(void) {}
"""
SCRIPT = """
import gdb, time
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set can-use-hw-watchpoints 1")
gdb.execute("file {kernel}")
gdb.execute("target remote {socket}")
rows = []

def registers():
    frame = gdb.newest_frame()
    return tuple(int(frame.read_register(name)) for name in ("rip", "rax"))

def name_and_callers():
    frame = gdb.newest_frame()
    text = frame.read_var("tc")["tc_name"].string()
    callers = []
    for _ in range(3):
        frame = frame.older()
        callers.append(frame.name())
    return (text, *callers)

def look():
    rows.append((time.monotonic_ns(), {look}()))

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
    print(len(rows), rows[-1][0] - rows[0][0], *rows[-1][1], file=log)
gdb.execute("kill")
"""
#: The callers that every stop at these functions has to tell, and the names, in turn.
NAMED = {
    "tc_init": ("startrtclock", "cpu_configure", "cpu_startup"),
    "tc_windup": ("statclock", "hardclock", "cpu_startup"),
}
VARIED = ("i8254", "HPET", "ACPI-fast", "ACPI-safe", "TSC", "TSC-low", "LAPIC", "kvmclock",
          "Hyper-V")  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Where to stop (``watch``: at writes), how often; ``names``: name and callers at each."""

    qemu: str
    gdb: str
    kernel: Kernel
    folder: Path
    symbol: str
    watch: bool
    stops: int
    names: bool = False

    @property
    def address(self) -> int:
        """Of the function, or the variable."""
        return self.kernel.symbols.lookup(self.symbol)[0]

    @property
    def point(self) -> Breakpoint:
        """As the protocol knows it."""
        if self.watch:
            return Breakpoint(BreakKind.WRITE, self.address, 4)
        return Breakpoint(BreakKind.SOFTWARE, self.address)

    @property
    def want(self) -> str:
        """As a session knows it."""
        return f"write of {self.symbol}.counted" if self.watch else self.symbol

    def named(self, number: int) -> tuple[str, ...]:
        """What a stop has to say, counted from 0."""
        varies = self.symbol == "tc_windup"
        return VARIED[number % 97 % len(VARIED) if varies else 0], *NAMED[self.symbol]

    @property
    def machine(self) -> list[str]:
        """The command, but for the stub."""
        words = [self.qemu, "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-machine", "microvm", "-cpu", "max", "-accel", "tcg", "-m", "64", "-S"]
        return [*words, "-kernel", str(self.kernel.path)]


Way = Callable[[Task], float]


def build(folder: Path) -> Path:
    """The guest."""
    source, guest = folder / "guest.c", folder / "guest"
    source.write_text(SOURCE)
    inputs = [str(source), str(COMMON / "entry.S"), "-T", str(COMMON / "kernel.ld")]
    command = [compiler(), *FLAGS, "-o", str(guest), *inputs]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return guest


def wired(task: Task, use: Callable[[socket.socket, int], float]) -> float:
    """What comes of using the stub of a machine, whose process is named."""
    ours, theirs = socket.socketpair()
    stub = ["-chardev", f"socket,id=gdb,fd={theirs.fileno()}", "-gdb", "chardev:gdb"]
    qemu = subprocess.Popen(
        [*task.machine, *stub], pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL
    )
    theirs.close()
    try:
        return use(ours, qemu.pid)
    finally:
        qemu.kill()
        qemu.wait()
        ours.close()


def bound(task: Task) -> float:
    """Stops a second of a loop around the socket."""

    def use(stub: socket.socket, _process: int) -> float:
        stub.settimeout(TIMEOUT_S)
        times: list[int] = []
        ask(stub, b"?")
        ask(stub, b"Z" + task.point.wire())
        while len(times) < task.stops:
            if times and not task.watch:
                ask(stub, b"s")
            ask(stub, b"c")
            ask(stub, b"g")
            times.append(time.monotonic_ns())
        return (len(times) - 1) * 1e9 / (times[-1] - times[0])

    return wired(task, use)


def ask(stub: socket.socket, payload: bytes) -> None:
    """One packet there, one back."""
    stub.send(b"+" + frame(payload))
    reply = b""
    while reply[-3:-2] != b"#":
        reply += stub.recv(1 << 16)


def client(task: Task, passing: Passing = Passing.STEP, *, apart: bool = False) -> float:
    """Stops a second of our client."""

    async def stop_often(stub: socket.socket, process: int) -> float:
        rows: list[tuple[int, int, int]] = []
        async with await GdbClient.connect(stub, process=None if apart else process) as gdb:
            await gdb.insert(task.point)
            gdb.passing = passing
            while len(rows) < task.stops:
                await gdb.resume()
                await gdb.wait_stop(TIMEOUT_S)
                registers = await gdb.registers()
                rows.append((time.monotonic_ns(), registers["rip"], registers["rax"]))
        return (len(rows) - 1) * 1e9 / (rows[-1][0] - rows[0][0])

    return wired(task, lambda stub, process: asyncio.run(stop_often(stub, process)))


def inside(task: Task) -> float:
    """Stops a second of the plugin's client."""

    async def stop_often(plugin: socket.socket, process: int) -> float:
        rows: list[tuple[int, int, int]] = []
        client = InsideClient(plugin, (task.address,), running, process=process)
        await client.insert(task.point)
        while len(rows) < task.stops:
            await client.resume()
            await client.wait_stop(TIMEOUT_S)
            registers = await client.registers()
            rows.append((time.monotonic_ns(), registers["rip"], registers["rax"]))
        client.close()
        return (len(rows) - 1) * 1e9 / (rows[-1][0] - rows[0][0])

    async def running() -> None:
        """It was not started to stand still."""

    plan = task.folder / "plan.txt"
    plan.write_text(Plan(stops=(task.address,)).text())
    watcher = watcher_for(plan, Plan(stops=(task.address,)), steady=False)
    ours, theirs = socket.socketpair()
    with Path(os.devnull).open("wb") as stream:
        words = [str(watcher.path), f"fd={stream.fileno()}", f"stops={theirs.fileno()}"]
        command = [word for word in task.machine if word != "-S"]
        qemu = subprocess.Popen(
            [*command, "-plugin", ",".join([*words, *watcher.arguments])],
            pass_fds=[stream.fileno(), theirs.fileno()], stderr=subprocess.DEVNULL,
        )  # fmt: skip
    theirs.close()
    try:
        return asyncio.run(stop_often(ours, qemu.pid))
    finally:
        qemu.kill()
        qemu.wait()
        ours.close()


def on_one_cpu(way: Way) -> Way:
    """The same with this thread, and so all that it starts, held to one processor."""

    def held(task: Task) -> float:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        try:
            return way(task)
        finally:
            os.sched_setaffinity(0, before)

    return held


hopping = partial(client, passing=Passing.HOP)


Session = Callable[[Task, Stops], Awaitable[list[int]]]


def recorded(task: Task, session: Session, *, within: bool = False) -> float:
    """Stops a second of a session that is recorded; ``within`` the plugin, else by the stub."""

    async def run(folder: Path) -> list[int]:
        path = task.kernel.path
        identity = KernelIdentity(str(path), "", path.stat().st_size, "", "", "", "", 0, "")
        header = Header(identity, Machine(), Load(path), "stops")
        recorder = Recorder(folder, header, Plan())
        plan = Plan(stops=(task.address,)) if within else None
        async with started(
            QemuVmm(task.qemu), recorder, plan, talks=False, gdb=not within
        ) as guest:
            process = guest.process_id
            if guest.stops is not None:
                plugin = InsideClient(guest.stops, (task.address,), guest.resume, process=process)
                times = await session(task, Stops(plugin, task.kernel, log=Log(recorder)))
                plugin.close()
                return times
            assert guest.gdb is not None
            async with await GdbClient.connect(guest.gdb, process=process) as gdb:
                return await session(task, Stops(gdb, task.kernel, log=Log(recorder)))

    with tempfile.TemporaryDirectory(dir=task.folder) as name:
        times = asyncio.run(run(Path(name)))
    return (len(times) - 1) * 1e9 / (times[-1] - times[0])


async def passed(task: Task, stops: Stops) -> list[int]:
    """An action looks at the registers, and is shown the last stop only."""
    times: list[int] = []

    async def act(stops: Stops, _site: Site) -> bool:
        await stops.client.registers()
        times.append(time.monotonic_ns())
        return len(times) < task.stops

    await stops.place(parse(task.want), action=act)
    await stops.run(TIMEOUT_S)
    return times


async def shown(task: Task, stops: Stops) -> list[int]:
    """Each stop is handed over, and looked at."""
    times: list[int] = []
    await stops.place(parse(task.want))
    while len(times) < task.stops:
        stop = await stops.run(TIMEOUT_S)
        if stop is None:
            sys.exit("the guest did not stop")
        if task.names:
            name, trace = await stop.text("tc->tc_name"), await stop.backtrace(4)
            found = (name.split('"')[1], *trace.names[1:4])
            if found != task.named(len(times)):
                sys.exit(f"the session found {found}")
        else:
            await stop.registers()
        times.append(time.monotonic_ns())
    return times


def with_gdb(task: Task, loop: bool) -> float:
    """Stops a second of gdb's Python."""
    path, log, script = (task.folder / name for name in ("gdb", "log", "script.py"))
    path.unlink(missing_ok=True)
    count = max(2, task.stops // 5)
    look = "name_and_callers" if task.names else "registers"
    script.write_text(
        SCRIPT.format(
            kernel=task.kernel.path, socket=path, address=hex(task.address), watch=task.watch,
            stops=count, loop=loop, log=log, look=look,
        )
    )  # fmt: skip
    qemu = subprocess.Popen(
        [*task.machine, "-gdb", f"unix:{path},server=on,wait=off"], stderr=subprocess.DEVNULL
    )
    try:
        while not path.exists():
            time.sleep(0.01)
        subprocess.run(
            [task.gdb, "-nx", "-batch", "-x", str(script)],
            capture_output=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        qemu.kill()
        qemu.wait()
    number, ns, *last = log.read_text().split()
    # its count was seen to be off: it is held to the callers, and to some name
    if task.names and (tuple(last[1:]) != NAMED[task.symbol] or last[0] not in VARIED):
        sys.exit(f"gdb found {last}")
    return (int(number) - 1) * 1e9 / int(ns)


INSIDE: dict[str, Way] = {
    "inside": inside,
    "inside, session, passed": partial(recorded, session=passed, within=True),
    "inside, session, shown": partial(recorded, session=shown, within=True),
}
GDB: dict[str, Way] = {
    "gdb, a loop": partial(with_gdb, loop=True),
    "gdb, stop()": partial(with_gdb, loop=False),
    "gdb, stop(), one CPU": on_one_cpu(partial(with_gdb, loop=False)),
}
REGISTERS: dict[str, Way] = {
    "bound": bound,
    "bound, one CPU": on_one_cpu(bound),
    "client, apart": partial(client, apart=True),
    "client": client,
    "client, hopping": hopping,
    "session, passed": partial(recorded, session=passed),
    "session, shown": partial(recorded, session=shown),
    **INSIDE,
    **GDB,
}
NAMES: dict[str, Way] = {
    "session, shown": partial(recorded, session=shown),
    "inside, session, shown": INSIDE["inside, session, shown"],
    **GDB,
}


def measure(qemu: str, gdb: str, stops: int, rounds: int) -> None:
    """All tasks, all ways, in turns; a table for each task."""
    print(f"stops a second, {rounds} rounds, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kernel = Kernel.open(build(folder), cache=False)
        writes = Task(qemu, gdb, kernel, folder, "page", True, stops)
        calls = replace(writes, symbol="tick", watch=False)
        told = replace(calls, symbol="tc_init", names=True)
        breaks = (hopping, *INSIDE.values())
        hops = {who: way for who, way in REGISTERS.items() if way not in breaks}
        for words, task, ways in (
            ("watchpoint, registers", writes, hops),
            ("breakpoint, registers", calls, REGISTERS),
            ("breakpoint, name and callers", told, NAMES),
            ("... ever other ones", replace(told, symbol="tc_windup"), NAMES),
        ):
            rates: dict[str, list[float]] = {who: [] for who in ways}
            for _ in range(rounds):
                for who, way in ways.items():
                    rates[who].append(way(task))
            show(words, rates)


def show(words: str, rates: dict[str, list[float]]) -> None:
    """The rows, and how they stand to gdb's faster way: as it comes, and on one processor."""
    medians = {who: statistics.median(found) for who, found in rates.items()}
    gdb = max(medians["gdb, a loop"], medians["gdb, stop()"])
    held = medians["gdb, stop(), one CPU"]
    print(f"  {words:32}median   least to greatest    of gdb's best   of it on one CPU")
    for who, found in rates.items():
        span = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"    {who:26}{medians[who]:10,.0f}   {span:20}"
              f"{medians[who] / gdb:8.1f}{medians[who] / held:17.1f}")  # fmt: skip


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
