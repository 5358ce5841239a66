"""What a kernel believes of its TSC's and its LAPIC timer's frequency, against the true ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from timehands.guests.registry import knowledge_named
from timehands.reports.compare_values import Cell, cell, hertz, parts_per_million
from timehands.reports.done_words import trust
from timehands.reports.model import Report
from timehands.reports.plain import harmless
from timehands.reports.units import hz, ppm
from timehands.story.model import Calibration, References

_LAPIC = "lapic"
#: A LAPIC timer counts each n-th cycle of its bus.
_DIVISORS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Frequency:
    """What a kernel believes, how far that is from the truth, and how it came to it."""

    rate: Cell | None
    truth: Cell | None
    how: Cell | None


def tsc(report: Report) -> Frequency:
    """The TSC's frequency."""
    believed, seen = _tsc_hz(report)
    survey = report.survey
    offers = [survey.offer(name) for name in ("tsc_frequency", "tsc")] if survey else []
    true_hz = next((offer.hz for offer in offers if offer and offer.hz), None)
    return _frequency(report, "tsc", believed, seen, true_hz)


def lapic(report: Report) -> Frequency:
    """The LAPIC timer's frequency. A kernel may count each n-th cycle: the nearest n is taken."""
    believed, seen = _measured(report, _LAPIC)
    offer = report.survey.offer(_LAPIC) if report.survey else None
    true_hz = offer.hz if offer else None
    if believed and true_hz:
        divided = (true_hz // divisor for divisor in _DIVISORS)
        true_hz = min(divided, key=lambda each: abs(believed - each))
    return _frequency(report, _LAPIC, believed, seen, true_hz)


def _frequency(
    report: Report, of: str, believed: int | None, seen: References, true_hz: int | None
) -> Frequency:
    tries = [one for one in report.story.calibrations if one.of.lower() == of]
    rate = hertz(believed, seen) if believed else cell("unknown") if tries else None
    truth = None
    if believed and true_hz:
        off = parts_per_million(believed, true_hz)
        truth = Cell(f"{ppm(off)} of {hz(true_hz)}", off, "ppm")
    return Frequency(rate, truth, _how(report, tries))


def _tsc_hz(report: Report) -> tuple[int | None, References]:
    """The kernel's own variable at the end; else what it measured last; else the clock's rate."""
    facts = {fact.name: fact.value for fact in report.story.facts}
    names = knowledge_named(report.kernel.os).names
    for name, scale in names.tsc_facts.items():
        value = facts.get(name)
        if isinstance(value, int) and value > 0:
            return value * scale, ()
    found, seen = _measured(report, "tsc")
    if found:
        return found, seen
    clocks = (c for c in report.story.clocks if c.name in names.tsc and c.frequency_hz)
    clock = next(clocks, None)
    return (clock.frequency_hz, clock.evidence) if clock else (None, ())


def _measured(report: Report, of: str) -> tuple[int | None, References]:
    tries = (c for c in reversed(report.story.calibrations) if c.of.lower() == of and c.result_hz)
    last = next(tries, None)
    return (last.result_hz, last.evidence) if last else (None, ())


def _how(report: Report, tries: Iterable[Calibration]) -> Cell | None:
    """Each attempt, in their order: ``tsc_freq_tc against i8254 (101 ms), then clockcalib ...``."""
    tries = list(tries)
    said = [_attempt(report, one) for one in tries[:6]]
    more = [f"{len(tries) - 6} more"] if len(tries) > 6 else []
    seen = tuple(reference for one in tries for reference in one.evidence)
    return cell(", then ".join((*said, *more)), seen)


def _attempt(report: Report, one: Calibration) -> str:
    result = "failed" if one.result_hz is None else hz(one.result_hz)
    text = f"{harmless(one.method, 60)} against {harmless(one.against, 40)}: {result}"
    doubt = trust(one, report.machine)
    return f"{text} ({doubt})" if doubt else text
