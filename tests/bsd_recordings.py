"""Recordings of NetBSD and OpenBSD made by hand, as `recordings.Tape` makes Linux's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recordings import LINUX, PC, Tape, Value
from timehands.guests.base import ENTRY64, PVH_ENTRY
from timehands.guests.bsd.planning import Wanted, before_name
from timehands.guests.netbsd.plan import WANTED as NETBSD_WANTED
from timehands.guests.openbsd.plan import WANTED as OPENBSD_WANTED
from timehands.watch.recording import Header, KernelIdentity, Recording

NETBSD = replace(LINUX, os="netbsd", version="10.99-test", format="ELF64", symbol_source="elf")
OPENBSD = replace(NETBSD, os="openbsd", version="7.7")
_WANTED: dict[str, tuple[Wanted, ...]] = {"netbsd": NETBSD_WANTED, "openbsd": OPENBSD_WANTED}
I8254_DELAY, LAPIC_DELAY = PC + 0x100, PC + 0x200
#: Where main called from, and a function that main called.
IN_MAIN, IN_INITCLOCKS = PC + 0x1010, PC + 0x2010
NAMES = {
    I8254_DELAY: "i8254_delay",
    LAPIC_DELAY: "lapic_delay",
    IN_MAIN: "main+0x10",
    IN_INITCLOCKS: "initclocks+0x10",
}


@dataclass
class BsdTape(Tape):
    """A tape of NetBSD, unless told otherwise. ``looked``: the kernel's variables at the end."""

    kernel: KernelIdentity = NETBSD
    arguments: tuple[str, ...] = ("console=com", "-v")
    symbols: dict[int, str] = field(default_factory=lambda: dict(NAMES))
    looked: dict[str, Any] = field(default_factory=dict)

    def counter(
        self,
        name: str,
        *,
        ms: float,
        hz: int,
        quality: int,
        using: str | None = None,
        caller: int = IN_MAIN,
        further: tuple[int, ...] = (),
    ) -> None:
        """A tc_init, and which timecounter it leaves in use (None: that was not read)."""
        reads: dict[str, Value] = {
            "tc_name": name,
            "tc_frequency": hz,
            "tc_counter_mask": (0xFFFFFFFF).to_bytes(4, "little"),
            "tc_quality": quality.to_bytes(4, "little", signed=True),
            "callers": b"".join(address.to_bytes(8, "little") for address in further),
        }
        self.enter("tc_init", ms=ms, caller=caller, reads=reads)
        left: dict[str, Value] = {} if using is None else {"current": using}
        self.leave("tc_init", None, ms=ms + 0.1, reads=left)

    def measures(
        self,
        function: str,
        *arguments: int,
        ms: float,
        until_ms: float,
        before: dict[str, int] | None = None,
        after: dict[str, int] | None = None,
        result: int = 0,
    ) -> None:
        """A call that calibrates, with variables at its entry and return."""
        entry: dict[str, Value] = {before_name(k): v for k, v in (before or {}).items()}
        self.enter(function, *arguments, ms=ms, reads=entry)
        at_return: dict[str, Value] = {**(after or {})}
        self.leave(function, result, ms=until_ms, reads=at_return)

    def write(self, folder: Path) -> Recording:
        """Write the folder, with what was looked at, and open it."""
        recording = super().write(folder)
        (folder / "looked.json").write_text(json.dumps(self.looked))
        return recording

    def _header(self) -> Header:
        points = {PVH_ENTRY, ENTRY64, *(w.name for w in _WANTED[self.kernel.os] if not w.leave)}
        numbers = tuple(n for n, name in enumerate(self.functions) if name in points)
        return replace(super()._header(), points=numbers)


def netbsd_boot() -> BsdTape:
    """A NetBSD that finds its clocks as on QEMU's microvm: i8254 chosen, prompt at 900 ms."""
    tape = BsdTape()
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.cpuid(0, 0xD, 0x68747541, 0x444D4163, 0x69746E65, ms=21)
    tape.counter("i8254", ms=30, hz=1_193_182, quality=100, using="i8254")
    _told_nothing(tape, ms=40)
    tape.measures(
        "cpu_get_tsc_freq", ms=39, until_ms=140,
        before={"delay_func": I8254_DELAY, "cpu_cc_freq": 0}, after={"cpu_cc_freq": 2_570_000_000},
    )  # fmt: skip
    tape.port_in(0x40, 0x12, ms=50)
    tape.measures(
        "lapic_calibrate_timer", 0, ms=150, until_ms=160,
        before={"lapic_per_second": 0, "delay_func": I8254_DELAY},
        after={"lapic_per_second": 1_000_000_000, "delay_func": LAPIC_DELAY},
    )  # fmt: skip
    tape.port_in(0x40, 0x12, ms=151)
    tape.enter("initclocks", ms=199)
    _told_nothing(tape, ms=310)
    tape.measures(
        "cpu_get_tsc_freq", ms=200, until_ms=320,
        before={"delay_func": LAPIC_DELAY, "cpu_cc_freq": 2_570_000_000},
        after={"cpu_cc_freq": 2_600_000_000},
    )  # fmt: skip
    tape.enter("lapic_initclock", ms=321)
    tape.measures(
        "lapic_calibrate_timer", 1, ms=322, until_ms=372,
        before={"lapic_per_second": 1_000_000_000, "delay_func": LAPIC_DELAY},
        after={"lapic_per_second": 1_000_100_000, "delay_func": LAPIC_DELAY},
    )  # fmt: skip
    tape.counter("lapic", ms=373, hz=1_000_100_000, quality=-100, using="i8254")
    tape.leave("lapic_initclock", None, ms=374)
    tape.counter("clockinterrupt", ms=375, hz=100, quality=0, using="i8254")
    tape.leave("initclocks", ms=376)
    tape.enter("tsc_tc_init", ms=380, caller=IN_MAIN)
    tape.cpuid(0x80000007, 0, 0, 0, 0, ms=381)
    tape.call("tsc_is_invariant", ms=380.5, until_ms=381.5, result=0)
    tape.leave("tsc_tc_init", None, ms=382)
    tape.counter("TSC", ms=383, hz=2_600_000_000, quality=-100, using="i8254", caller=IN_MAIN)
    tape.enter("setroot", ms=890)
    tape.enter("cngetsn", ms=900)
    tape.ends("boundary", ms=901)
    return tape


def _told_nothing(tape: BsdTape, *, ms: float) -> None:
    """cpu_tsc_freq_cpuid reads no leaf on a CPU that is not Intel's."""
    tape.call("cpu_tsc_freq_cpuid", ms=ms, until_ms=ms + 0.1, result=0)
