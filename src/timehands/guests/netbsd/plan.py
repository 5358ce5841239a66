"""What to watch in a NetBSD kernel. Decided by its symbols and its code alone.

Functions that are static and called once may be compiled into their callers (``configure`` into
``main``); the story takes what it gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from timehands.guests.base import code_at
from timehands.guests.bsd.clocks import DELAY_FUNC
from timehands.guests.bsd.layouts import offset_of, timecounter_layout
from timehands.guests.bsd.planning import Variable, Wanted, counter_reads, plan_of
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Plan, Read

#: The boot CPU's TSC frequency: a member of ``cpu_info_primary``.
CC_FREQ = "cpu_cc_freq"
#: What starts the clock interrupt: a pointer to a function.
INITCLOCK_FUNC = "x86_initclock_func"
_LAPIC = ("lapic_per_second", DELAY_FUNC)
_TSC = (CC_FREQ, "lapic_per_second", "lapic_from_cpuid")


def _timecounter(kernel: Kernel) -> Iterator[Read]:
    return counter_reads(kernel, timecounter_layout(kernel))


#: sys/arch/amd64/amd64/{machdep,autoconf}.c, sys/arch/x86/x86/{cpu,identcpu_subr,lapic,tsc}.c,
#: sys/arch/x86/isa/clock.c, sys/arch/xen/xen/xen_clock.c, sys/kern/{init_main,kern_clock,kern_tc,
#: kern_subr,subr_prf}.c, sys/dev/ic/hpet.c, sys/dev/cons.c.
WANTED = (
    Wanted("init_x86_64", leave=False),
    Wanted("main", leave=False),
    Wanted("identify_hypervisor", after=("vm_guest",)),
    Wanted("inittimecounter", leave=False),
    Wanted("configure"),
    Wanted("cpu_configure", before=(DELAY_FUNC,)),
    Wanted("startrtclock"),
    Wanted("xen_startrtclock"),
    Wanted("hpet_tsc_freq"),
    Wanted("cpu_tsc_freq_cpuid", after=("lapic_per_second", "lapic_from_cpuid")),
    Wanted("cpu_get_tsc_freq", before=(DELAY_FUNC, CC_FREQ), after=_TSC),
    Wanted("lapic_calibrate_timer", before=_LAPIC, after=_LAPIC, device=True),
    Wanted("configure2"),
    Wanted("initclocks", before=(INITCLOCK_FUNC, DELAY_FUNC)),
    Wanted("cpu_initclocks"),
    Wanted("lapic_initclock", device=True),
    Wanted("lapic_reset", device=True),
    Wanted("i8254_initclocks"),
    Wanted("xen_initclocks"),
    Wanted("pvclock_attach"),
    Wanted("cpu_boot_secondary_processors"),
    Wanted("tsc_sync_bp"),
    Wanted("tsc_is_invariant"),
    Wanted("tsc_tc_init", before=("tsc_drift_observed",), after=("tsc_freq", DELAY_FUNC)),
    Wanted("tc_init", reads=_timecounter, walk=True),
    Wanted("inittodr"),
    Wanted("rtc_get_ymdhms"),
    Wanted("setroot", leave=False),
    Wanted("vfs_mountroot"),
    Wanted("cngetsn", leave=False),
    Wanted("sys_execve", leave=False),
    Wanted("vpanic", leave=False, string=0, walk=True),
    Wanted("db_trap", leave=False),
    Wanted("cpu_reboot", leave=False),
)
_SIZES = {
    DELAY_FUNC: 8,
    INITCLOCK_FUNC: 8,
    "vm_guest": 4,
    "lapic_per_second": 4,
    "lapic_from_cpuid": 1,
    "tsc_freq": 8,
    "tsc_drift_observed": 8,
}
#: mov (%rdi), %rax with no, a short, or a long displacement: how cpu_frequency fetches the member
#: of its argument.
_FETCH = re.compile(rb"\x48\x8b(?:\x07|\x47(.)|\x87(.{4}))", re.DOTALL)
_FETCH_BYTES = 24


def plan_for(kernel: Kernel) -> Plan:
    """The plan for a NetBSD kernel: entry points, and every wanted function that it has."""
    variables = {name: Variable(size) for name, size in _SIZES.items()}
    variables[CC_FREQ] = Variable(8, cc_freq_address(kernel))
    return plan_of(kernel, WANTED, variables)


def cc_freq_address(kernel: Kernel) -> int | None:
    """Where the boot CPU's TSC frequency is; None: neither types nor the kernel's code show it.

    ``cpu_frequency`` (sys/arch/x86/x86/tsc.c) returns this member of a struct cpu_info, whose
    layout depends on the kernel's options: its one load tells the offset.
    """
    primary = next(iter(kernel.symbols.lookup("cpu_info_primary")), None)
    offset = offset_of(kernel, "cpu_info", "ci_data", CC_FREQ)
    if offset is None:
        offset = _offset_by_code(kernel)
    return primary + offset if primary is not None and offset is not None else None


def _offset_by_code(kernel: Kernel) -> int | None:
    for function in kernel.symbols.lookup("cpu_frequency")[:1]:
        if match := _FETCH.search(code_at(kernel, function, _FETCH_BYTES)):
            return int.from_bytes(match[1] or match[2] or b"", "little", signed=True)
    return None
