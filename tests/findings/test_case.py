from __future__ import annotations

from pathlib import Path

import pytest

from findings.cases import TSC_HZ, case, on, survey, values
from recordings import UNKNOWN, healthy_boot
from timehands.findings.model import FixKind
from timehands.guests.base import Need
from timehands.machines.machine import Machine


def test_an_unsurveyed_machine_neither_offers_nor_lacks(tmp_path: Path) -> None:
    judged = case(healthy_boot(), tmp_path)
    assert not judged.offers("tsc") and not judged.lacks("tsc")
    assert judged.tsc_hz is None


def test_a_surveyed_machine_offers_or_lacks(tmp_path: Path) -> None:
    judged = case(healthy_boot(), tmp_path, survey(pit=False))
    assert judged.offers("tsc") and not judged.lacks("tsc")
    assert judged.lacks("i8254") and not judged.offers("i8254")


def test_the_true_frequency_is_that_of_a_leaf_before_that_measured(tmp_path: Path) -> None:
    measured = case(healthy_boot(), tmp_path / "measured", survey())
    leaf = survey(hypervisor_max=0x40000010, timing_leaf=(2_500_001, 10**6))
    told = case(healthy_boot(), tmp_path / "told", leaf)
    assert measured.tsc_hz == TSC_HZ
    assert told.tsc_hz == 2_500_001_000


def test_fixes_are_in_the_words_of_the_kernels_system(tmp_path: Path) -> None:
    tape = healthy_boot()
    linux = case(tape, tmp_path / "linux", survey())
    assert values(linux.arguments_for(Need.TSC_FREQUENCY, 2_500_000_499)) == [
        "tsc_early_khz=2500000"
    ]
    assert linux.arguments_for(Need.TSC_FREQUENCY, None) == ()
    tape.kernel = UNKNOWN
    unknown = case(tape, tmp_path / "unknown", survey())
    assert unknown.arguments_for(Need.TSC_FREQUENCY, TSC_HZ) == ()


def test_an_argument_of_the_same_name_is_not_proposed(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.arguments = ("nolapic_timer", "initcall_blacklist=x")
    judged = case(tape, tmp_path, survey())
    assert judged.arguments_for(Need.NO_TIMER_CALIBRATION) == ()
    assert judged.arguments_for(Need.NO_I8042) == ()
    assert values(judged.arguments_for(Need.TRUST_TSC)) == ["tsc=reliable"]


MONITOR = Machine("kvm", "monitor", "host")


@pytest.mark.parametrize(
    ("machine", "kind", "value"),
    [
        (MONITOR, FixKind.CLOCK, "tsc-leaf=0x40000010"),
        (Machine("kvm", cpu="host"), FixKind.CPU_FLAG, "+invtsc"),
    ],
)
def test_each_vmm_publishes_the_frequency_in_its_own_way(
    tmp_path: Path, machine: Machine, kind: FixKind, value: str
) -> None:
    tape = healthy_boot()
    tape.machine = machine
    (fix,) = case(tape, tmp_path / "lacks", survey()).leaf_fixes
    assert (fix.kind, fix.value) == (kind, value)
    assert value in (*fix.applied_to(machine).clocks, *fix.applied_to(machine).cpu_flags)
    leaf = survey(hypervisor_max=0x40000010, timing_leaf=(2_500_000, 10**6))
    assert case(tape, tmp_path / "has", leaf).leaf_fixes == ()


def test_an_emulator_has_no_frequency_to_publish(tmp_path: Path) -> None:
    assert case(on(healthy_boot()), tmp_path, survey()).leaf_fixes == ()


def test_acpi_of_the_monitor_keeps_the_pic(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.machine = MONITOR
    (fix,) = case(tape, tmp_path, survey()).acpi_fixes
    assert fix.value == "acpi=on"
    assert fix.applied_to(MONITOR).has("acpi")
    assert fix.applied_to(MONITOR).has("pic")
