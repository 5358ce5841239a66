"""The words of a proof: short names for long fixes, and how near to the truth each boot came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from timehands.findings.model import Fix, Trial
from timehands.reports.model import Report
from timehands.reports.plain import harmless
from timehands.reports.units import hz, ppm, seconds
from timehands.reports.words import fix_values

#: A fix that is longer gets a letter in the table.
_LONGEST_NAME = 30

Letters = Mapping[tuple[str, str], str]


def letters_of(trials: Sequence[Trial]) -> Letters:
    """A letter for each fix, in the order of their trials; none when all are short.

    The key is the fix's kind and value.
    """
    keys = dict.fromkeys((fix.kind.value, fix.value) for trial in trials for fix in trial.fixes)
    if all(len(value) <= _LONGEST_NAME for _, value in keys) or len(keys) > len(ascii_uppercase):
        return {}
    return dict(zip(keys, ascii_uppercase, strict=False))


def legend(letters: Letters) -> list[tuple[str, str]]:
    """What each letter stands for: ``("A", "kernel patch xen_pvh_init_ops+16=&i8254_delay")``."""
    return [(letter, f"{kind} {harmless(value, 400)}") for (kind, value), letter in letters.items()]


def name(fixes: Sequence[Fix], letters: Letters) -> str:
    """The fixes of a trial: ``A + C``, or their values where these are short."""
    if not letters:
        return fix_values(fixes)
    return " + ".join(letters[fix.kind.value, fix.value] for fix in fixes)


def error_ppm(report: Report, clock: str, measured_hz: int | None) -> int | None:
    """By how many ppm a frequency misses the machine's true one, as the survey measured it.

    None when either is not known. ``clock`` is ``tsc`` or ``lapic``.
    """
    offer = report.survey.offer(clock) if report.survey else None
    if measured_hz is None or offer is None or not offer.hz:
        return None
    return (2_000_000 * (measured_hz - offer.hz) + offer.hz) // (2 * offer.hz)


def error_words(report: Report, clock: str, measured_hz: int | None) -> str:
    """``+2 ppm``, or the frequency itself when the true one is not known; ``-`` for none."""
    error = error_ppm(report, clock, measured_hz)
    if error is not None:
        return ppm(error)
    return "-" if measured_hz is None else hz(measured_hz)


def measures(trials: Sequence[Trial]) -> bool:
    """Whether some trial found a frequency by measuring it, so that it can be held to the truth."""
    return any(trial.measured_hz or trial.lapic_hz for trial in trials)


def best_sentence(report: Report) -> str:
    """How far the best trial came, and how true its clocks are; empty when none was better."""
    best = report.proof.best if report.proof else None
    if best is None or report.proof is None:
        return ""
    with_what = name(best.fixes, letters_of(report.proof.trials))
    after = f" after {seconds(best.boot_ns)}" if best.boot_ns is not None else ""
    how = f" ({harmless(best.reached, 60)})" if best.reached else ""
    parts = [f"With {with_what}: {best.outcome}{how}{after}"]
    for clock, told, measured in (
        ("tsc", "TSC", best.measured_hz),
        ("lapic", "LAPIC", best.lapic_hz),
    ):
        if measured is not None:
            off = error_ppm(report, clock, measured)
            by = f" ({ppm(off)} against the survey)" if off is not None else ""
            parts.append(f"{told} measured as {hz(measured)}{by}")
    return "; ".join(parts)
