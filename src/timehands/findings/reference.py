"""TH104 to TH107: calibrations that were not allowed, or measured against what is no clock."""

from __future__ import annotations

from collections.abc import Iterable

from timehands.findings.case import Case
from timehands.findings.frequency import after_unknown
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.guests.telling import STATISTICS_FAILED, SWITCHED_OFF
from timehands.story.model import Calibration

#: A bus clock that differs by more than this from what the machine has was measured wrong.
BUS_TOLERANCE_PPM = 10_000
_MILLION = 1_000_000


def calibration_switched_off(case: Case) -> Iterable[Finding]:
    """TH104: nothing tells the TSC's frequency, and the kernel may not measure it."""
    off = [c for c in case.story.calibrations if c.of == "tsc" and SWITCHED_OFF in c.detail]
    if not off or off[-1].result_hz:
        return
    earlier = [c for c in case.story.calibrations if c.of == "tsc" and c not in off]
    yield Finding(
        "TH104",
        "TSC not used: its calibration is switched off",
        Severity.ERROR,
        "No CPUID leaf tells the TSC's frequency here, and the kernel is told not to measure it "
        "(a setting for machines that tell it). The kernel gives its TSC up for good: a frequency "
        f"that is written into it later changes nothing{after_unknown(case)}.",
        tuple(Evidence(f"{c.method}: {c.detail}", c.evidence) for c in (*earlier, *off)),
        (*case.arguments_for(Need.TSC_CALIBRATION), *case.leaf_fixes),
    )


def calibrated_against_nothing(case: Case) -> Iterable[Finding]:
    """TH105: a clock was measured against a counter that only counts how often it is read."""
    dummies = case.knowledge.names.dummies
    wrong = [c for c in case.story.calibrations if c.against in dummies and c.result_hz]
    if not wrong:
        return
    what = " and ".join(dict.fromkeys(c.of.upper() for c in wrong))
    yield Finding(
        "TH105",
        f"{what} calibrated against a counter of reads",
        Severity.ERROR,
        f"No timecounter was attached yet, so {wrong[0].method} measured against "
        f"{wrong[0].against!r}, which moves by one each time it is read and is taken for 1 MHz: "
        "the result is the speed of the loop that reads. The kernel boots and looks healthy, and "
        f"each clock that was measured so runs at a wrong rate: {'; '.join(_off(case, wrong))}.",
        tuple(Evidence(f"{c.method}: {c.detail}", c.evidence) for c in wrong),
        _reference_fixes(case),
        sum(c.duration_ns for c in wrong) or None,
    )


def _off(case: Case, wrong: list[Calibration]) -> Iterable[str]:
    """What came out, and what is true as far as the survey tells."""
    for calibration in wrong:
        found, true = calibration.result_hz or 0, _true_hz(case, calibration.of)
        beside = f", the machine's is {true:,} Hz" if true else ""
        yield f"{calibration.of.upper()} {found:,} Hz{beside}"


def _true_hz(case: Case, of: str) -> int | None:
    if of == "tsc":
        return case.tsc_hz
    rate = case.survey.lapic.rate if case.survey and of == "lapic" else None
    return rate.hz if rate else None


def _reference_fixes(case: Case) -> tuple[Fix, ...]:
    fixes = list(case.arguments_for(Need.CALIBRATION_REFERENCE))
    if case.lacks("i8254") and not case.machine.has("pit"):
        fixes.insert(0, Fix(FixKind.DEVICE, "pit=on", "the kernel then has a clock to measure by"))
    return tuple(fixes)


def statistics_failed(case: Case) -> Iterable[Finding]:
    """TH106: clock and reference did not agree to 1 ppm within a second."""
    dummies = case.knowledge.names.dummies
    for calibration in case.story.calibrations:
        if STATISTICS_FAILED not in calibration.detail or calibration.against in dummies:
            continue
        true, found = _true_hz(case, calibration.of), calibration.result_hz or 0
        off = (found - true) * _MILLION // true if true else None
        wrong = off is not None and abs(off) > BUS_TOLERANCE_PPM
        yield Finding(
            "TH106",
            f"statistical calibration of {calibration.of.upper()} failed",
            Severity.ERROR if wrong else Severity.WARNING,
            f"Within a second {calibration.of.upper()} and {calibration.against} never kept one "
            "ratio to 1 ppm: reads came late (a busy host), the guest was stopped, or one of the "
            "two runs unevenly. The kernel then took the plain quotient over that second"
            + (f", which is {off:+,} ppm off." if off is not None else "."),
            (Evidence(f"{calibration.method}: {calibration.detail}", calibration.evidence),),
            _steadier(case),
            calibration.duration_ns or None,
        )


def _steadier(case: Case) -> tuple[Fix, ...]:
    why = "guest time then comes from the instructions run: a busy host does not disturb it"
    advice = () if case.machine.deterministic else (Fix(FixKind.ADVICE, "--deterministic", why),)
    return (*case.arguments_for(Need.CALIBRATION_REFERENCE), *advice)


def bus_clock_inconsistent(case: Case) -> Iterable[Finding]:
    """TH107: the LAPIC timer's frequency is not the machine's bus clock.

    Where the survey measured by the host's clock TH102 says it, with bounds.
    """
    survey = case.survey
    true = _true_hz(case, "lapic")
    if survey is None or survey.ruler == "host" or not true:
        return
    for calibration in case.story.calibrations:
        found, dummies = calibration.result_hz, case.knowledge.names.dummies
        if calibration.of != "lapic" or not found or calibration.against in dummies:
            continue
        off = (found - true) * _MILLION // true
        if abs(off) <= BUS_TOLERANCE_PPM:
            continue
        yield Finding(
            "TH107",
            f"LAPIC frequency off by {off:+,} ppm",
            Severity.ERROR,
            f"{calibration.method} found a bus clock of {found:,} Hz against "
            f"{calibration.against}; the machine's LAPIC counts at {true:,} Hz. What it was "
            "measured against runs at another rate than the kernel believes, or the guest was "
            "stopped meanwhile. Timers fire early or late by that much.",
            (Evidence(f"{calibration.method}: {calibration.detail}", calibration.evidence),),
            case.arguments_for(Need.CALIBRATION_REFERENCE),
        )
