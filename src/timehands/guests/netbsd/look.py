"""What NetBSD's own variables say when the boot is over, read from guest memory."""

from __future__ import annotations

from typing import Any

from timehands.guests.bsd.clocks import DELAY_FUNC
from timehands.guests.bsd.layouts import name_of, timecounter_layout
from timehands.guests.bsd.variables import Reader
from timehands.guests.netbsd.plan import CC_FREQ, INITCLOCK_FUNC, cc_freq_address
from timehands.guests.tslog import look_at_log
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory

#: Variables that are numbers, with their sizes in bytes (sys/arch/x86/x86/{tsc,lapic,x86_machdep,
#: identcpu}.c, sys/arch/x86/isa/clock.c, sys/kern/{kern_clock,subr_param,kern_tslog}.c).
NUMBERS = {
    "tsc_freq": 8,
    "tsc_drift_observed": 8,
    "tsc_drift_max": 8,
    "tsc_user_enabled": 4,
    "lapic_per_second": 4,
    "lapic_tval": 4,
    "lapic_from_cpuid": 1,
    "lapic_broken_periodic": 1,
    "x2apic_mode": 1,
    "vm_guest": 4,
    "x86_rtclock_tval": 8,
    "rtclock_init": 4,
    "hz": 4,
}
#: struct hvm_start_info (sys/external/mit/xen-include-public): where the physical address
#: of the command line is. The kernel's own half begins at KERNBASE.
_CMDLINE_OFFSET = 24
_KERNBASE = 0xFFFFFFFF80000000
_CMDLINE_BYTES = 256
FUNCTIONS = (DELAY_FUNC, INITCLOCK_FUNC, "x86_delay", "rdtsc")


def look(kernel: Kernel, memory: Memory) -> dict[str, Any]:
    """Variables, function pointers, the timecounter in use, the list of all, and the boot log."""
    reader, at = Reader(kernel, memory), timecounter_layout(kernel)
    variables: dict[str, int | str] = {**reader.numbers(NUMBERS)}
    frequency = reader.number(cc_freq_address(kernel), 8)
    if frequency is not None:
        variables[CC_FREQ] = frequency
    start = reader.pointer(reader.address("hvm_start_info"))
    found = {
        "vm_guest": name_of(kernel, "vm_guest", reader.number(reader.address("vm_guest"), 4)),
        "command_line": _command_line(reader, start),
        "virtio_mmio": bool(kernel.symbols.match("virtio_mmio_*")),
        "variables": variables | reader.functions(FUNCTIONS),
        "timecounter": reader.counter(reader.pointer(reader.address("timecounter")), at),
        "timecounters": reader.counters("timecounters", at),
        "tslog": look_at_log(kernel, memory),
    }
    return {name: value for name, value in found.items() if value}


def _command_line(reader: Reader, start: int | None) -> str | None:
    """The command line that it was started with: at most 255 characters are read by the kernel."""
    place = reader.number(start + _CMDLINE_OFFSET, 8) if start is not None else None
    return reader.text(place + _KERNBASE, _CMDLINE_BYTES) if place else None
