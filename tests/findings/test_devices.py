from __future__ import annotations

from pathlib import Path

import pytest

from findings.cases import case, on, only, survey, values
from recordings import MS, PC, Tape, healthy_boot, jiffies_boot
from timehands.findings.devices import absent_devices, absent_gate
from timehands.findings.model import Severity
from timehands.machines.machine import MachineType


def _hang() -> Tape:
    tape = Tape()
    tape.begins()
    tape.enter("native_calibrate_cpu_early", ms=30)
    for at in range(8):
        tape.port_in(0x42, 0xFF, ms=31 + at / 10, passed=100)
    tape.leave("native_calibrate_cpu_early", ms=34)
    tape.enter("calibrate_delay", ms=50)
    tape.ends("hung", ms=3050)
    return on(tape, devices=(("pit", False),))


def test_a_boot_that_hangs_without_its_pit_is_an_error(tmp_path: Path) -> None:
    finding = only(list(absent_devices(case(_hang(), tmp_path, survey(pit=False)))))
    assert (finding.code, finding.severity) == ("TH301", Severity.ERROR)
    assert "808 times" in finding.cause
    assert values(finding.fixes) == ["pit=on"]
    assert finding.cost_ns == 4 * MS
    assert len(finding.evidence[0].references) == 6


def test_a_pit_that_is_there_is_not_missed(tmp_path: Path) -> None:
    assert not list(absent_devices(case(_hang(), tmp_path, survey())))


def test_a_machine_that_was_not_surveyed_lacks_nothing_for_sure(tmp_path: Path) -> None:
    assert not list(absent_devices(case(_hang(), tmp_path)))


def test_an_absent_pit_that_cost_nothing_is_no_trouble(tmp_path: Path) -> None:
    tape = healthy_boot()
    quick = case(tape, tmp_path / "quick", survey(pit=False))
    assert not list(absent_devices(quick))  # 4.9 ms


def _rtc(until_ms: float) -> Tape:
    tape = healthy_boot()
    tape.symbols[PC + 64] = "cmos_init"
    tape.enter("do_one_initcall", PC + 64, ms=300)
    tape.port_in(0x71, 0xFF, ms=301)
    tape.leave("do_one_initcall", ms=until_ms)
    return on(tape, devices=(("rtc", False),))


def test_an_absent_rtc_leaves_init_without_a_date_and_may_cost_time(tmp_path: Path) -> None:
    finding = only(list(absent_devices(case(_rtc(700), tmp_path, survey(rtc=False)))))
    assert (finding.code, finding.severity) == ("TH302", Severity.WARNING)
    assert finding.cost_ns == 400 * MS
    assert "initcall cmos_init" in finding.cause
    assert values(finding.fixes) == ["rtc=on"]


def test_an_rtc_that_nobody_asked_for_is_not_missed(tmp_path: Path) -> None:
    assert not list(absent_devices(case(healthy_boot(), tmp_path, survey(rtc=False))))


def _i8042(until_ms: float) -> Tape:
    tape = healthy_boot()
    tape.symbols[PC + 128] = "i8042_init"
    tape.enter("do_one_initcall", PC + 128, ms=300)
    tape.port_in(0x64, 0xFF, ms=301, passed=32)
    tape.leave("do_one_initcall", ms=until_ms)
    return tape


def test_an_absent_i8042_is_told_by_what_the_wait_cost(tmp_path: Path) -> None:
    finding = only(list(absent_devices(case(_i8042(313), tmp_path / "slow", survey(i8042=False)))))
    assert finding.code == "TH304"
    assert finding.cost_ns == 13 * MS
    assert "33 times" in finding.cause
    assert values(finding.fixes) == ["initcall_blacklist=i8042_init"]
    quick = case(_i8042(302), tmp_path / "quick", survey(i8042=False))
    there = case(_i8042(313), tmp_path / "there", survey())
    assert not [f for c in (quick, there) for f in absent_devices(c)]


def test_host_time_makes_no_finding_on_a_deterministic_machine(tmp_path: Path) -> None:
    tape = on(_i8042(400), deterministic=True)
    assert not list(absent_devices(case(tape, tmp_path, survey(i8042=False))))


@pytest.mark.parametrize(("machine", "fixes"), [("q35", ["hpet=on"]), ("microvm", [])])
def test_a_device_is_given_back_only_where_the_machine_can_have_it(
    tmp_path: Path, machine: MachineType, fixes: list[str]
) -> None:
    from timehands.watch.records import Kind

    tape = healthy_boot()
    tape.enter("hpet_enable", ms=300)
    tape.event(Kind.MMIO_READ, 0xFED00000, 0xFFFFFFFF, 4, ms=301)
    tape.leave("hpet_enable", ms=310)
    on(tape, type=machine)
    finding = only(list(absent_devices(case(tape, tmp_path, survey(hpet=False)))))
    assert finding.code == "TH303"
    assert values(finding.fixes) == fixes


def test_an_absent_gate_that_made_calibration_fail_is_a_warning(tmp_path: Path) -> None:
    finding = only(list(absent_gate(case(jiffies_boot(), tmp_path, survey(gate=False)))))
    assert (finding.code, finding.severity) == ("TH305", Severity.WARNING)
    assert "tsc_early_khz=2500000" in values(finding.fixes)


def test_an_absent_gate_that_harmed_nobody_is_a_note(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.port_in(0x61, 0xFF, ms=37)
    finding = only(list(absent_gate(case(tape, tmp_path, survey(gate=False)))))
    assert finding.severity is Severity.NOTE


def test_a_gate_that_is_there_unused_or_unknown_is_not_missed(tmp_path: Path) -> None:
    there = case(jiffies_boot(), tmp_path / "there", survey())
    unused = case(healthy_boot(), tmp_path / "unused", survey(gate=False))
    unknown = case(jiffies_boot(), tmp_path / "unknown")
    without_pit = case(jiffies_boot(), tmp_path / "no-pit", survey(pit=False, gate=False))
    cases = (there, unused, unknown, without_pit)
    assert not [f for c in cases for f in absent_gate(c)]
