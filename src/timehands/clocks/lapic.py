"""The local APIC's timer: registers, counts and ns, and what it shows and does at a given time.

The timer counts down at the bus clock over a divisor, or waits for a TSC value. The bus clock of a
guest is what its hypervisor says: 1 GHz with KVM and QEMU unless set otherwise.

Hypervisors differ by one count, which a test that reads the current count can see:

- hardware, and this file's `LapicTimer`: N counts from the load to the interrupt, the current count
  goes N, N-1, ... 1, 0;
- KVM (`kvm_current_count`): fires after N counts, and shows what remains rounded down, so N - 1 as
  soon as any time has passed;
- QEMU (`qemu_expiry_counts`): fires after N + 1 counts, each period too.

Sources: Intel SDM volume 3, "APIC Timer" (figure "Divide Configuration Register", "TSC-Deadline
Mode"); Linux arch/x86/kvm/lapic.c: update_divide_count, tmict_to_ns, apic_get_tmcct,
limit_periodic_timer_frequency, apic_update_lvtt, kvm_set_lapic_tscdeadline_msr,
start_sw_tscdeadline; QEMU hw/intc/apic.c and apic_common.c: apic_get_current_count,
apic_next_timer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

NS_PER_S = 1_000_000_000
U32 = (1 << 32) - 1
U64 = (1 << 64) - 1

#: KVM's bus clock (APIC_BUS_CYCLE_NS_DEFAULT is 1) and QEMU's.
BUS_HZ = 1_000_000_000
#: KVM makes periodic timers no faster than this (its parameter min_timer_period_us).
KVM_LEAST_PERIOD_NS = 200_000


class TimerMode(IntEnum):
    """Bits 18:17 of the LVT timer register."""

    ONE_SHOT = 0
    PERIODIC = 1
    TSC_DEADLINE = 2
    RESERVED = 3


LVT_VECTOR = 0xFF
LVT_PENDING = 1 << 12
LVT_MASKED = 1 << 16
LVT_MODE_SHIFT = 17

#: Divisor to the divide configuration register: bits 3, 1 and 0; bit 2 is 0.
DIVIDE_REGISTERS: Mapping[int, int] = {
    1: 0b1011, 2: 0b0000, 4: 0b0001, 8: 0b0010,
    16: 0b0011, 32: 0b1000, 64: 0b1001, 128: 0b1010,
}  # fmt: skip
DIVISORS = tuple(DIVIDE_REGISTERS)


def timer_mode(lvt: int) -> TimerMode:
    """The mode that an LVT timer register selects."""
    return TimerMode(lvt >> LVT_MODE_SHIFT & 3)


def lvt_timer(vector: int, mode: TimerMode, *, masked: bool = False) -> int:
    """The LVT timer register for a vector (0 to 255) and a mode."""
    return vector & LVT_VECTOR | mode << LVT_MODE_SHIFT | (LVT_MASKED if masked else 0)


def divisor(register: int) -> int:
    """The divisor, 1 to 128, of a divide configuration register; only bits 3, 1 and 0 count."""
    code = register & 3 | (register & 8) >> 1
    return 1 << (code + 1 & 7)


def count_to_ns(count: int, divide: int, bus_hz: int = BUS_HZ) -> int:
    """How long ``count`` counts take, in ns rounded up: never before the counter is there."""
    return -(-count * divide * NS_PER_S // bus_hz)


def ns_to_count(ns: int, divide: int, bus_hz: int = BUS_HZ) -> int:
    """How many whole counts have passed after ``ns``."""
    return ns * bus_hz // (divide * NS_PER_S)


def nearest_count(ns: int, divide: int, bus_hz: int = BUS_HZ) -> int | None:
    """The initial count whose period is nearest to ``ns``; None when that is 0 or over 32 bits."""
    unit = divide * NS_PER_S
    count = (2 * ns * bus_hz + unit) // (2 * unit)
    return count if 0 < count <= U32 else None


def longest_ns(divide: int, bus_hz: int = BUS_HZ) -> int:
    """The longest period with this divisor: 2^32 - 1 counts, in ns rounded up."""
    return count_to_ns(U32, divide, bus_hz)


def smallest_divisor(ns: int, bus_hz: int = BUS_HZ) -> int | None:
    """The smallest divisor (the finest count) that reaches ``ns``; None when none does."""
    reaching = (divide for divide in DIVISORS if nearest_count(ns, divide, bus_hz) is not None)
    return next(reaching, None)


def kvm_current_count(remaining_ns: int, period_ns: int, divide: int, bus_cycle_ns: int = 1) -> int:
    """What KVM shows when ``remaining_ns`` are left of ``period_ns`` (apic_get_tmcct)."""
    if period_ns == 0:
        return 0
    return max(0, remaining_ns) % period_ns // (bus_cycle_ns * divide)


def kvm_period_ns(count: int, divide: int, mode: TimerMode, bus_cycle_ns: int = 1) -> int:
    """The period that KVM makes of an initial count; periodic ones are kept from being too fast."""
    period = count * bus_cycle_ns * divide
    if mode is TimerMode.PERIODIC and period:
        return max(period, KVM_LEAST_PERIOD_NS)
    return period


def kvm_deadline_ns(deadline: int, tsc: int, tsc_khz: int) -> int:
    """In how many ns KVM's software timer fires for a deadline; 0 at once.

    Cycles times 1,000,000 are kept in 64 bits: deadlines more than 2^64 / 10^6 cycles ahead (two
    hours at 2.5 GHz) fire early.
    """
    if deadline <= tsc:
        return 0
    return ((deadline - tsc) * 1_000_000 & U64) // tsc_khz


def deadline_ns(deadline: int, tsc: int, tsc_khz: int) -> int:
    """In how many ns a deadline is reached, rounded up; 0 when it is in the past."""
    return max(0, -(-(deadline - tsc) * 1_000_000 // tsc_khz))


def qemu_expiry_counts(count: int) -> int:
    """After how many counts QEMU's own LAPIC fires for an initial count, in both modes."""
    return count + 1


def qemu_current_count(count: int, passed: int, mode: TimerMode) -> int:
    """What QEMU's own LAPIC shows when ``passed`` counts went by since the load."""
    if mode is TimerMode.PERIODIC:
        return count - passed % (count + 1)
    return max(0, count - passed)


@dataclass(frozen=True, slots=True)
class LapicTimer:
    """The timer's registers, and what they mean at any time. Each write gives a new value.

    Times are ns on one clock, ``since_ns`` when the count was loaded. ``counted`` counts had
    already passed then (not 0 only after the divisor was changed on the way). ``deadline`` is the
    TSC_DEADLINE MSR as written, 0 when disarmed.
    """

    bus_hz: int = BUS_HZ
    lvt: int = LVT_MASKED
    divide_register: int = 0
    initial_count: int = 0
    since_ns: int = 0
    counted: int = 0
    deadline: int = 0

    @property
    def mode(self) -> TimerMode:
        """What the LVT says."""
        return timer_mode(self.lvt)

    @property
    def masked(self) -> bool:
        """It counts, but interrupts nobody."""
        return bool(self.lvt & LVT_MASKED)

    @property
    def divide(self) -> int:
        """1 to 128."""
        return divisor(self.divide_register)

    @property
    def period_ns(self) -> int:
        """From the load to the interrupt, in ns rounded up; 0 when stopped."""
        return count_to_ns(self.initial_count, self.divide, self.bus_hz)

    def write_lvt(self, value: int) -> LapicTimer:
        """A write to the LVT. Changing to or from TSC deadline disarms and stops the timer."""
        changed = (timer_mode(value) is TimerMode.TSC_DEADLINE) != (
            self.mode is TimerMode.TSC_DEADLINE
        )
        written = replace(self, lvt=value & U32)
        return replace(written, initial_count=0, counted=0, deadline=0) if changed else written

    def write_divide(self, value: int, now_ns: int) -> LapicTimer:
        """A write to the divide configuration: what is left of the count goes on at the new rate.

        As KVM does it (update_target_expiration); the part of a count that had passed is lost.
        """
        passed = self._passed(now_ns)
        if self.mode is TimerMode.PERIODIC and self.initial_count:
            passed %= self.initial_count
        return replace(self, divide_register=value & 0b1011, since_ns=now_ns, counted=passed)

    def write_initial_count(self, value: int, now_ns: int) -> LapicTimer:
        """A write to the initial count starts the timer, 0 stops it; ignored in TSC deadline."""
        if self.mode is TimerMode.TSC_DEADLINE:
            return self
        return replace(self, initial_count=value & U32, since_ns=now_ns, counted=0)

    def write_deadline(self, value: int) -> LapicTimer:
        """WRMSR 0x6e0: arms, 0 disarms; ignored (and reads 0) unless in TSC deadline."""
        if self.mode is not TimerMode.TSC_DEADLINE:
            return self
        return replace(self, deadline=value & U64)

    def current_count(self, now_ns: int) -> int:
        """The current count register at a time not before the last write."""
        if self.mode not in (TimerMode.ONE_SHOT, TimerMode.PERIODIC) or not self.initial_count:
            return 0
        passed = self._passed(now_ns)
        if self.mode is TimerMode.PERIODIC:
            return self.initial_count - passed % self.initial_count
        return max(0, self.initial_count - passed)

    def next_expiry_ns(self, after_ns: int) -> int | None:
        """When the count next reaches 0, later than ``after_ns``; None when it does not.

        For TSC deadlines see `fires`.
        """
        if self.mode not in (TimerMode.ONE_SHOT, TimerMode.PERIODIC) or not self.initial_count:
            return None
        wanted = self.initial_count
        if self.mode is TimerMode.PERIODIC:
            wanted *= self._passed(max(after_ns, self.since_ns)) // self.initial_count + 1
        at_ns = self.since_ns + count_to_ns(wanted - self.counted, self.divide, self.bus_hz)
        return at_ns if at_ns > after_ns else None

    def fires(self, tsc: int) -> bool:
        """Whether a deadline is armed and reached; one in the past fires as soon as written."""
        return bool(self.deadline) and tsc >= self.deadline

    def fired(self) -> LapicTimer:
        """After a deadline's interrupt: the MSR reads 0."""
        return replace(self, deadline=0)

    def _passed(self, now_ns: int) -> int:
        """Counts since the load."""
        passed_ns = max(0, now_ns - self.since_ns)
        return self.counted + ns_to_count(passed_ns, self.divide, self.bus_hz)
