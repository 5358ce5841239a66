"""NetBSD's own variables when the boot was over, in words."""

from __future__ import annotations

from timehands.guests.bsd.facts import Meaning, in_hz, whether
from timehands.guests.bsd.facts import facts as told
from timehands.story.model import Fact
from timehands.watch.recording import Recording

#: The values of ``vm_guest`` (sys/arch/x86/include/cpu.h, enum vm_guest).
VM_GUESTS = (
    "NO", "VM", "XENPV", "XENPVH", "XENHVM", "XENPVHVM", "HV", "VMWARE", "KVM", "VIRTUALBOX",
    "GENPVH",
)  # fmt: skip


def _vm_guest(value: int) -> str:
    return f"VM_GUEST_{VM_GUESTS[value]}" if value < len(VM_GUESTS) else "not known"


_MEANINGS: dict[str, Meaning] = {
    "tsc_freq": lambda v: f"the TSC as a timecounter: {in_hz(v)}",
    "cpu_cc_freq": lambda v: f"the boot CPU's TSC: {in_hz(v)}",
    "tsc_drift_observed": lambda v: f"the vCPUs' TSCs moved apart by {v:,} cycles as they started",
    "tsc_drift_max": lambda v: f"a drift of more than {v:,} cycles makes the TSC's quality -100",
    "tsc_user_enabled": whether("programs may read the TSC", "programs may not read the TSC"),
    "lapic_per_second": lambda v: f"the LAPIC timer's rate: {in_hz(v)}",
    "lapic_tval": lambda v: f"the LAPIC timer counts {v:,} a tick",
    "lapic_from_cpuid": whether("the LAPIC timer's rate was told by CPUID", "it was measured"),
    "lapic_broken_periodic": whether("KVM's workaround is on: the LAPIC timer may stop", "off"),
    "x2apic_mode": whether("x2APIC", "xAPIC"),
    "vm_guest": _vm_guest,
    "x86_rtclock_tval": lambda v: f"the i8254 counts down from {v:,}",
    "rtclock_init": whether("the i8254 was set up", "the i8254 was never set up"),
    "hz": lambda v: f"{v} ticks a second",
}
_TEXTS = {
    "delay_func": "serves DELAY",
    "x86_initclock_func": "starts the clock interrupt",
    "x86_delay": "the first to serve DELAY",
    "rdtsc": "how the TSC is read: with that instruction before it, to keep the order",
}


def facts(recording: Recording) -> tuple[Fact, ...]:
    """The timecounter in use, the list of all, the variables, and the command line."""
    line = recording.looked.get("command_line")
    guest = recording.looked.get("vm_guest")
    named = {"vm_guest": lambda _value: guest} if isinstance(guest, str) else {}
    known = told(recording, {**_MEANINGS, **named}, _TEXTS)
    if not isinstance(line, str):
        return known
    return (*known, Fact("command line", line, "as the kernel was given it"))
