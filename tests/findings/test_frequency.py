from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bsd_recordings import BsdTape
from findings.cases import case, on, only, survey, values
from recordings import Tape, healthy_boot, jiffies_boot
from timehands.findings.frequency import (
    calibration_unreliable,
    calibration_varies,
    frequency_believed_is_wrong,
    frequency_leaf_not_believable,
    measured_hz,
    tsc_frequency_unknown,
)
from timehands.findings.model import Severity, Trial, Verdict
from timehands.story.model import Calibration, Fact


def test_a_frequency_that_no_way_gave_is_an_error(tmp_path: Path) -> None:
    finding = only(list(tsc_frequency_unknown(case(jiffies_boot(), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH101", Severity.ERROR)
    assert "native_calibrate_cpu_early against i8254" in finding.cause
    assert len(finding.evidence) == 3
    assert finding.cost_ns == 5_100_000
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]


def test_a_frequency_that_one_way_gave_is_known(tmp_path: Path) -> None:
    assert not list(tsc_frequency_unknown(case(healthy_boot(), tmp_path, survey())))


def test_a_frequency_that_was_told_is_known_though_measuring_failed(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.clocksource("tsc-early", ms=130, rating=299, khz=2_500_000)
    assert not list(tsc_frequency_unknown(case(tape, tmp_path, survey())))


def test_a_kernel_that_never_tried_is_not_said_to_have_failed(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    tape.ends("guest-reset", ms=10)
    assert not list(tsc_frequency_unknown(case(tape, tmp_path, survey())))


def test_without_a_survey_no_frequency_is_told(tmp_path: Path) -> None:
    finding = only(list(tsc_frequency_unknown(case(jiffies_boot(), tmp_path))))
    assert finding.fixes == ()


def test_an_argument_that_was_given_is_not_proposed_again(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.arguments = ("tsc_early_khz=1",)
    finding = only(list(tsc_frequency_unknown(case(tape, tmp_path, survey()))))
    assert finding.fixes == ()


def test_an_absent_pit_is_to_be_given_back(tmp_path: Path) -> None:
    tape = on(jiffies_boot(), devices=(("pit", False),))
    finding = only(list(tsc_frequency_unknown(case(tape, tmp_path, survey(pit=False)))))
    assert values(finding.fixes) == ["tsc_early_khz=2500000", "pit=on"]


def test_kvm_can_publish_the_frequency(tmp_path: Path) -> None:
    tape = on(jiffies_boot(), accelerator="kvm")
    finding = only(list(tsc_frequency_unknown(case(tape, tmp_path, survey()))))
    assert "+invtsc" in values(finding.fixes)


@pytest.mark.parametrize(
    ("khz", "severity", "ppm"),
    [
        (2_502_000, Severity.WARNING, "+779"),
        (2_498_000, Severity.WARNING, "-781"),
        (2_600_000, Severity.ERROR, "+39,979"),
    ],
)
def test_a_calibration_outside_the_surveys_bounds_is_unreliable(
    tmp_path: Path, khz: int, severity: Severity, ppm: str
) -> None:
    tape = healthy_boot(khz=khz)
    finding = only(list(calibration_unreliable(case(tape, tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH102", severity)
    assert ppm in finding.title
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]


@pytest.mark.parametrize("khz", [2_500_000, 2_501_000, 2_499_000])
def test_a_calibration_near_the_surveys_bounds_is_reliable(tmp_path: Path, khz: int) -> None:
    assert not list(calibration_unreliable(case(healthy_boot(khz=khz), tmp_path, survey())))


def test_without_a_survey_nothing_can_be_unreliable(tmp_path: Path) -> None:
    assert not list(calibration_unreliable(case(healthy_boot(khz=9), tmp_path)))


def test_a_measure_that_the_kernel_did_not_use_is_not_held_against_it(tmp_path: Path) -> None:
    tape = healthy_boot(khz=2_500_000)
    tape.arguments = ("tsc_early_khz=2500000",)
    tape.enter("native_calibrate_cpu_early", ms=80)
    tape.port_in(0x42, 3, ms=80.1)
    tape.leave("native_calibrate_cpu_early", 2_700_000, ms=80.2)
    assert not list(calibration_unreliable(case(tape, tmp_path, survey())))


def test_a_lapic_of_the_wrong_rate_is_unreliable_too(tmp_path: Path) -> None:
    for folder, period, codes in (("off", 4_040_000, ["TH102"]), ("on", 4_000_000, [])):
        tape = healthy_boot()
        tape.call(
            "setup_boot_APIC_clock", ms=200, until_ms=400, reads={"lapic_timer_period": period}
        )
        found = calibration_unreliable(case(tape, tmp_path / folder, survey()))
        assert [f.code for f in found] == codes


def _asks(tape: Tape) -> Tape:
    tape.cpuid(0x40000010, 543, 576, ms=30)
    return tape


def test_a_timing_leaf_above_its_range_is_not_to_be_believed(tmp_path: Path) -> None:
    surveyed = survey(timing_leaf=(0x21F, 0x240))
    asked = case(_asks(healthy_boot()), tmp_path / "asked", surveyed)
    finding = only(list(frequency_leaf_not_believable(asked)))
    assert (finding.code, finding.severity) == ("TH103", Severity.WARNING)
    assert "543 kHz" in finding.cause and "this one asked for it" in finding.cause
    silent = case(healthy_boot(), tmp_path / "silent", surveyed)
    assert not list(frequency_leaf_not_believable(silent))


def test_a_timing_leaf_within_its_range_is_believed(tmp_path: Path) -> None:
    surveyed = survey(hypervisor_max=0x40000010, timing_leaf=(2_500_000, 1_000_000))
    assert not list(frequency_leaf_not_believable(case(_asks(healthy_boot()), tmp_path, surveyed)))


def test_a_leaf_that_answers_nothing_misleads_nobody(tmp_path: Path) -> None:
    for folder, surveyed in (("zero", survey(timing_leaf=(0, 0))), ("none", survey())):
        tape = _asks(healthy_boot())
        assert not list(frequency_leaf_not_believable(case(tape, tmp_path / folder, surveyed)))
    assert not list(frequency_leaf_not_believable(case(_asks(healthy_boot()), tmp_path / "x")))


def test_a_lapic_that_is_not_the_tick_harms_nobody(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.call(
        "setup_boot_APIC_clock", ms=200, until_ms=400, reads={"lapic_timer_period": 9_000_000}
    )
    assert not list(calibration_unreliable(case(tape, tmp_path, survey())))


def trial(measured_hz: int | None) -> Trial:
    return Trial(
        (), Verdict.UNCHANGED, "init reached", "tsc", None, None, None, measured_hz=measured_hz
    )


def test_boots_that_measure_one_tsc_differently_are_found(tmp_path: Path) -> None:
    measured = case(healthy_boot(), tmp_path, survey())
    hz = measured_hz(measured.story)
    assert hz is not None
    finding = only(list(calibration_varies(measured, [trial(hz * 1001 // 1000)])))
    assert (finding.code, finding.severity) == ("TH102", Severity.WARNING)
    assert "1,000 ppm" in finding.title
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]


@pytest.mark.parametrize("others", [(), (None, None), (2_500_100_000,)])
def test_boots_that_agree_or_measured_nothing_are_not(
    tmp_path: Path, others: tuple[int | None, ...]
) -> None:
    measured = case(healthy_boot(), tmp_path, survey())
    assert not list(calibration_varies(measured, [trial(hz) for hz in others]))


@pytest.mark.parametrize(
    ("hz", "severity"),
    [
        (33_757_873_590, Severity.ERROR),
        (2_502_000_000, Severity.WARNING),
        (2_500_000_000, None),
        (0, None),
    ],
)
def test_what_an_unwatched_kernel_believes_is_held_against_the_survey(
    tmp_path: Path, hz: int, severity: Severity | None
) -> None:
    judged = case(BsdTape(), tmp_path, survey())
    facts = (Fact("hz", 100), Fact("tsc_freq", hz))
    judged = replace(judged, story=replace(judged.story, facts=facts))
    found = list(frequency_believed_is_wrong(judged))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.code == "TH102"
        assert f"tsc_freq was {hz:,}" in finding.cause
    measured = Calibration("tsc", "i8254", "delay", 0, 1, hz)
    watched = replace(judged.story, calibrations=(measured,) if hz else ())
    assert not list(frequency_believed_is_wrong(replace(judged, story=watched)))
    assert not list(frequency_believed_is_wrong(replace(judged, survey=None)))
