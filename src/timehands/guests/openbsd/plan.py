"""What to watch in an OpenBSD kernel. Decided by its symbols alone."""

from __future__ import annotations

from collections.abc import Iterator

from timehands.guests.bsd.clocks import DELAY_FUNC
from timehands.guests.bsd.layouts import timecounter_layout
from timehands.guests.bsd.planning import Variable, Wanted, counter_reads, plan_of
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Plan, Read

#: ``tc_user`` lies between ``tc_priv`` and ``tc_next`` (sys/timetc.h), where there are no types.
FURTHER = 8
_TSC = ("tsc_frequency", "tsc_is_invariant")
_LAPIC = ("lapic_per_second", DELAY_FUNC)


def _timecounter(kernel: Kernel) -> Iterator[Read]:
    return counter_reads(kernel, timecounter_layout(kernel, further=FURTHER))


#: sys/arch/amd64/amd64/{machdep,tsc,lapic}.c, sys/arch/amd64/isa/clock.c, sys/dev/pv/{pvbus,
#: pvclock}.c, sys/dev/acpi/{acpitimer,acpihpet}.c, sys/kern/{kern_tc,init_main,subr_prf}.c.
WANTED = (
    Wanted("init_x86_64", leave=False),
    Wanted("main", leave=False),
    Wanted("startclocks"),
    Wanted("i8254_startclock", before=(DELAY_FUNC,)),
    Wanted("tsc_identify", before=(DELAY_FUNC,), after=(*_TSC, DELAY_FUNC)),
    Wanted("tsc_freq_cpuid"),
    Wanted("lapic_calibrate_timer", before=_LAPIC, after=_LAPIC, device=True),
    Wanted("acpitimerattach"),
    Wanted("acpihpet_attach"),
    Wanted("pvbus_identify"),
    Wanted("pvclock_attach"),
    Wanted("cpu_initclocks"),
    Wanted("i8254_initclocks"),
    Wanted("lapic_initclocks", device=True),
    Wanted("lapic_startclock", device=True),
    Wanted("i8254_inittimecounter"),
    Wanted("i8254_inittimecounter_simple"),
    Wanted("cpu_recalibrate_tsc", reads=_timecounter),
    Wanted("calibrate_tsc_freq", after=("tsc_frequency",)),
    Wanted("measure_tsc_freq", reads=_timecounter),
    Wanted("tsc_timecounter_init", before=_TSC, after=("tsc_frequency", DELAY_FUNC)),
    Wanted("tsc_test_sync_bp"),
    Wanted("tc_init", reads=_timecounter, walk=True),
    Wanted("tc_reset_quality", reads=_timecounter, leave=False),
    Wanted("inittodr"),
    Wanted("rtcget"),
    Wanted("setroot", leave=False),
    Wanted("sys_execve", leave=False),
    Wanted("panic", leave=False, string=0, walk=True),
    Wanted("db_enter", leave=False),
    Wanted("cpu_reset", leave=False),
)
_SIZES = {DELAY_FUNC: 8, "tsc_frequency": 8, "tsc_is_invariant": 4, "lapic_per_second": 4}


def plan_for(kernel: Kernel) -> Plan:
    """The plan for an OpenBSD kernel: entry points, and every wanted function that it has."""
    variables = {name: Variable(size) for name, size in _SIZES.items()}
    return plan_of(kernel, WANTED, variables)
