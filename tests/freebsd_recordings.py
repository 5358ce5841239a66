"""FreeBSD recordings made by hand: a `FreeBsdTape` knows what its functions are read with.

::

    tape = microvm()                       # a TSC that may not be measured, Xen's clock for DELAY
    tape.tc_init("i8254", ms=40, hz=1_193_182, quality=0, current="i8254")
    tape.prompt(ms=100)
    recording = tape.write(tmp_path)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recordings import LINUX, PC, Tape, Value
from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.freebsd.plan import POINTS
from timehands.guests.telling import CALLERS
from timehands.watch.interventions import Did, Intervention
from timehands.watch.recording import Header, Recording

FREEBSD = replace(
    LINUX,
    path="/boot/kernel/kernel",
    os="freebsd",
    version="14.2-TEST",
    format="ELF64",
    symbols=38_000,
    symbol_source="ELF symtab",
    types=("DWARF",),
    clock_functions=("tc_init", "tsc_init", "clockcalib", "kvm_clock_attach", "pvclock_init"),
)
TSC_HZ = 2_500_000_000
XEN_DELAY, I8254_DELAY = 0xFFFFFFFF8042C7A0, 0xFFFFFFFF808C1C30
FUNCTIONS = {XEN_DELAY: "xen_delay", I8254_DELAY: "i8254_delay"}


@dataclass
class FreeBsdTape(Tape):
    """A `Tape` of a FreeBSD boot. ``looked`` and ``patches`` are what the recorder kept besides."""

    looked: dict[str, Any] = field(default_factory=dict)
    patches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.kernel = FREEBSD if self.kernel is LINUX else self.kernel
        self.arguments = ("boot_verbose=1",)
        self.symbols.update(FUNCTIONS)

    def named(self, *names: str) -> tuple[int, ...]:
        """Addresses in functions of these names."""
        known = {name: address for address, name in self.symbols.items()}
        for name in names:
            known.setdefault(f"{name}+0x10", PC + 0x1000 * (len(self.symbols) + 1))
            self.symbols[known[f"{name}+0x10"]] = f"{name}+0x10"
        return tuple(known[f"{name}+0x10"] for name in names)

    def tc_init(
        self,
        name: str,
        *,
        ms: float,
        hz: int,
        quality: int,
        current: str,
        callers: tuple[str, ...] = ("attimer_attach", "device_attach"),
    ) -> None:
        """A timecounter is registered; ``current`` is in use when tc_init returns."""
        first, *further = self.named(*callers)
        reads: dict[str, Value] = {
            "tc_name": name,
            "tc_frequency": hz,
            "tc_counter_mask": b"\xff\xff\xff\xff",
            "tc_quality": quality.to_bytes(4, "little", signed=True),
            "tc_flags": bytes(4),
            CALLERS: b"".join(address.to_bytes(8, "little") for address in further),
        }
        self.enter("tc_init", ms=ms, caller=first, reads=reads)
        self.leave("tc_init", ms=ms + 0.01, reads={"current": current})

    def et_register(self, name: str, *, ms: float, hz: int, quality: int) -> None:
        """An event timer is registered: one-shot and periodic."""
        reads: dict[str, Value] = {
            "et_name": name,
            "et_flags": b"\3\0\0\0",
            "et_quality": quality.to_bytes(4, "little", signed=True),
            "et_frequency": hz,
        }
        self.enter("et_register", ms=ms, reads=reads)

    def delay(
        self,
        us: int,
        *,
        ms: float,
        early: int = XEN_DELAY,
        current: str = "dummy",
        quality: int = -1_000_000,
        tsc_hz: int = 0,
        invariant: bool = False,
        callers: tuple[str, ...] = ("ns8250_bus_attach",),
    ) -> None:
        """DELAY is entered."""
        reads: dict[str, Value] = {
            "early_delay": early,
            "tsc_freq": tsc_hz,
            "tsc_is_invariant": bytes([invariant, 0, 0, 0]),
            "current": current,
            "current_quality": quality.to_bytes(4, "little", signed=True),
        }
        self.enter("DELAY", us, ms=ms, caller=self.named(*callers)[0], reads=reads)

    def tsc(
        self,
        function: str,
        *,
        ms: float,
        until_ms: float,
        hz: int,
        skip: bool = False,
        disabled: bool = False,
        hv_high: int = 0x40000001,
        cpu_high: int = 0xD,
        vm_guest: int = 1,
    ) -> None:
        """tsc_init, start_TSC or tsc_calibrate, with the variables when it returns."""
        self.enter(function, ms=ms)
        reads: dict[str, Value] = {
            "tsc_freq": hz,
            "tsc_skip_calibration": int(skip),
            "tsc_disabled": int(disabled),
            "hv_high": hv_high,
            "cpu_high": cpu_high,
            "vm_guest": vm_guest,
        }
        self.leave(function, ms=until_ms, reads=reads)

    def clockcalib(self, name: str, *, ms: float, until_ms: float, hz: int, current: str) -> None:
        """clockcalib measures a clock against the timecounter in use."""
        self.enter("clockcalib", ms=ms, reads={"clkname": name, "current": current})
        self.leave("clockcalib", hz, ms=until_ms)

    def fault(self, *frames: str, ms: float, address: int = 0x20) -> None:
        """A page fault in the first of these functions, and the panic that follows."""
        places = dict(zip(("tf_rip", "caller1", "caller2", "caller3"), self.named(*frames)))  # noqa: B905
        self.enter("trap_fatal", ms=ms, reads={**places, "tf_addr": address, "tf_trapno": 12})
        self.line("Fatal trap 12: page fault while in kernel mode", ms=ms)
        self.line(f"fault virtual address\t= {address:#x}", ms=ms)
        self.line("panic: page fault", ms=ms + 1)
        self.ends("boundary", ms=ms + 2)

    def prompt(self, *, ms: float) -> None:
        """The kernel asks for its root file system."""
        self.enter("vfs_mountroot", ms=ms - 1)
        self.enter("cngets", ms=ms)
        self.ends("boundary", ms=ms + 10)

    def write(self, folder: Path) -> Recording:
        """Write the folder and open it."""
        super().write(folder)
        (folder / "looked.json").write_text(json.dumps(self.looked))
        done = [Intervention(n, 0, Did.PATCH, what) for n, what in enumerate(self.patches)]
        rows = [json.dumps(one.to_json()) + "\n" for one in done]
        (folder / "interventions.jsonl").write_text("".join(rows))
        return Recording.open(folder)

    def _header(self) -> Header:
        points = POINTS | {PVH_ENTRY, ENTRY64}
        numbers = tuple(n for n, name in enumerate(self.functions) if name in points)
        return replace(super()._header(), points=numbers)


def watched(tape: FreeBsdTape, functions: Iterable[str] = ("tc_init", "clockcalib")) -> FreeBsdTape:
    """The same, with these functions known to be watched though none of them was called."""
    for name in functions:
        tape.functions.setdefault(name, [])
    return tape


def microvm() -> FreeBsdTape:
    """FIRECRACKER's kernel on QEMU's microvm, until its TSC is given up (ms 30)."""
    tape = watched(FreeBsdTape())
    tape.begins()
    tape.enter(PVH_ENTRY, ms=10)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0)
    tape.tsc("start_TSC", ms=29, until_ms=30, hz=0, skip=True, disabled=True)
    tape.line("LAPIC: ipi_wait() us multiplier 1 (r 817008 tsc 0)", ms=31)
    return tape


def dummy_boot() -> FreeBsdTape:
    """A boot to the prompt whose TSC and LAPIC were measured against the dummy."""
    tape = watched(FreeBsdTape())
    tape.begins()
    tape.enter(PVH_ENTRY, ms=10)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0)
    tape.enter("start_TSC", ms=22)
    tape.delay(100_000, ms=23, early=I8254_DELAY, callers=("start_TSC",))
    tape.leave("DELAY", ms=123)
    tape.leave("start_TSC", ms=124, reads={"tsc_freq": TSC_HZ, "tsc_skip_calibration": 0})
    wrong_hz = 1_734_000_000
    tape.clockcalib("TSC", ms=200, until_ms=1200, hz=wrong_hz, current="dummy")
    callers = ("tsc_calibrate", "cpu_initclocks")
    half = wrong_hz >> 1
    tape.tc_init("TSC-low", ms=1201, hz=half, quality=800, current="TSC-low", callers=callers)
    tape.clockcalib("lapic", ms=1300, until_ms=1301, hz=347_000_000, current="TSC-low")
    tape.enter("cpu_initclocks_bsp", ms=1310)
    tape.et_register("LAPIC", ms=100, hz=0, quality=600)
    tape.looked = {"eventtimer": {"name": "LAPIC", "frequency": 347_000_000, "quality": 600}}
    tape.prompt(ms=1400)
    return tape


def healthy_freebsd() -> FreeBsdTape:
    """A boot to the prompt in which everything is measured against the i8254."""
    tape = watched(FreeBsdTape())
    tape.begins()
    tape.enter(PVH_ENTRY, ms=10)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0)
    tape.enter("start_TSC", ms=22)
    tape.delay(100_000, ms=23, early=I8254_DELAY, callers=("start_TSC",))
    tape.leave("DELAY", ms=123)
    tape.leave("start_TSC", ms=124, reads={"tsc_freq": TSC_HZ + 9, "tsc_skip_calibration": 0})
    tape.et_register("LAPIC", ms=150, hz=0, quality=600)
    tape.tc_init("i8254", ms=160, hz=1_193_182, quality=0, current="i8254")
    tape.clockcalib("TSC", ms=200, until_ms=270, hz=TSC_HZ, current="i8254")
    callers = ("tsc_calibrate", "cpu_initclocks")
    half = TSC_HZ >> 1
    tape.tc_init("TSC-low", ms=271, hz=half, quality=800, current="TSC-low", callers=callers)
    tape.clockcalib("lapic", ms=280, until_ms=283, hz=500_000_000, current="TSC-low")
    tape.enter("cpu_initclocks_bsp", ms=290)
    tape.looked = {
        "timecounter": {"name": "TSC-low", "frequency": half, "quality": 800},
        "eventtimer": {"name": "LAPIC", "frequency": 500_000_000, "quality": 600},
        "variables": {"tsc_freq": TSC_HZ, "vm_guest": 1, "hv_vendor": "TCGTCGTCGTCG"},
    }
    tape.prompt(ms=400)
    return tape
