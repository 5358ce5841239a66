"""What the instructions alone say: which clocks a guest touched, whoever it is.

This needs no symbols and no knowledge of an operating system. It is the whole story of an unknown
kernel, and the ground of every other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from timehands.story.model import Clock, ClockRole, ClockState, Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

_PORT_KINDS = (Kind.IN, Kind.OUT)
_MSR_KINDS = (Kind.RDMSR, Kind.WRMSR)
_MMIO_KINDS = (Kind.MMIO_READ, Kind.MMIO_WRITE)
#: MSRs of pvclock: system time and wall clock, new and old (Linux asm/kvm_para.h).
PVCLOCK_SYSTEM_MSRS = (0x4B564D01, 0x12)
PVCLOCK_WALL_MSRS = (0x4B564D00, 0x11)
TSC_DEADLINE_MSR = 0x6E0
X2APIC_TIMER_MSRS = (0x832, 0x838, 0x839, 0x83E)
#: LAPIC registers of its timer: local vector, initial count, current count, divider.
LAPIC_TIMER_REGISTERS = (0x320, 0x380, 0x390, 0x3E0)
LAPIC_BASE, HPET_BASE = 0xFEE00000, 0xFED00000
#: The ACPI PM timer where QEMU's machines have it (PM base 0x600 plus 8).
ACPI_PM_PORTS = (0x608, 0xB008)


@dataclass(slots=True)
class Touched:
    """What a guest did with one clock: how often, and the first events of it."""

    name: str
    role: ClockRole
    count: int = 0
    first: list[Event] = field(default_factory=list)
    armed: Event | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    role: ClockRole
    touches: Callable[[Event], bool]
    arms: Callable[[Event], bool] = lambda _event: False


def _port(*ports: int) -> Callable[[Event], bool]:
    return lambda e: e.kind in _PORT_KINDS and e.values[0] in ports


def _msr(*numbers: int) -> Callable[[Event], bool]:
    return lambda e: e.kind in _MSR_KINDS and e.values[0] in numbers


def _lapic(e: Event) -> bool:
    mmio = e.kind in _MMIO_KINDS and e.values[0] - LAPIC_BASE in LAPIC_TIMER_REGISTERS
    return mmio or (e.kind in _MSR_KINDS and e.values[0] in X2APIC_TIMER_MSRS)


def _lapic_counts(e: Event) -> bool:
    """A write of an initial count that is not zero starts the LAPIC's timer."""
    mmio = e.kind is Kind.MMIO_WRITE and e.values[0] == LAPIC_BASE + 0x380
    return bool((mmio or (e.kind is Kind.WRMSR and e.values[0] == 0x838)) and e.values[1])


_RULES = (
    _Rule("tsc", ClockRole.SOURCE, lambda e: e.kind is Kind.RDTSC),
    _Rule("pvclock", ClockRole.SOURCE, _msr(*PVCLOCK_SYSTEM_MSRS, *PVCLOCK_WALL_MSRS)),
    _Rule("i8254", ClockRole.SOURCE, _port(0x40, 0x41, 0x42, 0x43)),
    _Rule("rtc", ClockRole.WALL, _port(0x70, 0x71)),
    _Rule("acpi_pm", ClockRole.SOURCE, _port(*ACPI_PM_PORTS)),
    _Rule(
        "hpet",
        ClockRole.SOURCE,
        lambda e: e.kind in _MMIO_KINDS and HPET_BASE <= e.values[0] < HPET_BASE + 0x400,
    ),
    _Rule("lapic", ClockRole.EVENTS, _lapic, _lapic_counts),
    _Rule(
        "tsc-deadline",
        ClockRole.EVENTS,
        _msr(TSC_DEADLINE_MSR),
        lambda e: e.kind is Kind.WRMSR and e.values[1] != 0,
    ),
)
_FIRST_EVENTS = 4


def touched_clocks(events: Iterable[Event]) -> dict[str, Touched]:
    """The clocks that the events touch, by name, in the order of the rules."""
    found = {rule.name: Touched(rule.name, rule.role) for rule in _RULES}
    for event in events:
        for rule in _RULES:
            if not rule.touches(event):
                continue
            clock = found[rule.name]
            clock.count += 1 + event.passed
            if len(clock.first) < _FIRST_EVENTS:
                clock.first.append(event)
            if clock.armed is None and rule.arms(event):
                clock.armed = event
    return {name: clock for name, clock in found.items() if clock.count}


def clocks_from_instructions(recording: Recording) -> tuple[Clock, ...]:
    """The clocks as the instructions alone show them: probed, or (a timer that was armed) selected.

    Which clock the kernel reads time from cannot be told from this.
    """
    return tuple(_clock(recording, t) for t in touched_clocks(recording.events).values())


def _clock(recording: Recording, touched: Touched) -> Clock:
    first = touched.first[0]
    steps = [Step(recording.since_start(first.host_ns), "first touched", (first.reference,))]
    if touched.armed:
        at = recording.since_start(touched.armed.host_ns)
        steps.append(Step(at, "armed", (touched.armed.reference,)))
    times = f"{touched.count:,} accesses" if touched.count > 1 else "one access"
    return Clock(
        touched.name,
        touched.role,
        ClockState.PROBED,
        how=f"{times} seen",
        steps=tuple(steps),
        evidence=tuple(event.reference for event in touched.first),
    )
