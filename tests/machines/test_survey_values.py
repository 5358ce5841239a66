"""What a survey says that a machine offers, and its way to JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clocks.cpuid.tables import HYPERV_AND_KVM, KVM_INVTSC, TCG_MAX, XEN, table
from timehands.clocks.cpuid.table import CpuidTable
from timehands.clocks.rate import Rate
from timehands.errors import SurveyFailed
from timehands.machines.survey_values import (
    CLOCKS,
    AcpiPm,
    Hpet,
    Lapic,
    Offer,
    Pit,
    Rtc,
    StartInfo,
    Survey,
)


def rate(hz: int) -> Rate:
    return Rate(hz, hz - 10, hz + 10, 44, 2 * 10**8)


def survey(cpuid: CpuidTable, **parts: Any) -> Survey:
    whole = Survey(
        cpuid=cpuid,
        msrs={0x10: 5, 0xE7: None},
        ruler="host",
        tsc=rate(2_500_000_000),
        pit=Pit(True, rate(1_193_182), True, False),
        rtc=Rtc(True, True, 1024, "2026-01-01T00:00:00+00:00", 0),
        lapic=Lapic(True, rate(10**9), 0xFEE00000, 0x50014),
        hpet=Hpet(False),
        acpi_pm=AcpiPm(False),
        pic=True,
        i8042=False,
        start_info=StartInfo(1, 0, 0, 0, "pace=host", ((0, 0x9FC00, 1),)),
        duration_ns=250_000_000,
    )
    return replace(whole, **parts)


def clocks(made: Survey) -> list[str]:
    return [offer.clock for offer in made.offers]


def test_a_tcg_machine_offers_no_frequency_though_it_answers_the_leaf() -> None:
    made = survey(table(TCG_MAX))
    assert clocks(made) == ["tsc", "i8254", "rtc", "lapic"]
    assert made.offer("tsc") == Offer("tsc", 2_500_000_000, "not invariant")
    assert made.offer("tsc_frequency") is None


def test_a_kvm_machine_with_invtsc_offers_pvclock_and_the_frequency() -> None:
    made = survey(table(KVM_INVTSC))
    assert made.offer("pvclock") == Offer("pvclock", 10**9, "stable")
    assert made.offer("tsc_frequency") == Offer("tsc_frequency", 2_596_132_000, "leaf 0x40000010")
    assert made.offer("tsc") == Offer("tsc", 2_500_000_000, "invariant")
    assert "pvclock" not in made.lacks


@pytest.mark.parametrize(("answers", "clock"), [(XEN, "xen"), (HYPERV_AND_KVM, "hyperv")])
def test_the_clocks_of_other_hypervisors_are_offered(answers: Any, clock: str) -> None:
    assert survey(table(answers)).offer(clock) is not None


def test_a_device_that_does_not_count_is_not_offered() -> None:
    made = survey(table(TCG_MAX), pit=Pit(False), rtc=Rtc(False), lapic=Lapic(False))
    assert clocks(made) == ["tsc"]


def test_an_rtc_that_stands_still_is_offered_as_such() -> None:
    made = survey(table(TCG_MAX), rtc=Rtc(True, False))
    assert made.offer("rtc") == Offer("rtc", 1, "does not tick")


def test_a_leaf_that_tells_another_rate_than_is_measured_is_found_out() -> None:
    assert survey(table(TCG_MAX)).tsc_told_truly is None
    assert survey(table(KVM_INVTSC)).tsc_told_truly is False
    assert survey(table(KVM_INVTSC), tsc=rate(2_596_132_005)).tsc_told_truly is True
    assert survey(table(KVM_INVTSC), tsc=None).tsc_told_truly is None


def test_what_is_offered_and_what_is_lacking_are_all_clocks() -> None:
    made = survey(table(TCG_MAX))
    assert sorted([*clocks(made), *made.lacks]) == sorted(CLOCKS)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"tsc": None, "start_info": None, "rtc": Rtc(False), "ruler": "pit"},
        {"hpet": Hpet(True, rate(10**8), 10_000_000), "acpi_pm": AcpiPm(True, None, 0x608)},
    ],
)
def test_a_survey_goes_to_json_and_back(parts: dict[str, Any]) -> None:
    made = survey(table(TCG_MAX), **parts)
    assert Survey.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    "change",
    [
        {"cpuid": "nonsense"},
        {"cpuid": None},
        {"tsc": {"hz": "fast"}},
        {"pit": {}},
        {"pit": None},
        {"rtc": {"present": True, "time": "yesterday"}},
        {"msrs": []},
        {"msrs": {"x": 1}},
        {"start_info": {"version": 1}},
        {"start_info": {"memory": [[1]]}},
        {"duration_ns": "long"},
    ],
)
def test_what_is_no_survey_is_refused(change: dict[str, Any]) -> None:
    data = {**survey(table(TCG_MAX)).to_json(), **change}
    with pytest.raises(SurveyFailed, match="no survey"):
        Survey.from_json(data)


@pytest.mark.parametrize("name", survey(table(TCG_MAX)).to_json())
def test_a_survey_with_a_part_missing_is_refused_or_does_not_need_it(name: str) -> None:
    data = survey(table(TCG_MAX)).to_json()
    del data[name]
    if name in ("facts", "offers", "lacks"):
        assert Survey.from_json(data) == survey(table(TCG_MAX))
    else:
        with pytest.raises(SurveyFailed):
            Survey.from_json(data)
