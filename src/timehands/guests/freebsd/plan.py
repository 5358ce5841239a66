"""What to watch in a FreeBSD kernel: functions, and what to read when they are entered and left.

Decided by the kernel's symbols alone. Some functions are static and called once, so a compiler may
have put them into their callers: their callers are watched too, and the story takes what it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timehands.guests.base import entry_points
from timehands.guests.freebsd.layouts import Layout, layout
from timehands.guests.telling import CALLERS
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Function, Plan, Read

NAME_BYTES = 24
MESSAGE_BYTES = 64
#: Return addresses of a backtrace besides the caller's own.
DEPTH = 7
#: A function longer than this is not: its symbol's end is not known.
LONGEST_FUNCTION = 1 << 20

#: Variables by name, with their sizes in bytes (sys/x86/x86/{tsc,local_apic,identcpu}.c).
GLOBALS = {
    "tsc_freq": 8,
    "tsc_disabled": 4,
    "tsc_skip_calibration": 4,
    "tsc_is_invariant": 4,
    "hv_high": 4,
    "vm_guest": 4,
    "cpu_high": 4,
    "lapic_timer_divisor": 8,
    "count_freq": 8,
}
_TSC = ("tsc_freq", "tsc_disabled", "tsc_skip_calibration", "tsc_is_invariant", "hv_high",
        "vm_guest", "cpu_high")  # fmt: skip
_LAPIC = ("lapic_timer_divisor", "count_freq", "tsc_freq")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function to watch: whether its return too, which variables to read then, what at entry."""

    name: str
    leave: bool = True
    globals: tuple[str, ...] = ()
    reads: str = ""
    walk: bool = False


#: sys/x86/x86/{tsc,local_apic,delay,identcpu,pvclock}.c, sys/x86/xen/pv.c, sys/x86/isa/clock.c,
#: sys/kern/{kern_tc,kern_clocksource,kern_et,subr_clockcalib,vfs_mountroot,kern_shutdown}.c.
WANTED = (
    Wanted("hammer_time_xen"),
    Wanted("hammer_time"),
    Wanted("identify_hypervisor", globals=("vm_guest", "hv_high")),
    Wanted("clock_init"),
    Wanted("i8254_init"),
    Wanted("tsc_init", globals=_TSC),
    Wanted("probe_tsc_freq_early", globals=_TSC),
    Wanted("tsc_freq_cpuid_vm", globals=_TSC),
    Wanted("start_TSC", globals=_TSC),
    Wanted("probe_tsc_freq_late", globals=_TSC),
    Wanted("tsc_freq_tc", globals=_TSC),
    Wanted("set_cputicker", leave=False),
    Wanted("init_TSC_tc"),
    Wanted("test_tsc"),
    Wanted("tsc_calibrate", globals=_TSC),
    Wanted("clockcalib", reads="reference", walk=True),
    Wanted("lapic_init"),
    Wanted("lapic_calibrate_timer", globals=_LAPIC),
    Wanted("lapic_calibrate_initcount", globals=_LAPIC),
    Wanted("lapic_calibrate_deadline", globals=_LAPIC),
    Wanted("DELAY", reads="delay", walk=True),
    Wanted("i8254_delay"),
    Wanted("xen_delay"),
    Wanted("startrtclock"),
    Wanted("cpu_initclocks"),
    Wanted("cpu_initclocks_bsp"),
    Wanted("inittimecounter"),
    Wanted("tc_init", reads="timecounter", walk=True),
    Wanted("et_register", reads="eventtimer", walk=True, leave=False),
    Wanted("attimer_attach"),
    Wanted("atrtc_attach"),
    Wanted("hpet_attach"),
    Wanted("acpi_timer_attach"),
    Wanted("xentimer_attach"),
    Wanted("kvm_clock_identify"),
    Wanted("kvm_clock_probe"),
    Wanted("kvm_clock_attach"),
    Wanted("pvclock_init"),
    Wanted("mi_startup", leave=False),
    Wanted("trap_fatal", reads="trap", leave=False),
    Wanted("trap", reads="trap", leave=False),
    Wanted("kassert_panic", reads="message", walk=True, leave=False),
    Wanted("vpanic", reads="message", walk=True, leave=False),
    Wanted("kdb_enter", leave=False),
    Wanted("vfs_mountroot"),
    Wanted("cngets", leave=False),
    Wanted("start_init", leave=False),
    Wanted("cpu_reset", leave=False),
)
#: Functions that are watched at their entry only.
POINTS = frozenset(wanted.name for wanted in WANTED if not wanted.leave)


def plan_for(kernel: Kernel) -> Plan:
    """The plan for a FreeBSD kernel: entry points, and every wanted function that it has."""
    functions = list(entry_points(kernel))
    for wanted in WANTED:
        if wanted.name == "trap" and kernel.symbols.lookup("trap_fatal"):
            continue  # each trap of the kernel, also those that it handles
        for address in kernel.symbols.lookup(wanted.name)[:1]:
            functions.append(_function(kernel, wanted, address))
    return Plan(tuple(functions))


def _function(kernel: Kernel, wanted: Wanted, address: int) -> Function:
    return Function(
        wanted.name,
        *_range(kernel, address),
        leave=wanted.leave,
        device=wanted.name.startswith("lapic_calibrate"),
        reads=tuple(_reads(kernel, wanted)),
        parts=tuple(_range(kernel, part.address) for part in kernel.symbols.variants(wanted.name)),
    )


def _range(kernel: Kernel, address: int) -> tuple[int, int]:
    place = kernel.symbols.find(address)
    size = place.size if place else 1
    return address, address + max(min(size, LONGEST_FUNCTION), 1)


def _reads(kernel: Kernel, wanted: Wanted) -> Iterator[Read]:
    if wanted.reads:
        yield from _READS[wanted.reads](kernel)
    if wanted.walk:
        yield Read(CALLERS, 8 * DEPTH, walk=True)
    for name in wanted.globals:
        yield from _global(kernel, name, at_return=True)


def _global(kernel: Kernel, name: str, *, at_return: bool = False) -> Iterator[Read]:
    for address in kernel.symbols.lookup(name)[:1]:
        yield Read(name, GLOBALS[name], address=address, at_return=at_return)


def _timecounter(kernel: Kernel) -> Iterator[Read]:
    """tc_init's timecounter, and which one is in use when it returns."""
    at = layout(kernel, "timecounter")
    yield Read("tc_name", NAME_BYTES, (at["tc_name"], 0), argument=0, string=True)
    yield Read("tc_frequency", 8, (at["tc_frequency"],), argument=0)
    yield Read("tc_counter_mask", 4, (at["tc_counter_mask"],), argument=0)
    yield Read("tc_quality", 4, (at["tc_quality"],), argument=0)
    yield Read("tc_flags", 4, (at["tc_flags"],), argument=0)
    yield from _current(kernel, at, at_return=True)


def _current(kernel: Kernel, at: Layout, *, at_return: bool = False) -> Iterator[Read]:
    """The name and the quality of the timecounter in use (``timecounter``, kern_tc.c)."""
    for address in kernel.symbols.lookup("timecounter")[:1]:
        name, quality = (0, at["tc_name"], 0), (0, at["tc_quality"])
        yield Read("current", NAME_BYTES, name, None, address, string=True, at_return=at_return)
        if not at_return:
            yield Read("current_quality", 4, quality, None, address)


def _reference(kernel: Kernel) -> Iterator[Read]:
    """clockcalib's second argument, and the timecounter that it measures against."""
    at = layout(kernel, "timecounter")
    yield Read("clkname", NAME_BYTES, argument=1, string=True)
    yield from _current(kernel, at)
    for address in kernel.symbols.lookup("timecounter")[:1]:
        yield Read("current_frequency", 8, (0, at["tc_frequency"]), address=address)


def _delay(kernel: Kernel) -> Iterator[Read]:
    """What DELAY decides by (sys/x86/x86/delay.c, delay_tc)."""
    for address in kernel.symbols.lookup("init_ops")[:1]:
        offset = layout(kernel, "init_ops")["early_delay"]
        yield Read("early_delay", 8, address=address + offset)
    yield from _global(kernel, "tsc_freq")
    yield from _global(kernel, "tsc_is_invariant")
    yield from _current(kernel, layout(kernel, "timecounter"))


def _eventtimer(kernel: Kernel) -> Iterator[Read]:
    at = layout(kernel, "eventtimer")
    yield Read("et_name", NAME_BYTES, (at["et_name"], 0), argument=0, string=True)
    yield Read("et_flags", 4, (at["et_flags"],), argument=0)
    yield Read("et_quality", 4, (at["et_quality"],), argument=0)
    yield Read("et_frequency", 8, (at["et_frequency"],), argument=0)


def _trap(kernel: Kernel) -> Iterator[Read]:
    """trap_fatal's frame: where, at which address, and the callers by the frame pointer in it."""
    at = layout(kernel, "trapframe")
    yield Read("tf_rip", 8, (at["tf_rip"],), argument=0)
    yield Read("tf_addr", 8, (at["tf_addr"],), argument=0)
    yield Read("tf_trapno", 4, (at["tf_trapno"],), argument=0)
    yield Read("caller1", 8, (at["tf_rbp"], 8), argument=0)
    yield Read("caller2", 8, (at["tf_rbp"], 0, 8), argument=0)
    yield Read("caller3", 8, (at["tf_rbp"], 0, 0, 8), argument=0)


def _message(_kernel: Kernel) -> Iterator[Read]:
    yield Read("string", MESSAGE_BYTES, argument=0, string=True)


_READS = {
    "timecounter": _timecounter,
    "reference": _reference,
    "delay": _delay,
    "eventtimer": _eventtimer,
    "trap": _trap,
    "message": _message,
}
