"""What OpenBSD's own variables say when the boot is over, read from guest memory."""

from __future__ import annotations

from typing import Any

from timehands.guests.bsd.clocks import DELAY_FUNC
from timehands.guests.bsd.layouts import timecounter_layout
from timehands.guests.bsd.variables import Reader
from timehands.guests.openbsd.plan import FURTHER
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory

#: Variables that are numbers, with their sizes in bytes (sys/arch/amd64/amd64/{tsc,lapic}.c,
#: sys/arch/amd64/isa/clock.c, sys/kern/kern_clock.c).
NUMBERS = {
    "tsc_frequency": 8,
    "tsc_is_invariant": 4,
    "tsc_is_synchronized": 4,
    "tsc_recalibrate": 4,
    "lapic_per_second": 4,
    "lapic_tval": 4,
    "rtclock_tval": 8,
    "hz": 4,
}
FUNCTIONS = (DELAY_FUNC, "initclock_func", "startclock_func")


def look(kernel: Kernel, memory: Memory) -> dict[str, Any]:
    """Variables, function pointers, the timecounter in use and the list of all."""
    reader, at = Reader(kernel, memory), timecounter_layout(kernel, further=FURTHER)
    variables: dict[str, int | str] = {**reader.numbers(NUMBERS)}
    found = {
        "variables": variables | reader.functions(FUNCTIONS),
        "timecounter": reader.counter(reader.pointer(reader.address("timecounter")), at),
        "timecounters": reader.counters("tc_list", at),
    }
    return {name: value for name, value in found.items() if value}
