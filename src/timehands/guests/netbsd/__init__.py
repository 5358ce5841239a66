"""NetBSD: what to watch in it, and what what was seen means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timehands.guests.base import ClockNames, Need, Remedy
from timehands.guests.bsd.knowledge import BSD, Passed
from timehands.guests.bsd.timecounters import DUMMY
from timehands.guests.netbsd.clocks import INTERRUPT, TIMERS, TSC, XEN
from timehands.guests.netbsd.look import look
from timehands.guests.netbsd.plan import plan_for
from timehands.guests.netbsd.story import TELLER, addresses
from timehands.guests.ramdisk import on_netbsd
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.plan import Plan
from timehands.watch.recording import Recording

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
    tsc_facts={"tsc_freq": 1},
    hypervisor=("vm_guest",),
)
_PASSED = {
    Mark.CLOCK_KNOWN: Passed(returned=("tc_init", "cpu_get_tsc_freq")),
    Mark.TIMER_ARMED: Passed(tuple(TIMERS)),
    Mark.INIT: Passed(("cngetsn", "sys_execve")),
    Mark.ENDED: Passed(("cngetsn", "db_trap")),
}


class NetBSD(BSD):
    """The `Knowledge` of NetBSD."""

    name = "netbsd"
    title = "NetBSD"
    names = _NAMES
    teller = TELLER
    passed = _PASSED
    loader = "options XENPVHVM gives a NetBSD kernel one; else its own boot(8) has to start it."

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """The serial console, and messages about clocks.

        Under PVH the kernel reads ``console=`` (sys/arch/x86/x86/consinit.c) and the letters after
        a ``-`` (xen_parse_cmdline): ``-v`` prints what it found, ``-x`` would print how.
        """
        return ("console=com", "-v")

    def plan(self, kernel: Kernel) -> Plan:
        """The functions of this kernel that deal with clocks."""
        return plan_for(kernel)

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
