"""TH3xx: a device that the kernel takes for granted and that this machine does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.machines.machine import CLOCK_DEVICES
from timehands.story.model import OutcomeKind, References, SpanKind
from timehands.watch.records import Event, Kind

#: Looking for an absent device in less than this is no trouble.
WORTH_TELLING_NS = 5_000_000
_MAX_EVIDENCE = 6


@dataclass(frozen=True, slots=True)
class _Device:
    code: str
    title: str
    name: str
    absent: Callable[[Case], bool]
    touches: Callable[[Event], bool]
    span: str
    need: Need | None = None


def _port_in(*ports: int) -> Callable[[Event], bool]:
    return lambda e: e.kind in (Kind.IN, Kind.OUT) and e.values[0] in ports


def _hpet(e: Event) -> bool:
    mmio = e.kind in (Kind.MMIO_READ, Kind.MMIO_WRITE)
    return mmio and 0xFED00000 <= e.values[0] < 0xFED00400


_DEVICES = (
    _Device(
        "TH301",
        "i8254 (PIT) assumed and absent",
        "pit",
        lambda case: case.lacks("i8254"),
        _port_in(0x40, 0x41, 0x42, 0x43),
        "native_calibrate_cpu",
    ),
    _Device(
        "TH302",
        "RTC assumed and absent",
        "rtc",
        lambda case: case.lacks("rtc"),
        _port_in(0x70, 0x71),
        "cmos",
    ),
    _Device("TH303", "HPET assumed and absent", "hpet", lambda c: c.lacks("hpet"), _hpet, "hpet"),
    _Device(
        "TH304",
        "i8042 assumed and absent",
        "i8042",
        lambda case: case.survey is not None and not case.survey.i8042,
        _port_in(0x60, 0x64),
        "i8042",
        Need.NO_I8042,
    ),
)


def absent_devices(case: Case) -> Iterable[Finding]:
    """TH301 to TH304: the kernel's instructions address a device that the survey did not find."""
    for device in _DEVICES:
        if not device.absent(case):
            continue
        events = [e for e in case.recording.events if device.touches(e)]
        if events:
            yield from _finding(case, device, events)


def absent_gate(case: Case) -> Iterable[Finding]:
    """TH305: an i8254 without port 0x61, by which channel 2 is started and seen to be done."""
    survey = case.survey
    if survey is None or not survey.pit.counts or survey.pit.gate:
        return
    events = [e for e in case.recording.events if _port_in(0x61)(e)]
    failed = [c for c in case.story.calibrations if "i8254" in c.against and not c.result_hz]
    if not events:
        return
    yield Finding(
        "TH305",
        "i8254 gate (port 0x61) assumed and absent",
        Severity.WARNING if failed else Severity.NOTE,
        "The i8254 counts, but port 0x61, which starts its channel 2 and shows when it is done, "
        "reads 0xff. A calibration that waits for channel 2 ends at once and fails each time; "
        "only one that reads the count itself can succeed.",
        (Evidence("accesses of port 0x61", tuple(e.reference for e in events[:_MAX_EVIDENCE])),),
        (
            *(case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz) if failed else ()),
            Fix(FixKind.ADVICE, "in the VMM, emulate port 0x61", "QEMU's microvm lacks it"),
        ),
    )


def _finding(case: Case, device: _Device, events: list[Event]) -> Iterable[Finding]:
    cost, where = _cost(case, device)
    hangs = device.code == "TH301" and case.story.outcome.kind is OutcomeKind.HUNG
    wrong_date = device.code == "TH302" and case.story.outcome.kind is OutcomeKind.INIT_REACHED
    if case.machine.deterministic:  # host time says nothing about it, and would vary
        cost = 0
    if cost < WORTH_TELLING_NS and not hangs and not wrong_date:
        return
    count = sum(1 + event.passed for event in events)
    references: References = tuple(e.reference for e in events[:_MAX_EVIDENCE])
    severity = Severity.ERROR if hangs else Severity.WARNING
    yield Finding(
        device.code,
        device.title,
        severity,
        f"The kernel addressed it {count:,} times{where}. Nothing answers there: reads give 0xff "
        "and no interrupt comes." + (" It then waits for it without end." if hangs else ""),
        (Evidence(f"first accesses of {count:,}", references),),
        _fixes(case, device),
        cost or None,
    )


def _cost(case: Case, device: _Device) -> tuple[int, str]:
    """The time of the outermost spans that look for the device, and their names."""
    kinds = (SpanKind.DEVICE, SpanKind.CALIBRATION, SpanKind.CLOCK, SpanKind.KERNEL)
    spans = [s for s in case.story.spans if device.span in s.name and s.kind in kinds and s.depth]
    if device.code == "TH301":
        times = [c.duration_ns for c in case.story.calibrations if "i8254" in c.against]
        return sum(times), ""
    top = min((s.depth for s in spans), default=0)
    chosen = [s for s in spans if s.depth == top]
    names = ", ".join(dict.fromkeys(s.name for s in chosen))
    return sum(s.duration_ns for s in chosen), f" (in {names})" if names else ""


def _fixes(case: Case, device: _Device) -> tuple[Fix, ...]:
    fixes: list[Fix] = []
    if device.name in CLOCK_DEVICES[case.machine.type]:
        fixes.append(Fix(FixKind.DEVICE, f"{device.name}=on", "the machine then has it"))
    if device.need:
        fixes += case.arguments_for(device.need)
    return tuple(fixes)
