"""The functions by which the known kernels find, choose and keep their clocks.

This is data: which names to look for in a kernel's symbols, which clock each is about and what it
does with it. Compilers may drop a static function or rename it (``.isra.0``, ``.constprop.0``,
``.part.0``); a name that is not there says nothing about the clock.

Sources: Linux arch/x86/kernel/{tsc,tsc_sync,kvmclock,pvclock,hpet,i8253,rtc,time}.c,
arch/x86/kernel/apic/apic.c, arch/x86/xen/time.c, drivers/clocksource/, drivers/rtc/,
kernel/time/, init/calibrate.c. FreeBSD sys/x86/x86/{tsc,local_apic,delay,pvclock}.c,
sys/dev/kvm_clock/kvm_clock.c, sys/dev/xen/timer/xen_timer.c,
sys/x86/isa/clock.c, sys/kern/kern_{tc,clocksource}.c, subr_clockcalib.c. NetBSD
sys/arch/x86/x86/{tsc,lapic,cpu,identcpu_subr}.c, sys/arch/x86/isa/clock.c, sys/kern/kern_tc.c.
OpenBSD sys/arch/amd64/amd64/{tsc,lapic}.c, sys/arch/amd64/isa/clock.c, sys/dev/pv/pvclock.c,
sys/kern/kern_tc.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ClockFunction:
    """A function, the clock it is about ("any" for the frameworks), and what it does: one of
    ``probe``, ``calibrate``, ``check``, ``register``, ``select``, ``reject``, ``read``, ``start``.
    """

    name: str
    clock: str
    role: str


def _table(text: str) -> tuple[ClockFunction, ...]:
    """Lines of ``clock role: names``."""
    found = []
    for line in text.strip().splitlines():
        head, _, names = line.partition(":")
        clock, role = head.split()
        found += [ClockFunction(name, clock, role) for name in names.split()]
    return tuple(found)


_LINUX: Final = _table("""
tsc probe: tsc_early_init tsc_init determine_cpu_tsc_frequencies cpu_khz_from_msr cpu_khz_from_cpuid
tsc probe: native_calibrate_tsc vmware_get_tsc_khz hv_get_tsc_khz xen_tsc_khz
tsc calibrate: native_calibrate_cpu_early native_calibrate_cpu quick_pit_calibrate pit_calibrate_tsc
tsc calibrate: pit_hpet_ptimer_calibrate_cpu tsc_refine_calibration_work recalibrate_cpu_khz
tsc check: check_tsc_sync_source check_tsc_sync_target check_tsc_warp unsynchronized_tsc
tsc register: init_tsc_clocksource
tsc reject: mark_tsc_unstable tsc_cs_mark_unstable
delay calibrate: calibrate_delay calibrate_delay_is_known calibrate_delay_direct
lapic probe: apic_needs_pit
lapic calibrate: calibrate_APIC_clock lapic_cal_handler
lapic start: setup_boot_APIC_clock setup_secondary_APIC_clock setup_APIC_timer
lapic register: lapic_init_clockevent lapic_update_tsc_freq
pvclock probe: kvmclock_init kvm_get_tsc_khz ms_hyperv_init_platform vmware_platform_setup
pvclock start: kvm_setup_secondary_clock kvmclock_setup_percpu
pvclock read: pvclock_clocksource_read pvclock_clocksource_read_nowd pvclock_read_wallclock
pvclock read: kvm_clock_get_cycles kvm_get_wallclock xen_clocksource_get_cycles
xen register: xen_time_init xen_init_time_ops xen_hvm_init_time_ops xen_setup_timer
hyperv register: hv_init_clocksource hv_init_tsc_clocksource hv_stimer_init hv_stimer_alloc
hpet probe: hpet_time_init hpet_enable hpet_late_init
i8254 start: pit_timer_init clockevent_i8253_init init_pit_clocksource
acpi_pm register: init_acpi_pm_clocksource
acpi_pm read: acpi_pm_read
acpi_pm check: verify_pmtmr_rate acpi_pm_check_blacklist
jiffies register: init_jiffies_clocksource register_refined_jiffies clocksource_default_clock
rtc read: read_persistent_clock64 read_persistent_wall_and_boot_offset mach_get_cmos_time
rtc read: mc146818_get_time
rtc probe: rtc_hctosys cmos_do_probe cmos_platform_probe cmos_init
any start: time_init late_time_init x86_late_time_init timekeeping_init tick_init sched_clock_init
any register: __clocksource_register_scale __clocksource_update_freq_scale clocksource_enqueue
any register: clockevents_register_device clockevents_config_and_register clockevents_config
any register: tick_check_new_device tick_setup_device
any select: clocksource_select __clocksource_select clocksource_done_booting timekeeping_notify
any select: change_clocksource tk_setup_internals
any check: clocksource_watchdog clocksource_verify_percpu clocksource_start_watchdog
any reject: clocksource_mark_unstable __clocksource_unstable clocksource_unregister
""")

_FREEBSD: Final = _table("""
any start: clock_init startrtclock initclocks cpu_initclocks cpu_initclocks_bsp cpu_initclocks_ap
any start: inittimecounter
any probe: identify_hypervisor
any calibrate: clockcalib
any register: tc_init et_register
any select: tc_windup et_find
any read: DELAY delay_tc
tsc probe: tsc_init probe_tsc_freq_early probe_tsc_freq_late start_TSC
tsc probe: tsc_freq_cpuid_vm tsc_freq_cpuid tsc_freq_vmware tsc_freq_xen tsc_freq_intel_brand
tsc calibrate: tsc_freq_tc tsc_calibrate
tsc check: test_tsc adj_smp_tsc comp_smp_tsc
tsc register: init_TSC_tc
lapic calibrate: lapic_calibrate_timer lapic_calibrate_initcount lapic_calibrate_deadline
lapic start: lapic_init lapic_et_start
pvclock probe: kvm_clock_identify kvm_clock_probe kvm_clock_attach
pvclock register: pvclock_init
pvclock read: pvclock_tc_get_timecount pvclock_get_timecount pvclock_gettime pvclock_tsc_freq
xen read: xen_delay
i8254 start: i8254_init attimer_attach
i8254 read: i8254_delay
hpet start: hpet_attach
rtc start: atrtc_attach
""")

_NETBSD: Final = _table("""
any start: startrtclock inittimecounter initclocks cpu_initclocks
any register: tc_init
any select: tc_windup
tsc probe: cpu_tsc_freq_cpuid tsc_is_invariant
tsc calibrate: cpu_get_tsc_freq hpet_tsc_freq
tsc start: tsc_setfunc
tsc check: tsc_sync_bp tsc_sync_ap tsc_sync_drift
tsc register: tsc_tc_init
tsc read: tsc_delay tsc_get_timecount
lapic calibrate: lapic_calibrate_timer
lapic start: lapic_boot_init lapic_initclock lapic_reset
lapic read: lapic_delay lapic_get_timecount
pvclock start: pvclock_attach
i8254 start: initrtclock i8254_initclocks
i8254 read: i8254_delay i8254_get_timecount gettick
xen start: xen_startrtclock xen_initclocks
xen read: xen_delay xen_get_timecount
rtc read: rtc_get_ymdhms
""")

_OPENBSD: Final = _table("""
any start: startrtclock startclocks initclocks cpu_initclocks inittodr
any register: tc_init
any reject: tc_reset_quality
any select: tc_windup
tsc probe: tsc_identify tsc_freq_cpuid
tsc calibrate: measure_tsc_freq calibrate_tsc_freq cpu_recalibrate_tsc
tsc check: tsc_test_sync_bp tsc_test_sync_ap
tsc register: tsc_timecounter_init
tsc read: tsc_delay
lapic calibrate: lapic_calibrate_timer
lapic start: lapic_boot_init lapic_initclocks lapic_startclock
lapic start: lapic_timer_rearm
lapic read: lapic_delay
acpi_pm start: acpitimerattach
hpet start: acpihpet_attach
pvclock start: pvclock_attach
pvclock read: pvclock_get_timecount
i8254 start: initrtclock i8254_startclock i8254_initclocks
i8254 register: i8254_inittimecounter i8254_inittimecounter_simple
i8254 read: i8254_delay i8254_get_timecount gettick
rtc read: rtcget
""")

CLOCK_FUNCTIONS: Final[dict[str, tuple[ClockFunction, ...]]] = {
    "linux": _LINUX,
    "freebsd": _FREEBSD,
    "netbsd": _NETBSD,
    "openbsd": _OPENBSD,
}
"""By operating system, in the order in which a boot mostly calls them."""
