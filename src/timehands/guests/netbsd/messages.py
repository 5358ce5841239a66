"""NetBSD's console messages about clocks: which function prints each, and what it means.

Texts are facts, from the named functions of sys/. Many appear only with ``-v`` on the command line
(aprint_verbose), some only with ``-x`` (aprint_debug).
"""

from __future__ import annotations

from re import Match

from timehands.guests.bsd.messages import known


def _timecounter(match: Match[str]) -> str:
    if match[3].startswith("-"):
        return f"{match[1]} is registered, and never chosen by itself: its quality is negative"
    return f"{match[1]} is registered; it is used if its quality is the best so far"


def _source(match: Match[str]) -> str:
    if match[1] == "delay":
        return "the TSC was timed over 1,000 DELAYs of 100 us: as true as what serves DELAY"
    return f"the TSC's frequency was told by {match[1]}"


KNOWN = (
    known(
        "insufficient",
        r'timecounter: Timecounter "([^"]{1,40})" frequency (\d{1,20}) Hz '
        r"-- Insufficient hz, needs at least (\d{1,10})$",
        "tc_init",
        r"\1 wraps between two ticks: its quality becomes -2000",
    ),
    known(
        "timecounter",
        r'timecounter: Timecounter "([^"]{1,40})" frequency (\d{1,20}) Hz quality (-?\d{1,10})$',
        "tc_init",
        _timecounter,
    ),
    known(
        "tick",
        r"timecounter: Timecounters tick every (\d{1,10}\.\d{1,6}) msec$",
        "inittimecounter",
        r"time is taken up from the timecounter every \1 ms",
    ),
    known("TSC", r"TSC freq from (CPUID|HPET|delay) (\d{1,20}) Hz$", "cpu_get_tsc_freq", _source),
    known(
        "told",
        r"TSC freq CPUID (\d{1,20}) Hz$",
        "cpu_tsc_freq_cpuid",
        "a CPUID leaf gave the TSC's frequency",
    ),
    known(
        "calibrated",
        r"TSC freq calibrated (\d{1,20}) Hz$",
        "cpu_get_tsc_freq",
        "measured again, and not what CPUID told",
    ),
    known(
        "base",
        r"CPU (base|max) freq (\d{1,20}) Hz$",
        "cpu_tsc_freq_cpuid",
        "from CPUID leaf 0x16",
    ),
    known(
        "LAPIC leaf",
        r"lapic_per_second set to (\d{1,20})$",
        "cpu_tsc_freq_cpuid",
        r"the LAPIC timer's rate is told, \1 Hz: its first calibration is left out",
    ),
    known(
        "LAPIC",
        r"apic clock running at ([\d.]{1,8} ?[kMG]?Hz)$",
        "lapic_calibrate_timer",
        r"the LAPIC timer counts at \1",
    ),
    known(
        "KVM workaround",
        r"applying KVM timer workaround$",
        "lapic_calibrate_timer",
        "a stopped LAPIC timer is started again; as a timecounter its quality is -100",
    ),
    known(
        "fence",
        r"Use (lfence|mfence|cpuid) to serialize rdtsc$",
        "tsc_setfunc",
        r"each read of the TSC is ordered by \1",
    ),
    known(
        "not invariant",
        r"TSC not known invariant on this CPU$",
        "tsc_tc_init",
        "the TSC's quality becomes -100: it is never chosen by itself (CPUID 0x80000007 edx bit 8)",
    ),
    known(
        "drift",
        r"ERROR: (\d{1,20}) cycle TSC drift observed$",
        "tsc_tc_init",
        r"the vCPUs' TSCs moved \1 cycles apart while they started: quality -100",
    ),
    known(
        "TSC backwards",
        r"WARNING: (?:\S{1,20} )?TSC (?:time )?went backwards by (\d{1,20})",
        "tsc_get_timecount",
        r"a thread read a TSC \1 cycles below its last one",
    ),
    known(
        "backwards",
        r"timecounter went backwards from \((.{1,60})\) sec to \((.{1,60})\) sec",
        "updatertime",
        "time was read that lay before a time read earlier",
    ),
    known(
        "Xen",
        r"xen_clock|xen_system_time|Xen clock",
        "xen_initclocks",
        "Xen's clock is asked",
    ),
    known(
        "pvclock",
        r"^pvclock\d{1,3} at ",
        "pvclock_attach",
        "pvclock was found",
    ),
    known(
        "hypervisor",
        r"^pv0 at mainbus0$",
        "pvbus_attach",
        "a bus for paravirtual devices; without a driver for pvclock on it there is no pvclock",
    ),
    known(
        "root",
        r"^boot device: (\S{1,40})$",
        "setroot",
        r"the disk that the kernel was booted from: \1",
    ),
    known(
        "fatal",
        r"^fatal (.{1,60}) in supervisor mode$",
        "trap",
        r"the kernel met a \1 in its own code",
    ),
    known(
        "trap",
        r"^trap type (\d{1,3}) code (?:0x)?[0-9a-f]{1,16} rip (0x[0-9a-f]{1,16}) .*cr2 "
        r"(0x[0-9a-f]{1,16}|0)",
        "trap_print",
        r"trap \1 at \2, address \3",
    ),
)
