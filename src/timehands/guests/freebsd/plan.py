"""What to watch in a FreeBSD kernel: functions, and what to read when they are entered and left.

Decided by the kernel's symbols alone. Some functions are static and called once, so a compiler may
have put them into their callers: their callers are watched too, and the story takes what it gets.
"""

from __future__ import annotations

from collections.abc import Iterator

from timehands.guests.bsd.planning import (
    NAME_BYTES,
    Variable,
    Wanted,
    counter_reads,
    current_reads,
    plan_of,
)
from timehands.guests.freebsd.layouts import layout
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Plan, Read

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


def plan_for(kernel: Kernel) -> Plan:
    """The plan for a FreeBSD kernel: entry points, and every wanted function that it has."""
    # ``trap`` is each trap of the kernel, also those that it handles
    told = bool(kernel.symbols.lookup("trap_fatal"))
    wanted = (one for one in WANTED if one.name != "trap" or not told)
    return plan_of(kernel, wanted, {name: Variable(size) for name, size in GLOBALS.items()})


def _timecounter(kernel: Kernel) -> Iterator[Read]:
    return counter_reads(kernel, layout(kernel, "timecounter"))


def _in_use(kernel: Kernel) -> Iterator[Read]:
    """The name and the quality of the timecounter in use."""
    at = layout(kernel, "timecounter")
    yield from current_reads(kernel, at)
    for address in kernel.symbols.lookup("timecounter")[:1]:
        yield Read("current_quality", 4, (0, at["tc_quality"]), address=address)


def _reference(kernel: Kernel) -> Iterator[Read]:
    """clockcalib's second argument, and the timecounter that it measures against."""
    at = layout(kernel, "timecounter")
    yield Read("clkname", NAME_BYTES, argument=1, string=True)
    yield from _in_use(kernel)
    for address in kernel.symbols.lookup("timecounter")[:1]:
        yield Read("current_frequency", 8, (0, at["tc_frequency"]), address=address)


def _delay(kernel: Kernel) -> Iterator[Read]:
    """What DELAY decides by (sys/x86/x86/delay.c, delay_tc)."""
    for address in kernel.symbols.lookup("init_ops")[:1]:
        offset = layout(kernel, "init_ops")["early_delay"]
        yield Read("early_delay", 8, address=address + offset)
    for name in ("tsc_freq", "tsc_is_invariant"):
        for address in kernel.symbols.lookup(name)[:1]:
            yield Read(name, GLOBALS[name], address=address)
    yield from _in_use(kernel)


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


#: sys/x86/x86/{tsc,local_apic,delay,identcpu,pvclock}.c, sys/x86/xen/pv.c, sys/x86/isa/clock.c,
#: sys/kern/{kern_tc,kern_clocksource,kern_et,subr_clockcalib,vfs_mountroot,kern_shutdown}.c.
WANTED = (
    Wanted("hammer_time_xen"),
    Wanted("hammer_time"),
    Wanted("identify_hypervisor", after=("vm_guest", "hv_high")),
    Wanted("clock_init"),
    Wanted("i8254_init"),
    Wanted("tsc_init", after=_TSC),
    Wanted("probe_tsc_freq_early", after=_TSC),
    Wanted("tsc_freq_cpuid_vm", after=_TSC),
    Wanted("start_TSC", after=_TSC),
    Wanted("probe_tsc_freq_late", after=_TSC),
    Wanted("tsc_freq_tc", after=_TSC),
    Wanted("set_cputicker", leave=False),
    Wanted("init_TSC_tc"),
    Wanted("test_tsc"),
    Wanted("tsc_calibrate", after=_TSC),
    Wanted("clockcalib", reads=_reference, walk=True),
    Wanted("lapic_init"),
    Wanted("lapic_calibrate_timer", device=True, after=_LAPIC),
    Wanted("lapic_calibrate_initcount", device=True, after=_LAPIC),
    Wanted("lapic_calibrate_deadline", device=True, after=_LAPIC),
    Wanted("DELAY", reads=_delay, walk=True),
    Wanted("i8254_delay"),
    Wanted("xen_delay"),
    Wanted("startrtclock"),
    Wanted("cpu_initclocks"),
    Wanted("cpu_initclocks_bsp"),
    Wanted("inittimecounter"),
    Wanted("tc_init", reads=_timecounter, walk=True),
    Wanted("et_register", reads=_eventtimer, walk=True, leave=False),
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
    Wanted("trap_fatal", reads=_trap, leave=False),
    Wanted("trap", reads=_trap, leave=False),
    Wanted("kassert_panic", string=0, walk=True, leave=False),
    Wanted("vpanic", string=0, walk=True, leave=False),
    Wanted("kdb_enter", leave=False),
    Wanted("vfs_mountroot"),
    Wanted("cngets", leave=False),
    Wanted("start_init", leave=False),
    Wanted("cpu_reset", leave=False),
)
#: Functions that are watched at their entry only.
POINTS = frozenset(wanted.name for wanted in WANTED if not wanted.leave)
