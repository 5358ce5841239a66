"""TH4xx: boot time that went into finding clocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.story.model import Calibration

#: Less than this in all is not worth a finding.
WORTH_TELLING_NS = 20_000_000
WARNING_NS = 100_000_000
WORTH_NAMING_NS = 1_000_000


def calibration_time(case: Case) -> Iterable[Finding]:
    """TH401: the time that all calibrations took together, and what would spare it."""
    end_ns = case.story.outcome.at_ns
    work = _disjoint([c for c in case.story.calibrations if c.end_ns < end_ns])
    total = sum(c.duration_ns for c in work)
    # Host time says nothing about a deterministic guest, and would make its story vary.
    if total < WORTH_TELLING_NS or case.machine.deterministic:
        return
    most = sorted(work, key=lambda c: -c.duration_ns)
    most = [c for c in most if c.duration_ns >= WORTH_NAMING_NS]
    yield Finding(
        "TH401",
        "boot time lost in calibration",
        Severity.WARNING if total >= WARNING_NS else Severity.NOTE,
        "Before it could go on the kernel measured "
        + ", ".join(dict.fromkeys(f"{c.of} against {c.against}" for c in most))
        + ". A frequency that is told needs no time.",
        tuple(Evidence(f"{c.method}: {c.detail}", c.evidence) for c in most),
        _fixes(case, most),
        total,
    )


def leaf_would_spare_it(case: Case) -> Iterable[Finding]:
    """TH402: KVM knows the TSC's frequency, and no CPUID leaf tells it."""
    if not case.leaf_fixes:
        return
    told = ("CPUID", "pvclock", "MSR")
    measured = [
        c
        for c in _disjoint(list(case.story.calibrations))
        if c.result_hz and c.duration_ns >= WORTH_NAMING_NS and not c.against.startswith(told)
    ]
    total = sum(c.duration_ns for c in measured)
    if total < WORTH_TELLING_NS:
        return
    yield Finding(
        "TH402",
        f"{case.leaf_fixes[0].value} is missing",
        Severity.NOTE,
        f"The kernel measured for {total // 1_000_000:,} ms what KVM knows: "
        + ", ".join(dict.fromkeys(f"{c.of} against {c.against}" for c in measured))
        + (
            ". In CPUID leaf 0x40000010 the monitor publishes both frequencies."
            if case.on_monitor
            else ". With an invariant TSC QEMU publishes both frequencies in CPUID leaf 0x40000010."
        ),
        tuple(Evidence(f"{c.method}: {c.detail}", c.evidence) for c in measured),
        case.leaf_fixes,
        total,
    )


def _disjoint(calibrations: Sequence[Calibration]) -> list[Calibration]:
    """Calibrations that do not lie within another: a time is counted once."""
    chosen: list[Calibration] = []
    for calibration in sorted(calibrations, key=lambda c: (c.start_ns, -c.end_ns)):
        if not chosen or calibration.start_ns >= chosen[-1].end_ns:
            chosen.append(calibration)
    return chosen


def _fixes(case: Case, work: list[Calibration]) -> tuple[Fix, ...]:
    fixes: list[Fix] = []
    if any(c.of == "tsc" for c in work) and not _on_pvclock(case):
        fixes += case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz)
    if any(c.of == "lapic" and c.duration_ns >= WORTH_TELLING_NS for c in work):
        fixes += case.arguments_for(Need.NO_TIMER_CALIBRATION) if case.offers("i8254") else ()
        if case.machine.accelerator == "kvm" and case.lacks("tsc_deadline"):
            fixes.append(Fix(FixKind.CPU_FLAG, "+tsc-deadline", "needs no LAPIC calibration"))
        else:
            why = "a timer that needs no calibration; KVM has it, the TCG emulator has not"
            fixes.append(Fix(FixKind.ADVICE, "a machine that offers TSC deadline", why))
    return tuple(fixes)


def _on_pvclock(case: Case) -> bool:
    """Whether time is read from pvclock, or nothing is known of what it is read from."""
    return case.story.selected is None or case.story.selected in case.knowledge.names.pvclock
