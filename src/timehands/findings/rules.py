"""All rules, and the judging of a case by them. A new rule is one function and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from timehands.findings.assumed import ramdisk_not_taken, xen_delay_off_xen
from timehands.findings.boottime import calibration_time, leaf_would_spare_it
from timehands.findings.case import Case, Rule
from timehands.findings.devices import absent_devices, absent_gate
from timehands.findings.frequency import (
    calibration_unreliable,
    frequency_believed_is_wrong,
    frequency_leaf_not_believable,
    tsc_frequency_unknown,
)
from timehands.findings.model import Finding, Severity
from timehands.findings.reference import (
    bus_clock_inconsistent,
    calibrated_against_nothing,
    calibration_switched_off,
    statistics_failed,
)
from timehands.findings.running import goes_backwards, rate_wrong, waits_for_ever, wall_clock_wrong
from timehands.findings.selection import (
    lapic_timer_not_used,
    pvclock_never_reached,
    pvclock_not_offered,
    pvclock_not_used,
    slow_fallback,
)

__all__ = ["RULES", "Case", "find"]

RULES: tuple[Rule, ...] = (
    ramdisk_not_taken,
    waits_for_ever,
    xen_delay_off_xen,
    calibration_switched_off,
    tsc_frequency_unknown,
    calibrated_against_nothing,
    slow_fallback,
    calibration_unreliable,
    frequency_believed_is_wrong,
    bus_clock_inconsistent,
    statistics_failed,
    goes_backwards,
    absent_devices,
    absent_gate,
    rate_wrong,
    wall_clock_wrong,
    pvclock_not_used,
    calibration_time,
    leaf_would_spare_it,
    lapic_timer_not_used,
    pvclock_never_reached,
    pvclock_not_offered,
    frequency_leaf_not_believable,
)
_ORDER = list(Severity)


def find(case: Case) -> tuple[Finding, ...]:
    """What is wrong in a case: errors first, then warnings, then notes."""
    return worst_first(finding for rule in RULES for finding in rule(case))


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))
