"""OpenBSD: what to watch in it, and what what was seen means.

From its public sources (sys/arch/amd64/amd64/tsc.c 1.27 and lapic.c 1.75, sys/kern/kern_tc.c 1.49,
sys/dev/pv/pvclock.c 1.1, sys/arch/amd64/isa/clock.c) and a test kernel; no real kernel was tried:
an OpenBSD kernel has no PVH entry, and nothing here starts its own boot loader.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timehands.guests.base import ClockNames, Need, Remedy, enters, left
from timehands.guests.bsd.timecounters import DUMMY
from timehands.guests.openbsd.clocks import PVCLOCK, TIMERS, TSC
from timehands.guests.openbsd.look import look
from timehands.guests.openbsd.plan import plan_for
from timehands.guests.openbsd.story import WORDS, addresses, tell
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.machine import Machine
from timehands.story.model import Mark, Story
from timehands.watch.plan import Plan
from timehands.watch.recorder import RawRecord
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

_NAMES = ClockNames(
    fallbacks={
        DUMMY: "is no clock: it moves by one each time it is read",
        "i8254": "needs three exits to the VMM for each read",
        "acpitimer0": "needs an exit to the VMM for each read",
    },
    pvclock=frozenset({PVCLOCK}),
    tsc=frozenset({TSC}),
    ranking="quality",
)
_RAMDISK = "OpenBSD takes no ramdisk: bsd.rd has its own inside the kernel file"


class OpenBSD:
    """The `Knowledge` of OpenBSD."""

    name = "openbsd"
    title = "OpenBSD"
    names = _NAMES
    loader = (
        "No OpenBSD kernel has one, nor a multiboot header: its own boot(8) has to start it, from "
        "a disk image on a machine with a BIOS or UEFI, or vmd(8). Timehands starts kernels only."
    )

    def recognises(self, kernel: Kernel) -> bool:
        """Whether the file says that it is OpenBSD."""
        return kernel.os == self.name

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """None: its boot loader tells it what others read from a command line."""
        return ()

    def ramdisk(self) -> Path | None:
        """None."""
        return None

    def plan(self, kernel: Kernel) -> Plan:
        """The functions of this kernel that deal with clocks."""
        return plan_for(kernel)

    def reaches(self, mark: Mark, plan: Plan, record: RawRecord) -> bool:
        """Whether a live record shows that the boundary is passed.

        `Mark.ENDED`: the kernel waits for a person, at a question or in its debugger.
        """
        match mark:
            case Mark.FIRST_INSTRUCTION:
                return record[0] == Kind.FIRST
            case Mark.KERNEL_ENTRY:
                return enters(plan, record, *WORDS.entries)
            case Mark.CLOCK_KNOWN:
                return left(plan, record) == "tc_init"
            case Mark.TIMER_ARMED:
                return enters(plan, record, *TIMERS)
            case Mark.INIT:
                return enters(plan, record, "sys_execve")
            case Mark.ENDED:
                return enters(plan, record, "db_enter")
            case _:
                return False

    def tell(self, recording: Recording) -> Story:
        """The story of an OpenBSD recording."""
        return tell(recording)

    def told(self, mark: Mark, text: str) -> bool:
        """Whether a console line shows that the boundary is passed."""
        known = WORDS.lines.get(mark)
        return known is not None and bool(known.search(text))

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """None: it has no arguments.

        A timecounter is chosen with sysctl kern.timecounter.hardware, once the system runs.
        """
        return ()

    def addresses(self, recording: Recording) -> Iterable[int]:
        """Addresses to be named: callers, and who serves DELAY."""
        return addresses(recording)

    def look(self, kernel: Kernel, memory: Memory) -> dict[str, Any]:
        """What its variables say when the boot is over."""
        return look(kernel, memory)

    def on_ramdisk(self, kernel: Kernel, head: bytes) -> str | None:
        """It does not look at one."""
        return _RAMDISK
