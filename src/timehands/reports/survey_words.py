"""What a survey says a machine offers and lacks, in two phrases."""

from __future__ import annotations

from timehands.machines.survey_values import Offer, Survey
from timehands.reports.plain import harmless
from timehands.reports.units import hz

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
    offers = [_offer(offer) for offer in survey.offers]
    return "offers " + (", ".join(offers) if offers else "no clock that the survey knows")


def lacks_words(survey: Survey) -> str:
    """``does not offer pvclock, HPET``; empty when nothing lacks."""
    lacks = [NAMES.get(clock, clock) for clock in survey.lacks if clock not in _FOREIGN]
    return f"does not offer {', '.join(lacks)}" if lacks else ""


def _offer(offer: Offer) -> str:
    words = [NAMES.get(offer.clock, harmless(offer.clock, 40))]
    if offer.hz is not None and offer.clock not in _RATE_IS_FIXED:
        words.append(hz(offer.hz))
    if offer.detail:
        words.append(f"({harmless(offer.detail, 60)})")
    return " ".join(words)
