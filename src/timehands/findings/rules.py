"""All rules, and the judging of a case by them. A new rule is one function and one line here."""

from __future__ import annotations

from timehands.findings.boottime import calibration_time
from timehands.findings.case import Case, Rule
from timehands.findings.devices import absent_devices, absent_gate
from timehands.findings.frequency import (
    calibration_unreliable,
    frequency_leaf_not_believable,
    tsc_frequency_unknown,
)
from timehands.findings.model import Finding, Severity
from timehands.findings.running import rate_wrong, waits_for_ever, wall_clock_wrong
from timehands.findings.selection import (
    lapic_timer_not_used,
    pvclock_not_offered,
    pvclock_not_used,
    slow_fallback,
)

__all__ = ["RULES", "Case", "find"]

RULES: tuple[Rule, ...] = (
    waits_for_ever,
    tsc_frequency_unknown,
    slow_fallback,
    calibration_unreliable,
    absent_devices,
    absent_gate,
    rate_wrong,
    wall_clock_wrong,
    pvclock_not_used,
    calibration_time,
    lapic_timer_not_used,
    pvclock_not_offered,
    frequency_leaf_not_believable,
)
_ORDER = list(Severity)


def find(case: Case) -> tuple[Finding, ...]:
    """What is wrong in a case: errors first, then warnings, then notes."""
    found = [finding for rule in RULES for finding in rule(case)]
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))
