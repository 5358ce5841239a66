"""Linux: what to watch in it, and what what was seen means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timehands.guests.base import ENTRY64, PVH_ENTRY, ClockNames, Need, Remedy, enters, left
from timehands.guests.linux.plan import plan_for
from timehands.guests.linux.story import FREQUENCY_FOUND, addresses, tell
from timehands.guests.ramdisk import on_linux
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.initrd import MARK_INIT, init_ramdisk
from timehands.machines.machine import Machine
from timehands.story.model import Mark, Story
from timehands.watch.plan import Plan
from timehands.watch.recording import Recording
from timehands.watch.records import Kind, RawRecord

_ENTRIES = (PVH_ENTRY, ENTRY64, "x86_64_start_kernel", "start_kernel")

_LINES = {
    Mark.KERNEL_ENTRY: re.compile(r"Linux version "),
    Mark.CLOCK_KNOWN: re.compile(r"tsc: Detected \d+\.\d+ MHz|kvm-clock: Using msrs"),
    Mark.TIMER_ARMED: re.compile(r"clocksource: Switched to clocksource "),
    Mark.INIT: re.compile(r"Run \S+ as init process"),
}
_TICKS = "counts timer interrupts: one step a tick"
_NAMES = ClockNames(
    fallbacks={
        "jiffies": _TICKS,
        "refined-jiffies": _TICKS,
        "acpi_pm": "needs an exit to the VMM for each read",
        "pit": "needs three exits to the VMM for each read",
    },
    pvclock=frozenset({"kvm-clock"}),
    tsc=frozenset({"tsc", "tsc-early"}),
    ticks=frozenset({"jiffies", "refined-jiffies"}),
)
_WHY_EARLY_KHZ = (
    "the TSC's frequency is told instead of measured: right while the host's TSC has it"
)
_WHY_RELIABLE = "no watchdog compares the TSC with a worse clock on a busy host"
_WHY_NO_LAPIC_TIMER = "the LAPIC timer is not used; ticks come from the i8254, without one-shot"


class Linux:
    """The `Knowledge` of Linux."""

    name = "linux"
    title = "Linux"
    names = _NAMES
    loader = "CONFIG_PVH=y gives a Linux ELF kernel one; or boot its bzImage."

    def recognises(self, kernel: Kernel) -> bool:
        """Whether the file says that it is Linux."""
        return kernel.os == self.name

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """Serial console, no KASLR, a reset for an end, and no waiting after a panic."""
        return ("console=ttyS0", "nokaslr", "reboot=t", "panic=-1")

    def ramdisk(self) -> Path | None:
        """The ramdisk with our init."""
        return init_ramdisk()

    def plan(self, kernel: Kernel) -> Plan:
        """The functions of this kernel that deal with clocks."""
        return plan_for(kernel)

    def reaches(self, mark: Mark, plan: Plan, record: RawRecord) -> bool:
        """Whether a live record shows that the boundary is passed."""
        match mark:
            case Mark.FIRST_INSTRUCTION:
                return record[0] == Kind.FIRST
            case Mark.KERNEL_ENTRY:
                return enters(plan, record, *_ENTRIES)
            case Mark.CLOCK_KNOWN:
                name = left(plan, record)
                return name is not None and bool(record[7] & FREQUENCY_FOUND.get(name, 0))
            case Mark.TIMER_ARMED:
                return enters(plan, record, "tick_setup_device")
            case Mark.INIT:
                ours = record[0] == Kind.CPUID and record[6] & 0xFFFFFFFF == MARK_INIT
                return ours or enters(plan, record, "run_init_process")
            case _:
                return False

    def tell(self, recording: Recording) -> Story:
        """The story of a Linux recording."""
        return tell(recording)

    def told(self, mark: Mark, text: str) -> bool:
        """Whether a console line shows that the boundary is passed."""
        return mark in _LINES and bool(_LINES[mark].search(text))

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """Linux's own kernel arguments (Documentation/admin-guide/kernel-parameters.txt)."""
        match need:
            case Need.TSC_FREQUENCY if hz:
                return (Remedy(f"tsc_early_khz={(hz + 500) // 1000}", _WHY_EARLY_KHZ),)
            case Need.TRUST_TSC:
                return (Remedy("tsc=reliable", _WHY_RELIABLE),)
            case Need.NO_TIMER_CALIBRATION:
                return (Remedy("nolapic_timer", _WHY_NO_LAPIC_TIMER),)
            case Need.PVCLOCK:
                return (Remedy("clocksource=kvm-clock", "overrides the choice by rating"),)
            case Need.NO_I8042:
                return (Remedy("initcall_blacklist=i8042_init", "leaves out the i8042 driver"),)
            case _:
                return ()

    def addresses(self, recording: Recording) -> Iterable[int]:
        """Addresses to be named: initcalls and callers."""
        return addresses(recording)

    def look(self, kernel: Kernel, memory: Memory) -> dict[str, Any]:
        """Nothing: its clocks are seen as they are registered."""
        return {}

    def on_ramdisk(self, kernel: Kernel, head: bytes) -> str | None:
        """What it does with one that is no archive."""
        return on_linux(kernel, head)
