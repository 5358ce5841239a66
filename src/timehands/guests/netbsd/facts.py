"""NetBSD's own variables when the boot was over, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from timehands.guests.bsd.timecounters import rows_of
from timehands.story.model import Fact
from timehands.watch.recording import Recording

#: The values of ``vm_guest`` (sys/arch/x86/include/cpu.h, enum vm_guest).
VM_GUESTS = (
    "NO", "VM", "XENPV", "XENPVH", "XENHVM", "XENPVHVM", "HV", "VMWARE", "KVM", "VIRTUALBOX",
    "GENPVH",
)  # fmt: skip
_ENDS = {
    "cycle": "the list goes in a circle",
    "long": "the list has no end within 32 entries",
    "broken": "the list leads to memory that holds no entry",
}
_Meaning = Callable[[int], str]


def _hz(value: int) -> str:
    return f"{value:,} Hz" if value else "unknown"


def _is(yes: str, no: str) -> _Meaning:
    return lambda value: yes if value else no


def vm_guest(value: int | None) -> str:
    """The value of ``vm_guest`` in the kernel's own word."""
    known = value is not None and value < len(VM_GUESTS)
    return f"VM_GUEST_{VM_GUESTS[value]}" if known and value is not None else "not known"


_MEANINGS: dict[str, _Meaning] = {
    "tsc_freq": lambda v: f"the TSC as a timecounter: {_hz(v)}",
    "cpu_cc_freq": lambda v: f"the boot CPU's TSC: {_hz(v)}",
    "tsc_drift_observed": lambda v: f"the vCPUs' TSCs moved apart by {v:,} cycles as they started",
    "tsc_drift_max": lambda v: f"a drift of more than {v:,} cycles makes the TSC's quality -100",
    "tsc_user_enabled": _is("programs may read the TSC", "programs may not read the TSC"),
    "lapic_per_second": lambda v: f"the LAPIC timer's rate: {_hz(v)}",
    "lapic_tval": lambda v: f"the LAPIC timer counts {v:,} a tick",
    "lapic_from_cpuid": _is("the LAPIC timer's rate was told by CPUID", "it was measured"),
    "lapic_broken_periodic": _is("KVM's workaround is on: the LAPIC timer may stop", "off"),
    "x2apic_mode": _is("x2APIC", "xAPIC"),
    "vm_guest": vm_guest,
    "x86_rtclock_tval": lambda v: f"the i8254 counts down from {v:,}",
    "rtclock_init": _is("the i8254 was set up", "the i8254 was never set up"),
    "hz": lambda v: f"{v} ticks a second",
}
_POINTERS = {
    "delay_func": "serves DELAY",
    "x86_initclock_func": "starts the clock interrupt",
    "x86_delay": "the first to serve DELAY",
    "rdtsc": "how the TSC is read: with that instruction before it, to keep the order",
}


def facts(recording: Recording) -> tuple[Fact, ...]:
    """The timecounter in use, the list of all, and the variables."""
    return (*_chosen(recording), *_list(recording), *_variables(recording))


def variable(recording: Recording, name: str) -> int | None:
    """A variable at the end; None: it was not read."""
    variables = recording.looked.get("variables")
    value = variables.get(name) if isinstance(variables, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _chosen(recording: Recording) -> Iterator[Fact]:
    row = recording.looked.get("timecounter")
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        quality = row.get("quality")
        meaning = f"the clock that time is read from, quality {quality}"
        yield Fact("timecounter->tc_name", row["name"], meaning)


def _list(recording: Recording) -> Iterator[Fact]:
    listed = recording.looked.get("timecounters")
    if isinstance(listed, dict):
        names = ", ".join(row["name"] for row in rows_of(recording))
        yield Fact("timecounters", names or "none", _ENDS.get(str(listed.get("ends")), ""))


def _variables(recording: Recording) -> Iterator[Fact]:
    variables = recording.looked.get("variables")
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if isinstance(value, int) and not isinstance(value, bool):
            meaning = _MEANINGS.get(name)
            yield Fact(str(name), value, meaning(value) if meaning else "")
        elif isinstance(value, str):
            yield Fact(str(name), value, _POINTERS.get(name, ""))
