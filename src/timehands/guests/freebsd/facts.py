"""FreeBSD's own variables when the boot was over, in words."""

from __future__ import annotations

from collections.abc import Iterator

from timehands.guests.bsd.facts import Meaning, chosen, in_hz, listed, variables, whether
from timehands.guests.freebsd.calibrations import TIMING_LEAF, VM_GUESTS
from timehands.story.model import Fact
from timehands.watch.recording import Recording

_MOST_WORDS = 40


def _guest(value: int) -> str:
    return f"VM_GUEST_{VM_GUESTS[value]}" if value < len(VM_GUESTS) else "not known"


def _divisor(value: int) -> str:
    if not value:
        return "the LAPIC timer is not calibrated yet"
    return f"the LAPIC timer counts one of {value} cycles of its bus"


def _high(value: int) -> str:
    reach = "reach" if value >= TIMING_LEAF else "do not reach"
    return f"the hypervisor's leaves {reach} 0x40000010, where a TSC's frequency would be"


_MEANINGS: dict[str, Meaning] = {
    "tsc_freq": in_hz,
    "tsc_disabled": whether("the TSC is not used, whatever tsc_freq says", "the TSC may be used"),
    "tsc_skip_calibration": whether("machdep.disable_tsc_calibration=1", "calibration is allowed"),
    "tsc_early_calib_exact": whether(
        "the early frequency is taken as exact", "it is to be refined"
    ),
    "tsc_is_invariant": whether("DELAY may use it", "DELAY does not use it"),
    "lapic_timer_divisor": _divisor,
    "count_freq": lambda v: f"the LAPIC timer's rate: {in_hz(v)}",
    "lapic_timer_tsc_deadline": whether("the LAPIC timer compares with the TSC", "it counts down"),
    "lapic_ipi_wait_mult": lambda v: f"{v} reads of the ICR are taken for 1 us",
    "x2apic_mode": whether("x2APIC", "xAPIC"),
    "hv_high": _high,
    "vm_guest": _guest,
    "i8254_freq": in_hz,
    "i8254_max_count": whether("the i8254 was set up", "the i8254 was never set up"),
    "HYPERVISOR_shared_info": whether("Xen's page is there", "there is no Xen: its clock is not"),
    "pvclock_last_systime": whether("pvclock was read", "pvclock was never read"),
    "hz": lambda v: f"{v} ticks a second",
    "nrecs": lambda v: f"{v:,} records in the boot log (TSLOG)",
}
#: Addresses and masks read better in hexadecimal.
_HEXADECIMAL = frozenset({"hv_base", "hv_high", "cpu_high", "HYPERVISOR_shared_info"})


def facts(recording: Recording) -> tuple[Fact, ...]:
    """The variables, the chosen clocks, and the words of the environment about clocks."""
    return (
        *chosen(
            recording, "timecounter", "timecounter->tc_name", "the clock that time is read from"
        ),
        *chosen(recording, "eventtimer", "timer->et_name", "the clock that gives the ticks"),
        *_early_delay(recording.looked.get("early_delay")),
        *variables(recording, _MEANINGS, {}, _HEXADECIMAL),
        *listed(recording, "timecounters"),
        *listed(recording, "eventtimers"),
        *_environment(recording.looked.get("environment")),
    )


def _early_delay(function: object) -> Iterator[Fact]:
    if isinstance(function, str):
        yield Fact("init_ops.early_delay", function, "serves DELAY until there is a better clock")


def _environment(environment: object) -> Iterator[Fact]:
    pairs = list(environment.items())[:_MOST_WORDS] if isinstance(environment, dict) else []
    for name, value in pairs:
        yield Fact(f"kenv {name}", str(value), "")
