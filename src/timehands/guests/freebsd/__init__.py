"""FreeBSD: what to watch in it, and what what was seen means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timehands.guests.base import ClockNames, Need, Remedy
from timehands.guests.bsd.knowledge import BSD, Passed
from timehands.guests.freebsd.console import DUMMY, TSC_NAMES
from timehands.guests.freebsd.look import look
from timehands.guests.freebsd.plan import plan_for
from timehands.guests.freebsd.story import TELLER, addresses
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
        "ACPI-fast": "needs an exit to the VMM for each read",
        "ACPI-safe": "needs several exits to the VMM for each read",
    },
    pvclock=frozenset({"kvmclock", "XENTIMER"}),
    tsc=frozenset(TSC_NAMES),
    dummies=frozenset({DUMMY}),
    ranking="quality",
    tsc_facts={"tsc_freq": 1},
    tsc_shift=7,  # init_TSC_tc: until it fits 31 bits
    hypervisor=("vm_guest", "hv_vendor"),
)
#: What gives the kernel an i8254 where neither ACPI nor a device.hints file tells of it.
ATTIMER_HINTS = "hint.attimer.0.at=isa hint.attimer.0.port=0x40 hint.attimer.0.irq=0"
#: Early busy waits by the i8254 instead of by Xen's clock, in the data of a kernel that PVH starts:
#: ``early_clock_source_init`` and ``early_delay`` of struct init_ops (x86/include/init.h).
EARLY_DELAY_PATCH = "xen_pvh_init_ops+8=&i8254_init,xen_pvh_init_ops+16=&i8254_delay"
_WHY_CALIBRATE = "the kernel times its TSC when nothing tells its frequency"
_WHY_INVARIANT = (
    "the TSC is taken for invariant, so it gets a quality above 0 when the vCPUs' agree: true as "
    "long as the host's is"
)
_WHY_I8254 = "DELAY reads the i8254 instead of Xen's page, which only Xen provides"
_WHY_ATTIMER = "the i8254 becomes a timecounter, and what is calibrated then has a true reference"
_RAMDISK = (
    "FreeBSD takes a PVH module for its loader's metadata; this is none, so it asks Xen to shut "
    "down, and off Xen that resets the machine without a word (sys/x86/xen/pv.c, "
    "xen_pvh_parse_preload_data)"
)
_PASSED = {
    Mark.CLOCK_KNOWN: Passed(("set_cputicker",)),
    Mark.TIMER_ARMED: Passed(("cpu_initclocks_bsp",)),
    Mark.INIT: Passed(("cngets",), ("vfs_mountroot",)),
    Mark.ENDED: Passed(("cngets", "kdb_enter")),
}


class FreeBSD(BSD):
    """The `Knowledge` of FreeBSD."""

    name = "freebsd"
    title = "FreeBSD"
    names = _NAMES
    teller = TELLER
    passed = _PASSED
    loader = "options XENHVM gives a FreeBSD kernel one; else its own loader(8) has to start it."

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """``boot_verbose=1``: most messages about clocks appear only with it."""
        return ("boot_verbose=1",)

    def plan(self, kernel: Kernel) -> Plan:
        """The functions of this kernel that deal with clocks."""
        return plan_for(kernel)

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """Words of the kernel's environment, and a patch of its data.

        The TSC's frequency itself cannot be told: machdep.tsc_freq is no tunable
        (sys/x86/x86/tsc.c).
        """
        match need:
            case Need.TSC_CALIBRATION:
                return (Remedy("machdep.disable_tsc_calibration=0", _WHY_CALIBRATE),)
            case Need.TRUST_TSC:
                return (Remedy("kern.timecounter.invariant_tsc=1", _WHY_INVARIANT),)
            case Need.EARLY_DELAY:
                return (Remedy(EARLY_DELAY_PATCH, _WHY_I8254, patch=True),)
            case Need.CALIBRATION_REFERENCE:
                return (Remedy(ATTIMER_HINTS, _WHY_ATTIMER),)
            case _:
                return ()

    def addresses(self, recording: Recording) -> Iterable[int]:
        """Addresses to be named: callers, and who serves DELAY."""
        return addresses(recording)

    def look(self, kernel: Kernel, memory: Memory) -> dict[str, Any]:
        """What its variables say when the boot is over."""
        return look(kernel, memory)

    def on_ramdisk(self, kernel: Kernel, head: bytes) -> str | None:
        """It resets in silence on any."""
        return _RAMDISK
