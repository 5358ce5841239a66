"""OpenBSD: what to watch in it, and what what was seen means.

From its public sources (sys/arch/amd64/amd64/tsc.c 1.27 and lapic.c 1.75, sys/kern/kern_tc.c 1.49,
sys/dev/pv/pvclock.c 1.1, sys/arch/amd64/isa/clock.c) and a test kernel; no real kernel was tried:
an OpenBSD kernel has no PVH entry, and nothing here starts its own boot loader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timehands.guests.base import ClockNames, Need, Remedy
from timehands.guests.bsd.knowledge import BSD, Passed
from timehands.guests.bsd.story import addresses
from timehands.guests.bsd.timecounters import DUMMY
from timehands.guests.openbsd.clocks import PVCLOCK, TIMERS, TSC
from timehands.guests.openbsd.look import look
from timehands.guests.openbsd.plan import plan_for
from timehands.guests.openbsd.story import TELLER
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.plan import Plan
from timehands.watch.recording import Recording

_NAMES = ClockNames(
    fallbacks={
        DUMMY: "is no clock: it moves by one each time it is read",
        "i8254": "needs three exits to the VMM for each read",
        "acpitimer0": "needs an exit to the VMM for each read",
    },
    pvclock=frozenset({PVCLOCK}),
    tsc=frozenset({TSC}),
    ranking="quality",
    tsc_facts={"tsc_frequency": 1},
)
_RAMDISK = "OpenBSD takes no ramdisk: bsd.rd has its own inside the kernel file"
_PASSED = {
    Mark.CLOCK_KNOWN: Passed(returned=("tc_init",)),
    Mark.TIMER_ARMED: Passed(tuple(TIMERS)),
    Mark.INIT: Passed(("sys_execve",)),
    Mark.ENDED: Passed(("db_enter",)),
}


class OpenBSD(BSD):
    """The `Knowledge` of OpenBSD."""

    name = "openbsd"
    title = "OpenBSD"
    names = _NAMES
    teller = TELLER
    passed = _PASSED
    loader = (
        "No OpenBSD kernel has one, nor a multiboot header: its own boot(8) has to start it, from "
        "a disk image on a machine with a BIOS or UEFI, or vmd(8). Timehands starts kernels only."
    )

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """None: its boot loader tells it what others read from a command line."""
        return ()

    def plan(self, kernel: Kernel) -> Plan:
        """The functions of this kernel that deal with clocks."""
        return plan_for(kernel)

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
