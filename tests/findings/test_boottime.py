from __future__ import annotations

from pathlib import Path

from findings.cases import case, on, only, survey, values
from recordings import MS, Tape, healthy_boot, jiffies_boot
from timehands.findings.boottime import calibration_time
from timehands.findings.model import Severity


def test_the_time_of_all_calibrations_is_added_up(tmp_path: Path) -> None:
    finding = only(list(calibration_time(case(jiffies_boot(), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH401", Severity.NOTE)
    assert finding.cost_ns == round((4 + 0.1 + 1 + 60) * MS)
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]
    assert finding.evidence[0].text.startswith("calibrate_delay")


def test_calibrations_that_cost_little_are_not_worth_telling(tmp_path: Path) -> None:
    assert not list(calibration_time(case(healthy_boot(), tmp_path, survey())))


def test_a_tenth_of_a_second_is_a_warning(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.call("calibrate_delay", ms=300, until_ms=340, reads={"loops_per_jiffy": 1})
    finding = only(list(calibration_time(case(tape, tmp_path, survey()))))
    assert finding.severity is Severity.WARNING


def test_a_calibration_within_another_counts_once(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.enter("setup_boot_APIC_clock", ms=200)
    tape.call("calibrate_delay", ms=210, until_ms=250, reads={"loops_per_jiffy": 1})
    tape.leave("setup_boot_APIC_clock", ms=300, reads={"lapic_timer_period": 4_000_000})
    finding = only(list(calibration_time(case(tape, tmp_path, survey()))))
    assert finding.cost_ns == round((4.9 + 100) * MS)


def test_the_lapics_calibration_can_be_spared(tmp_path: Path) -> None:
    tape = healthy_boot()
    reads: dict[str, int | str | bytes] = {"lapic_timer_period": 4_000_000}
    tape.call("setup_boot_APIC_clock", ms=200, until_ms=400, reads=reads)
    with_pit = only(list(calibration_time(case(tape, tmp_path / "pit", survey()))))
    without = only(list(calibration_time(case(tape, tmp_path / "none", survey(pit=False)))))
    on(tape, accelerator="kvm")
    on_kvm = only(list(calibration_time(case(tape, tmp_path / "kvm", survey()))))
    assert "nolapic_timer" in values(with_pit.fixes)
    assert "nolapic_timer" not in values(without.fixes)
    assert "+tsc-deadline" in values(on_kvm.fixes)


def test_a_calibration_that_never_ended_is_a_hang_and_no_loss_of_time(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    tape.enter("calibrate_delay", ms=50)
    tape.ends("hung", ms=3050)
    assert not list(calibration_time(case(tape, tmp_path, survey())))


def test_host_time_makes_no_finding_on_a_deterministic_machine(tmp_path: Path) -> None:
    tape = on(jiffies_boot(), deterministic=True)
    assert not list(calibration_time(case(tape, tmp_path, survey())))
