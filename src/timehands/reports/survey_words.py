"""What a survey says a machine offers and lacks, in two phrases."""

from __future__ import annotations

from timehands.clocks.rate import Rate
from timehands.machines.survey_values import Offer, Survey
from timehands.reports.plain import harmless
from timehands.reports.units import hz, measured_hz

NAMES = {
    "tsc": "TSC",
    "tsc_frequency": "TSC frequency",
    "tsc_deadline": "TSC-deadline",
    "pvclock": "pvclock",
    "xen": "Xen time",
    "hyperv": "Hyper-V time",
    "i8254": "i8254",
    "rtc": "RTC",
    "lapic": "LAPIC",
    "hpet": "HPET",
    "acpi_pm": "ACPI PM timer",
}
#: Clocks whose rate is a matter of course: their unit is fixed.
_RATE_IS_FIXED = frozenset({"pvclock", "xen", "hyperv", "rtc", "tsc_deadline"})
#: What only one hypervisor offers is no lack on another.
_FOREIGN = frozenset({"xen", "hyperv"})


def offers_words(survey: Survey) -> str:
    """``offers TSC 2.500 GHz (not invariant), i8254 1.193182 MHz, RTC``."""
    offers = [_offer(survey, offer) for offer in survey.offers]
    return "offers " + (", ".join(offers) if offers else "no clock that the survey knows")


def lacks_words(survey: Survey) -> str:
    """``does not offer pvclock, HPET``; empty when nothing lacks."""
    lacks = [NAMES.get(clock, clock) for clock in survey.lacks if clock not in _FOREIGN]
    return f"does not offer {', '.join(lacks)}" if lacks else ""


def rate_words(survey: Survey, offer: Offer) -> str:
    """The rate of an offer: ``2.5963 GHz`` where it was measured, with the digits that are sure."""
    if offer.hz is None:
        return ""
    measured = _rates(survey).get(offer.clock)
    if measured is None or measured.hz != offer.hz:
        return hz(offer.hz)
    return measured_hz(measured.hz, measured.low_hz, measured.high_hz)


def _rates(survey: Survey) -> dict[str, Rate | None]:
    devices = {"i8254": survey.pit, "lapic": survey.lapic, "hpet": survey.hpet}
    rates = {name: device.rate for name, device in devices.items()}
    return {**rates, "tsc": survey.tsc, "acpi_pm": survey.acpi_pm.rate}


def _offer(survey: Survey, offer: Offer) -> str:
    words = [NAMES.get(offer.clock, harmless(offer.clock, 40))]
    if offer.hz is not None and offer.clock not in _RATE_IS_FIXED:
        words.append(rate_words(survey, offer))
    if offer.detail:
        words.append(f"({harmless(offer.detail, 60)})")
    return " ".join(words)
