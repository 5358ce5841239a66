"""The i8254 interval timer (PIT): its rate, and what its counts mean in ns.

Sources: Intel 8254 data sheet; the crystal of 14.31818 MHz is divided by 12 (Linux
include/linux/timex.h, PIT_TICK_RATE; QEMU include/hw/timer/i8254.h, PIT_FREQ).
"""

from __future__ import annotations

PIT_HZ = 1_193_182
#: A channel counts 16 bits: at its slowest it wraps after 65,536 ticks, 54.9 ms.
MODULUS = 1 << 16


def ticks_to_ns(ticks: int) -> int:
    """The time of so many ticks in ns, rounded down."""
    return ticks * 1_000_000_000 // PIT_HZ
