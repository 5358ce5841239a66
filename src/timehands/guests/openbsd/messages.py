"""OpenBSD's console messages about clocks: which function prints each, and what it means.

It does not announce its timecounters: only that one was refused, and the devices as they attach.
"""

from __future__ import annotations

from timehands.guests.bsd.messages import known

KNOWN = (
    known(
        "insufficient",
        r'Timecounter "([^"]{1,40})" frequency (\d{1,20}) Hz '
        r"-- Insufficient hz, needs at least (\d{1,10})$",
        "tc_init",
        r"\1 wraps between two ticks: its quality becomes -2000",
    ),
    known(
        "LAPIC",
        r"^cpu\d{1,3}: apic clock running at (\d{1,7})MHz$",
        "lapic_calibrate_timer",
        r"the LAPIC timer counts at \1 MHz, timed by the i8254",
    ),
    known(
        "CPU",
        r"^cpu0: .{1,80}, (\d{1,6}\.\d{2}) MHz",
        "identifycpu",
        r"the boot CPU's TSC was taken for \1 MHz",
    ),
    known(
        "ACPI timer",
        r"^acpitimer\d{1,2} at acpi\d{1,2}: (\d{1,10}) Hz, (24|32) bits$",
        "acpitimerattach",
        r"the ACPI PM timer is there, \2 bits",
    ),
    known(
        "HPET",
        r"^acpihpet\d{1,2} at acpi\d{1,2}: (\d{1,12}) Hz$",
        "acpihpet_attach",
        r"the HPET is there, \1 Hz by its period register",
    ),
    known(
        "hypervisor",
        r"^pvbus\d{1,2} at mainbus0: (.{1,40})$",
        "pvbus_attach",
        r"the hypervisor calls itself \1",
    ),
    known("pvclock", r"^pvclock\d{1,2} at pvbus\d{1,2}", "pvclock_attach", "pvclock was found"),
    known(
        "sync",
        r"^tsc: cpu0/(cpu\d{1,3}): sync test round (\d)/(\d) failed$",
        "tsc_report_test_results",
        r"the TSCs of cpu0 and \1 are not the same: the TSC's quality becomes -1000",
    ),
    known(
        "lags",
        r"^tsc: cpu0/cpu\d{1,3}: (cpu\d{1,3}): (\d{1,20}) lags (\d{1,20}) cycles$",
        "tsc_report_test_results",
        r"\1 was behind \2 times, by up to \3 cycles",
    ),
    known(
        "adjusted",
        r"^tsc: (cpu\d{1,3}): IA32_TSC_ADJUST: (-?\d{1,20}) -> 0$",
        "tsc_report_test_results",
        r"somebody had set \1's TSC \2 cycles off",
    ),
)
