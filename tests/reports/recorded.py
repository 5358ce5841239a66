"""A small recording on disk, written by hand: one event of each kind, a hostile console."""

from __future__ import annotations

import json
from pathlib import Path

from reports.build import HOSTILE, KERNEL, MS, machine_load
from timehands.watch.recording import Header, Recording
from timehands.watch.records import NO_RESULT, RECORD, Kind

START = 5_000 * MS
FUNCTIONS = ("mark_tsc_unstable", "tsc_init", HOSTILE)
READS = (("string", "rating"), ("tsc_khz",), ())
PC = 0xFFFFFFFF81001000
NATIVE = "native_calibrate_tsc+0x3c"


def pair(low: int, high: int) -> int:
    """Two 32-bit registers as the watcher packs them."""
    return low | high << 32


def record(kind: Kind, *values: int, ms: int = 0, flags: int = 0, extra: int = 0) -> bytes:
    """A record as the watcher streams it."""
    padded = (*values, 0, 0, 0, 0, 0)[:5]
    return RECORD.pack(int(kind), 0, flags, extra, START + ms * MS, PC, *padded)


def data(number: int, raw: bytes) -> bytes:
    """What was read with the record before."""
    return RECORD.pack(int(Kind.DATA), 0, 0, number << 16 | len(raw), 0, 0, *_words(raw))


def _words(raw: bytes) -> list[int]:
    padded = raw.ljust(40, b"\0")
    return [int.from_bytes(padded[i : i + 8], "little") for i in range(0, 40, 8)]


EVENTS = (
    record(Kind.HELLO, 1),
    record(Kind.FIRST, ms=91),
    record(Kind.CPUID, pair(0x15, 0), 0, 0, ms=100),
    record(Kind.CPUID, pair(0xD, 1), pair(0xF, 0x240), pair(0, 7), ms=101),
    record(Kind.RDTSC, ms=102),
    record(Kind.RDMSR, 0x10, 0x1234, ms=103),
    record(Kind.WRMSR, 0x4B564D01, 0x1001, ms=104),
    record(Kind.IN, 0x42, 0x9F, 1, ms=105, extra=41_000),
    record(Kind.IN, 0x61, 0, 1, ms=106, flags=NO_RESULT),
    record(Kind.OUT, 0x43, 0xB0, 1, ms=107),
    record(Kind.MMIO_READ, 0xFEE00390, 0xFFFF, 4, ms=108),
    record(Kind.MMIO_WRITE, 0xFED00010, 1, 4, ms=109),
    record(Kind.ENTER, 0, 1, 2, 3, PC, ms=110)
    + data(0, b"could not calculate TSC khz")
    + data(1, (300).to_bytes(4, "little")),
    record(Kind.LEAVE, 1, 0, ms=111) + data(0, (2_596_132).to_bytes(4, "little")),
    record(Kind.ENTER, 2, ms=112),
    record(Kind.ENTER, 99, ms=113),
    record(Kind.SLIDE, 0x1E00000, ms=114),
    record(Kind.COUNT, 7, 50_000, 49_000, ms=115),
    record(Kind.COST, 1, 2, 3, 4, 5, ms=116),
)


def recording(folder: Path, events: bytes = b"".join(EVENTS), lines: int = 60) -> Recording:
    """The recording, written to a folder and opened."""
    machine, load = machine_load()
    header = Header(
        KERNEL,
        machine,
        load,
        "QEMU plugin",
        functions=FUNCTIONS,
        read_names=READS,
        started_ns=START,
    )
    (folder / "recording.json").write_text(json.dumps(header.to_json()))
    (folder / "events.bin").write_bytes(events)
    (folder / "symbols.json").write_text(json.dumps({f"{PC:x}": NATIVE}))
    rows = ({"ns": START + i * MS, "text": f"line {i} {HOSTILE}"} for i in range(lines))
    (folder / "console.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Recording.open(folder)
