"""How Linux looked for its frequencies: each attempt, against what, with what result."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from timehands.story.instructions import HPET_BASE
from timehands.story.model import Calibration, References
from timehands.story.spans import Call
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

#: A shorter call did not measure: calibrate_delay took lpj from the TSC or from lpj=,
#: setup_boot_APIC_clock needs no frequency or knows it.
SHORTEST_MEASURE_NS = 1_000_000
_PIT_PORTS = frozenset({0x40, 0x42, 0x43, 0x61})
_PM_PORTS = frozenset({0x608, 0xB008})
_MAX_EVIDENCE = 6
MAX_LOOKED_AT = 1_000_000
_U32 = 0xFFFFFFFF
#: Twice LAPIC_CAL_LOOPS (HZ / 10) at the highest HZ, and some.
_TICKS_OF_LAPIC_CALIBRATION = 250
#: MAX_QUICK_PIT_MS (arch/x86/kernel/tsc.c).
QUICK_PIT_NS = 50_000_000
HPET_PAGE = 0xFED00


@dataclass(frozen=True, slots=True)
class _Seen:
    """A call, the events within it, and the call of the same function before it."""

    recording: Recording
    call: Call
    events: tuple[Event, ...]
    before: Call | None = None

    def make(self, of: str, against: str, result_hz: int | None, detail: str) -> Calibration:
        inside = [e for e in self.events if e.kind in (Kind.CPUID, Kind.IN, Kind.OUT)]
        references: References = tuple(e.reference for e in inside[:_MAX_EVIDENCE])
        left = (self.call.left.reference,) if self.call.left else ()
        return Calibration(
            of,
            against,
            self.call.name,
            self.recording.since_start(self.call.start_ns),
            self.recording.since_start(self.call.end_ns),
            result_hz,
            detail if self.call.left else f"{detail}; it did not return",
            (self.call.entered.reference, *references, *left),
        )

    def ports(self, ports: frozenset[int]) -> list[Event]:
        return [e for e in self.events if e.kind in (Kind.IN, Kind.OUT) and e.values[0] in ports]

    def leaf(self, number: int) -> tuple[int, int, int, int] | None:
        """What a CPUID leaf gave while the call lasted: eax, ebx, ecx, edx."""
        for event in self.events:
            if event.kind is Kind.CPUID and event.leaf[0] == number and not event.no_result:
                return event.registers
        return None

    @property
    def result_khz(self) -> int:
        return (self.call.result or 0) & _U32


def calibrations_of(
    recording: Recording, calls: tuple[Call, ...], jiffies_hz: int | None
) -> tuple[Calibration, ...]:
    """Every attempt to find a frequency, in order of time.

    Not more than `MAX_LOOKED_AT` events are looked at in all: a recording may be hostile.
    """
    found: list[Calibration] = []
    before: dict[str, Call] = {}
    left = MAX_LOOKED_AT
    for call in calls:
        teller = _TELLERS.get(call.name)
        if teller is None:
            continue
        events = _events_within(recording, call, left)
        left -= len(events) + 1
        if left <= 0:
            break
        found += teller(_Seen(recording, call, events, before.get(call.name)), jiffies_hz)
        before[call.name] = call
    return tuple(found)


def _events_within(recording: Recording, call: Call, most: int) -> tuple[Event, ...]:
    first = call.entered.index + 1
    last = call.left.index if call.left else len(recording.events)
    return recording.events[first : min(last, first + most)]


def _cpuid_tsc(seen: _Seen, _hz: int | None) -> Iterable[Calibration]:
    """native_calibrate_tsc: leaf 0x15, on Intel only."""
    khz = seen.result_khz
    against = "CPUID leaf 0x15"
    if khz:
        yield seen.make("tsc", against, khz * 1000, "the leaf gives it")
        return
    leaf = seen.leaf(0x15)
    if leaf is None:
        detail = "the leaf was not read: Linux asks for it on Intel only, within the basic limit"
    else:
        detail = f"leaf 0x15 gave eax {leaf[0]:#x}, ebx {leaf[1]:#x}, ecx {leaf[2]:#x}"
    yield seen.make("tsc", against, None, detail)


def _pvclock_tsc(seen: _Seen, _hz: int | None) -> Iterable[Calibration]:
    khz = seen.result_khz
    detail = "mul and shift of the pvclock page give it" if khz else "the pvclock page gave none"
    yield seen.make("tsc", "pvclock", khz * 1000 or None, detail)


def _quick_pit(seen: _Seen, _hz: int | None) -> Iterable[Calibration]:
    """native_calibrate_cpu_early: leaf 0x16 (Intel), MSR (Atom), then quick_pit_calibrate."""
    khz, pit = seen.result_khz, seen.ports(_PIT_PORTS)
    if not pit:
        if khz:
            yield seen.make("tsc", "CPUID or MSR", khz * 1000, "no measuring was needed")
        return
    detail = "agreed within 500 ppm" if khz else _why_quick_failed(seen, pit)
    yield seen.make("tsc", "i8254", khz * 1000 or None, detail)


def _why_quick_failed(seen: _Seen, pit: list[Event]) -> str:
    """quick_pit_calibrate gives up when it misses a value, when the error of the first step is too
    large to come below 500 ppm by the last, or after MAX_QUICK_PIT_MS.
    """
    if _all_ones(pit):
        return "the i8254 is absent: every read gave 0xff"
    if seen.recording.header.machine.deterministic:
        return "the i8254's high byte was not seen at each of its values"
    if seen.call.duration_ns < QUICK_PIT_NS:
        return (
            "it gave up: reads around a change of the i8254's high byte (every 0.21 ms) came too "
            f"late for 500 ppm; the longest pause seen was {_longest_pause_ns(seen) / 1e6:.2f} ms"
        )
    return "i8254 and TSC did not agree to 500 ppm within 50 ms: reads came late"


def _longest_pause_ns(seen: _Seen) -> int:
    """Between two events from the first read of the i8254 to the end of the call."""
    reading = itertools.dropwhile(lambda e: e.kind is not Kind.IN, seen.events)
    times = [e.host_ns for e in reading] + [seen.call.end_ns]
    return max((b - a for a, b in itertools.pairwise(times)), default=0)


def _all_ones(events: list[Event]) -> bool:
    """Whether the counter reads like an empty bus, and never as anything else."""
    reads = [e for e in events if e.kind is Kind.IN and e.values[0] in (0x40, 0x42)]
    known = [e for e in reads if not e.no_result]
    return bool(known) and all(e.values[1] == 0xFF for e in known)


def pit_is_silent(recording: Recording) -> bool:
    """Whether every read of an i8254 counter in the recording gave 0xff."""
    ports = [e for e in recording.events if e.kind is Kind.IN and e.values[0] in (0x40, 0x42)]
    return _all_ones(ports)


def _slow_pit(seen: _Seen, _hz: int | None) -> Iterable[Calibration]:
    """pit_hpet_ptimer_calibrate_cpu: up to three windows of 10 or 50 ms."""
    khz, pit = seen.result_khz, seen.ports(_PIT_PORTS)
    hpet = any(e.kind is Kind.MMIO_READ and e.values[0] >> 12 == HPET_PAGE for e in seen.events)
    used = {"i8254": pit, "acpi_pm": seen.ports(_PM_PORTS), "hpet": hpet}
    against = " and ".join(name for name, there in used.items() if there) or "nothing"
    if khz:
        yield seen.make("tsc", against, khz * 1000, "accepted")
        return
    if against == "nothing":
        detail = "without a legacy PIC it does not use the i8254, and there is no other reference"
    elif _gate_is_absent(seen):
        detail = (
            "port 0x61 is absent (reads 0xff): channel 2 seems done at once, each window ends "
            "before it begins"
        )
    else:
        detail = "each window was disturbed: one turn of its loop took 10 times the shortest"
    yield seen.make("tsc", against, None, detail)


def _gate_is_absent(seen: _Seen) -> bool:
    """Port 0x61 gates channel 2, and its bit 5 is that channel's output: high, the window is over.

    A bus on which nothing answers reads 0xff (QEMU's microvm has no port 0x61).
    """
    reads = [e for e in seen.events if e.kind is Kind.IN and e.values[0] == 0x61]
    known = [e.values[1] for e in reads if not e.no_result]
    return bool(known) and all(value == 0xFF for value in known)


def _refined(seen: _Seen, _hz: int | None) -> Iterable[Calibration]:
    """tsc_refine_calibration_work: against HPET or the ACPI PM timer, over a second.

    Its first run only takes the start; a later one that is disturbed, or comes out more than 1 %
    away, leaves tsc_khz as it was.
    """
    before = seen.before.left if seen.before else None
    left = seen.call.left
    against = _refined_against(seen)
    if before is None or left is None or against is None:
        return
    new = seen.recording.number(left, "tsc_khz")
    if new and new != seen.recording.number(before, "tsc_khz"):
        yield seen.make("tsc", against, new * 1000, "refined over a second")
    else:
        yield seen.make("tsc", against, None, "gave no other frequency")


def _refined_against(seen: _Seen) -> str | None:
    if any(e.kind is Kind.MMIO_READ and e.values[0] >> 10 == HPET_BASE >> 10 for e in seen.events):
        return "hpet"
    return "acpi_pm" if seen.ports(_PM_PORTS) else None


def _lapic(seen: _Seen, jiffies_hz: int | None) -> Iterable[Calibration]:
    """calibrate_APIC_clock, inlined into setup_boot_APIC_clock: 100 ms, then 100 ms to verify.

    It measures nothing with a TSC deadline, a period that is known, or nolapic_timer.
    """
    left = seen.call.left
    if left and seen.call.duration_ns < SHORTEST_MEASURE_NS:
        return
    period = seen.recording.number(left, "lapic_timer_period") if left else None
    hz = period * jiffies_hz if period and jiffies_hz else None
    against = "tsc" if _reads_tsc(seen) else "jiffies"
    detail = "bus cycles a tick" if hz else "the timer was not calibrated"
    yield seen.make("lapic", against, hz, detail)


def _reads_tsc(seen: _Seen) -> bool:
    """Whether it polls the TSC; lapic_cal_handler reads it too, but only once a tick."""
    reads = (1 + e.passed for e in seen.events if e.kind is Kind.RDTSC)
    return sum(reads) > _TICKS_OF_LAPIC_CALIBRATION


def _delay(seen: _Seen, jiffies_hz: int | None) -> Iterable[Calibration]:
    """calibrate_delay: only when it had to measure, not when the TSC gave it lpj_fine."""
    left = seen.call.left
    loops = seen.recording.number(left, "loops_per_jiffy") if left else None
    khz = seen.recording.number(left, "tsc_khz") if left else None
    if khz and jiffies_hz and loops == khz * 1000 // jiffies_hz:
        return
    if left and seen.call.duration_ns < SHORTEST_MEASURE_NS:
        return
    detail = f"{loops:,} loops a jiffy" if loops else "no tick came to count loops by"
    hz = loops * jiffies_hz if loops and jiffies_hz else None
    yield seen.make("delay loop", "jiffies", hz, detail)


_TELLERS: dict[str, Callable[[_Seen, int | None], Iterable[Calibration]]] = {
    "native_calibrate_tsc": _cpuid_tsc,
    "kvm_get_tsc_khz": _pvclock_tsc,
    "native_calibrate_cpu_early": _quick_pit,
    "pit_hpet_ptimer_calibrate_cpu": _slow_pit,
    "tsc_refine_calibration_work": _refined,
    "setup_boot_APIC_clock": _lapic,
    "calibrate_delay": _delay,
}
