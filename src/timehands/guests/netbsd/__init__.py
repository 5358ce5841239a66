"""NetBSD: what to watch in it, and what what was seen means."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timehands.guests.base import ClockNames, Need, Remedy, enters, left
from timehands.guests.bsd.messages import without_stamp
from timehands.guests.bsd.timecounters import DUMMY
from timehands.guests.netbsd.clocks import INTERRUPT, TIMERS, TSC, XEN
from timehands.guests.netbsd.look import look
from timehands.guests.netbsd.plan import plan_for
from timehands.guests.netbsd.story import WORDS, addresses, tell
from timehands.guests.ramdisk import on_netbsd
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
        INTERRUPT: "counts timer interrupts: one step a tick",
        "i8254": "needs three exits to the VMM for each read",
        "ACPI-Fast": "needs an exit to the VMM for each read",
        "ACPI-Safe": "needs several exits to the VMM for each read",
    },
    pvclock=frozenset({"pvclock0", "pvclock", XEN}),
    tsc=frozenset({TSC}),
    ticks=frozenset({INTERRUPT}),
    ranking="quality",
)


class NetBSD:
    """The `Knowledge` of NetBSD."""

    name = "netbsd"
    title = "NetBSD"
    names = _NAMES
    loader = "options XENPVHVM gives a NetBSD kernel one; else its own boot(8) has to start it."

    def recognises(self, kernel: Kernel) -> bool:
        """Whether the file says that it is NetBSD."""
        return kernel.os == self.name

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """The serial console, and messages about clocks.

        Under PVH the kernel reads ``console=`` (sys/arch/x86/x86/consinit.c) and the letters after
        a ``-`` (xen_parse_cmdline): ``-v`` prints what it found, ``-x`` would print how.
        """
        return ("console=com", "-v")

    def ramdisk(self) -> Path | None:
        """None: it takes a file system of its own, and the boot ends at its question without."""
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
                return left(plan, record) in ("tc_init", "cpu_get_tsc_freq")
            case Mark.TIMER_ARMED:
                return enters(plan, record, *TIMERS)
            case Mark.INIT:
                return enters(plan, record, "cngetsn", "sys_execve")
            case Mark.ENDED:
                return enters(plan, record, "cngetsn", "db_trap")
            case _:
                return False

    def tell(self, recording: Recording) -> Story:
        """The story of a NetBSD recording."""
        return tell(recording)

    def told(self, mark: Mark, text: str) -> bool:
        """Whether a console line shows that the boundary is passed."""
        known = WORDS.lines.get(mark)
        return known is not None and bool(known.search(without_stamp(text)))

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """None: no word of NetBSD's command line tells a frequency or chooses a clock.

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
        """What it takes a PVH module for, by its first bytes."""
        return on_netbsd(kernel, head)
