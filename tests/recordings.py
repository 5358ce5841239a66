"""Recordings made by hand: a `Tape` is told what happens when, and writes a real recording folder.

::

    tape = Tape()
    tape.enter("start_kernel", ms=20)
    tape.call("native_calibrate_cpu_early", ms=30, until_ms=35, result=0)
    tape.line("Kernel panic - not syncing: no clock", ms=50)
    tape.ends("guest-reset", ms=60)
    recording = tape.write(tmp_path)

Times are host milliseconds since QEMU was started. Which functions are watched at their entry only
is taken from the plan for Linux, so that a recording looks like one that the watcher makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.linux.plan import WANTED
from timehands.machines.initrd import MARK_AFTER, MARK_BEFORE, MARK_END, MARK_INIT
from timehands.machines.machine import Load, Machine
from timehands.machines.survey_values import Survey
from timehands.watch.plugin import INSTRUMENT
from timehands.watch.recording import Header, KernelIdentity, Recording, Spot
from timehands.watch.records import DATA_BYTES, NO_RESULT, RECORD, Kind

MS = 1_000_000
#: When QEMU was started, on the host's monotonic clock, and the host's date then.
STARTED_NS = 7_000 * MS
DATE_NS = 1_790_000_000 * 10**9
PC = 0xFFFFFFFF81000000
POINTS = frozenset({PVH_ENTRY, ENTRY64, *(w.name for w in WANTED if not w.leave)})
LINUX = KernelIdentity(
    path="/boot/vmlinuz",
    sha256="a5" * 32,
    size=14_000_000,
    os="linux",
    version="6.1.0-test",
    format="bzImage (lz4)",
    entry="PVH",
    symbols=87_000,
    symbol_source="kallsyms",
    types=("BTF",),
    clock_functions=("tsc_init", "kvmclock_init", "mark_tsc_unstable"),
)
UNKNOWN = replace(LINUX, os="unknown", version="", clock_functions=())

Value = int | str | bytes


@dataclass
class Tape:
    """What a recording is made of. Every method that adds an event takes its time in ms."""

    machine: Machine = field(default_factory=Machine)
    kernel: KernelIdentity = LINUX
    arguments: tuple[str, ...] = ("console=ttyS0", "nokaslr", "panic=-1")
    instrument: str = INSTRUMENT
    survey: Survey | None = None
    events: list[tuple[int, bytes]] = field(default_factory=list)
    lines: list[tuple[int, str]] = field(default_factory=list)
    functions: dict[str, list[str]] = field(default_factory=dict)
    symbols: dict[int, str] = field(default_factory=dict)
    spots: tuple[Spot, ...] = ()
    reset_log: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    ended: tuple[str, int] | None = None

    def event(
        self,
        kind: Kind,
        *values: int,
        ms: float,
        vcpu: int = 0,
        pc: int = PC,
        flags: int = 0,
        passed: int = 0,
        reads: Mapping[int, bytes] | None = None,
    ) -> None:
        """Any event, as the watcher streams it."""
        at_ns = STARTED_NS + round(ms * MS)
        padded = [value & (1 << 64) - 1 for value in (*values, 0, 0, 0, 0, 0)[:5]]
        raw = RECORD.pack(int(kind), vcpu, flags, passed, at_ns, pc, *padded)
        for number, data in (reads or {}).items():
            raw += b"".join(_data_records(number, data))
        self.events.append((at_ns, raw))

    def begins(self, ms: float = 5) -> None:
        """The watcher says hello, and the vCPU runs its first instruction."""
        self.event(Kind.HELLO, 1, DATE_NS, 1, ms=0)
        self.event(Kind.FIRST, ms=ms)

    def enter(
        self,
        name: str,
        *arguments: int,
        ms: float,
        vcpu: int = 0,
        caller: int = PC,
        reads: Mapping[str, Value] | None = None,
    ) -> None:
        """A watched function is entered; ``reads`` is what was read with it, by name."""
        number, data = self._reads(name, reads or {})
        values = (number, *(*arguments, 0, 0, 0)[:3], caller)
        self.event(Kind.ENTER, *values, ms=ms, vcpu=vcpu, reads=data)

    def leave(
        self,
        name: str,
        result: int | None = 0,
        *,
        ms: float,
        vcpu: int = 0,
        reads: Mapping[str, Value] | None = None,
    ) -> None:
        """A watched function is left; ``result`` None: by a jump to another function."""
        number, data = self._reads(name, reads or {})
        flags = NO_RESULT if result is None else 0
        self.event(Kind.LEAVE, number, result or 0, ms=ms, vcpu=vcpu, flags=flags, reads=data)

    def call(
        self,
        name: str,
        *arguments: int,
        ms: float,
        until_ms: float,
        result: int | None = 0,
        reads: Mapping[str, Value] | None = None,
        vcpu: int = 0,
    ) -> None:
        """A whole call; ``reads`` was read at its return."""
        self.enter(name, *arguments, ms=ms, vcpu=vcpu)
        self.leave(name, result, ms=until_ms, reads=reads, vcpu=vcpu)

    def cpuid(self, leaf: int, *registers: int, ms: float, subleaf: int = 0) -> None:
        """CPUID and what it gave: eax, ebx, ecx, edx."""
        a, b, c, d = (*registers, 0, 0, 0, 0)[:4]
        self.event(Kind.CPUID, leaf | subleaf << 32, a | b << 32, c | d << 32, ms=ms)

    def port_in(self, port: int, value: int, *, ms: float, passed: int = 0) -> None:
        """A byte read from a port."""
        self.event(Kind.IN, port, value, 1, ms=ms, passed=passed)

    def port_out(self, port: int, value: int, *, ms: float) -> None:
        """A byte written to a port."""
        self.event(Kind.OUT, port, value, 1, ms=ms)

    def line(self, text: str, *, ms: float) -> None:
        """A line of the console."""
        self.lines.append((STARTED_NS + round(ms * MS), text))

    def clocksource(
        self, name: str, *, ms: float, rating: int, khz: int = 0, mult: int = 0, shift: int = 0
    ) -> None:
        """A clocksource is registered: by its frequency, or with its own mult and shift."""
        reads = {"name": name, "rating": rating, "mult": mult, "shift": shift}
        scale = 1000 if khz else 1
        self.enter("__clocksource_register_scale", 0, scale, khz, ms=ms, reads=reads)

    def jiffies(self, *, ms: float, name: str = "refined-jiffies", hz: int = 250) -> None:
        """The jiffies clocksource, with the mult and shift of its tick (kernel/time/jiffies.c)."""
        self.clocksource(name, ms=ms, rating=2, mult=(10**9 // hz) << 8, shift=8)

    def selects(self, name: str, *, ms: float) -> None:
        """The timekeeper switches to a clocksource."""
        reads: dict[str, Value] = {"name": name, "rating": 0}
        self.enter("timekeeping_notify", ms=ms, reads=reads)
        self.leave("timekeeping_notify", ms=ms + 0.01)

    def timer(self, name: str, *, ms: float) -> None:
        """A clock event device becomes the tick."""
        for function in ("tick_check_new_device", "tick_setup_device"):
            self.enter(function, ms=ms, reads={"name": name, "rating": 100})

    def init(self, *, ms: float) -> None:
        """Our init runs its first instruction."""
        self.cpuid(MARK_INIT, ms=ms)

    def finishes(self, *, ms: float) -> None:
        """Our init is about to end the machine."""
        self.cpuid(MARK_END, ms=ms)

    def reading(
        self,
        *,
        ms: float,
        until_ms: float,
        monotonic_ns: int,
        realtime_ns: int | None = None,
    ) -> None:
        """Our init reads its clocks between two marks."""
        real = DATE_NS + round(until_ms * MS) if realtime_ns is None else realtime_ns
        self.cpuid(MARK_BEFORE, ms=ms)
        self.event(Kind.CPUID, MARK_AFTER, monotonic_ns, real, ms=until_ms)

    def ends(self, reason: str, *, ms: float) -> None:
        """How the machine ended, as the recorder notes it."""
        self.ended = (reason, STARTED_NS + round(ms * MS))

    def write(self, folder: Path) -> Recording:
        """Write the folder and open it."""
        folder.mkdir(parents=True, exist_ok=True)
        header = json.dumps(self._header().to_json())
        (folder / "recording.json").write_text(header)
        ordered = sorted(self.events, key=lambda event: event[0])
        (folder / "events.bin").write_bytes(b"".join(raw for _, raw in ordered))
        rows = [json.dumps({"ns": ns, "text": text}) + "\n" for ns, text in sorted(self.lines)]
        (folder / "console.jsonl").write_text("".join(rows))
        names = json.dumps({f"{address:x}": name for address, name in self.symbols.items()})
        (folder / "symbols.json").write_text(names)
        (folder / "reset.log").write_text(self.reset_log)
        return Recording.open(folder)

    def _header(self) -> Header:
        reason, ended_ns = self.ended or (None, None)
        header = Header(
            self.kernel,
            self.machine,
            Load(Path(self.kernel.path), self.arguments),
            self.instrument,
            functions=tuple(self.functions),
            points=tuple(n for n, name in enumerate(self.functions) if name in POINTS),
            read_names=tuple(tuple(names) for names in self.functions.values()),
            started_ns=STARTED_NS,
            ready_ns=STARTED_NS + 3 * MS,
            resumed_ns=STARTED_NS + 4 * MS,
            ended_ns=ended_ns,
            ended_reason=reason,
            spots=self.spots,
            survey=self.survey.to_json() if self.survey else None,
        )
        return replace(header, **self.header)

    def _reads(self, name: str, reads: Mapping[str, Value]) -> tuple[int, dict[int, bytes]]:
        known = self.functions.setdefault(name, [])
        known += [read for read in reads if read not in known]
        number = list(self.functions).index(name)
        return number, {known.index(read): _bytes(value) for read, value in reads.items()}


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        return (value & (1 << 64) - 1).to_bytes(8, "little")
    return value.encode() if isinstance(value, str) else value


def _data_records(number: int, data: bytes) -> Iterable[bytes]:
    for start in range(0, max(len(data), 1), DATA_BYTES):
        part = data[start : start + DATA_BYTES]
        padded = part.ljust(DATA_BYTES, b"\0")
        words = [int.from_bytes(padded[i : i + 8], "little") for i in range(0, DATA_BYTES, 8)]
        yield RECORD.pack(int(Kind.DATA), 0, 0, number << 16 | len(part), 0, 0, *words)


def failed_calibration(tape: Tape, *, ms: float = 30) -> None:
    """Linux looks for its TSC's frequency in vain: leaf not read, both PIT ways fail."""
    tape.enter("native_calibrate_cpu_early", ms=ms)
    tape.port_out(0x43, 0xB0, ms=ms + 0.1)
    for step in range(20):
        tape.port_in(0x42, step, ms=ms + 0.2 + step / 100)
    tape.leave("native_calibrate_cpu_early", ms=ms + 4)
    tape.call("native_calibrate_tsc", ms=ms + 4.1, until_ms=ms + 4.2)
    tape.enter("pit_hpet_ptimer_calibrate_cpu", ms=ms + 5)
    tape.port_in(0x61, 0xFF, ms=ms + 5.1)
    tape.port_out(0x42, 0x9B, ms=ms + 5.2)
    tape.leave("pit_hpet_ptimer_calibrate_cpu", ms=ms + 6)
    tape.event(Kind.RDTSC, ms=ms + 5.5)
    tape.enter("mark_tsc_unstable", ms=ms + 6.5, reads={"string": "could not calculate TSC khz"})


def healthy_boot(*, khz: int = 2_500_000, guest_ppm: int = 0) -> Tape:
    """A Linux boot that finds its TSC against the PIT and runs on it; init reached at 1,000 ms."""
    tape = Tape()
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.call("timekeeping_init", ms=25, until_ms=26)
    tape.enter("determine_cpu_tsc_frequencies", ms=30)
    tape.enter("native_calibrate_cpu_early", ms=30.1)
    tape.event(Kind.RDTSC, ms=30.2)
    for step in range(20):
        tape.port_in(0x42, step, ms=31 + step / 10)
    tape.leave("native_calibrate_cpu_early", khz, ms=35)
    tape.leave("determine_cpu_tsc_frequencies", 1, ms=36)
    tape.jiffies(ms=40)
    tape.timer("lapic", ms=50)
    tape.clocksource("tsc-early", ms=60, rating=299, khz=khz)
    tape.selects("tsc-early", ms=70)
    tape.clocksource("tsc", ms=900, rating=300, khz=khz)
    tape.selects("tsc", ms=910)
    _run_init(tape, guest_ppm)
    return tape


def jiffies_boot() -> Tape:
    """A Linux boot that fails to find its TSC and runs on refined-jiffies; init at 1,000 ms."""
    tape = Tape()
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.call("timekeeping_init", ms=25, until_ms=26)
    failed_calibration(tape)
    tape.jiffies(ms=40)
    tape.timer("pit", ms=50)
    tape.call("calibrate_delay", ms=60, until_ms=120, reads={"loops_per_jiffy": 928_768})
    tape.selects("refined-jiffies", ms=200)
    _run_init(tape, 0)
    return tape


def _run_init(tape: Tape, guest_ppm: int) -> None:
    tape.line("Run /init as init process", ms=999)
    tape.init(ms=1000)
    tape.reading(ms=1001, until_ms=1001.2, monotonic_ns=900 * MS)
    passed_ns = 1000 * MS * (1_000_000 + guest_ppm) // 1_000_000
    tape.reading(ms=2001, until_ms=2001.2, monotonic_ns=900 * MS + passed_ns)
    tape.finishes(ms=2002)
    tape.ends("guest-reset", ms=2010)
