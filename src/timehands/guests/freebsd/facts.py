"""FreeBSD's own variables when the boot was over, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from timehands.guests.freebsd.calibrations import TIMING_LEAF, VM_GUESTS
from timehands.story.model import Fact
from timehands.watch.recording import Recording

_Meaning = Callable[[int], str]
_MOST_WORDS = 40


def _hz(value: int) -> str:
    return f"{value:,} Hz" if value else "unknown"


def _is(yes: str, no: str = "") -> _Meaning:
    return lambda value: yes if value else no


def _guest(value: int) -> str:
    return f"VM_GUEST_{VM_GUESTS[value]}" if value < len(VM_GUESTS) else "not known"


def _high(value: int) -> str:
    reach = "reach" if value >= TIMING_LEAF else "do not reach"
    return f"the hypervisor's leaves {reach} 0x40000010, where a TSC's frequency would be"


_MEANINGS: dict[str, _Meaning] = {
    "tsc_freq": _hz,
    "tsc_disabled": _is("the TSC is not used, whatever tsc_freq says", "the TSC may be used"),
    "tsc_skip_calibration": _is("machdep.disable_tsc_calibration=1", "calibration is allowed"),
    "tsc_early_calib_exact": _is("the early frequency is taken as exact", "it is to be refined"),
    "tsc_is_invariant": _is("DELAY may use it", "DELAY does not use it"),
    "lapic_timer_divisor": lambda v: f"the LAPIC timer counts one of {v} cycles of its bus",
    "count_freq": lambda v: f"the LAPIC timer's rate: {_hz(v)}",
    "lapic_timer_tsc_deadline": _is("the LAPIC timer compares with the TSC", "it counts down"),
    "lapic_ipi_wait_mult": lambda v: f"{v} reads of the ICR are taken for 1 us",
    "x2apic_mode": _is("x2APIC", "xAPIC"),
    "hv_high": _high,
    "vm_guest": _guest,
    "i8254_freq": _hz,
    "i8254_max_count": _is("the i8254 was set up", "the i8254 was never set up"),
    "HYPERVISOR_shared_info": _is("Xen's page is there", "there is no Xen: its clock is not"),
    "pvclock_last_systime": _is("pvclock was read", "pvclock was never read"),
    "hz": lambda v: f"{v} ticks a second",
    "nrecs": lambda v: f"{v:,} records in the boot log (TSLOG)",
}
#: Addresses and masks read better in hexadecimal.
_HEXADECIMAL = frozenset({"hv_base", "hv_high", "cpu_high", "HYPERVISOR_shared_info"})


def facts(recording: Recording) -> tuple[Fact, ...]:
    """The variables, the chosen clocks, and the words of the environment about clocks."""
    looked = recording.looked
    return (
        *_chosen(recording),
        *_variables(looked.get("variables")),
        *_lists(recording),
        *_environment(looked.get("environment")),
    )


def _chosen(recording: Recording) -> Iterator[Fact]:
    for key, name, member in (
        ("timecounter", "timecounter->tc_name", "the clock that time is read from"),
        ("eventtimer", "timer->et_name", "the clock that gives the ticks"),
    ):
        row = recording.looked.get(key)
        if isinstance(row, dict) and isinstance(row.get("name"), str):
            quality = row.get("quality")
            yield Fact(name, row["name"], f"{member}, quality {quality}")
    function = recording.looked.get("early_delay")
    if isinstance(function, str):
        yield Fact("init_ops.early_delay", function, "serves DELAY until there is a better clock")


def _variables(variables: object) -> Iterator[Fact]:
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if isinstance(value, bool) or not isinstance(value, int | str):
            continue
        meaning = _MEANINGS.get(name)
        said = meaning(value) if meaning and isinstance(value, int) else ""
        shown = f"{value:#x}" if name in _HEXADECIMAL and isinstance(value, int) else value
        yield Fact(str(name), shown, said)


def _lists(recording: Recording) -> Iterator[Fact]:
    """A list that does not end as it should is said."""
    ends = {
        "cycle": "the list goes in a circle",
        "long": "the list has no end within 32 entries",
        "broken": "the list leads to memory that holds no entry",
    }
    for key in ("timecounters", "eventtimers"):
        listed = recording.looked.get(key)
        if not isinstance(listed, dict) or not isinstance(listed.get("rows"), list):
            continue
        names = [str(r["name"]) for r in listed["rows"] if isinstance(r, dict) and "name" in r]
        yield Fact(key, ", ".join(names) or "none", ends.get(str(listed.get("ends")), ""))


def _environment(environment: object) -> Iterator[Fact]:
    pairs = list(environment.items())[:_MOST_WORDS] if isinstance(environment, dict) else []
    for name, value in pairs:
        yield Fact(f"kenv {name}", str(value), "")
