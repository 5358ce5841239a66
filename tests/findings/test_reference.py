"""TH104 to TH107, TH306, TH307, TH205, TH402 and TH503, by FreeBSD boots made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from findings.cases import case, on, only, survey, values
from freebsd_recordings import (
    I8254_DELAY,
    TSC_HZ,
    FreeBsdTape,
    dummy_boot,
    healthy_freebsd,
    microvm,
    watched,
)
from recordings import healthy_boot, jiffies_boot
from timehands.findings.assumed import ramdisk_not_taken, xen_delay_off_xen
from timehands.findings.boottime import leaf_would_spare_it
from timehands.findings.case import Case
from timehands.findings.frequency import (
    calibration_unreliable,
    calibration_varies,
    frequency_leaf_not_believable,
    tsc_frequency_unknown,
)
from timehands.findings.model import FixKind, Severity, Trial, Verdict
from timehands.findings.reference import (
    bus_clock_inconsistent,
    calibrated_against_nothing,
    calibration_switched_off,
    statistics_failed,
)
from timehands.findings.rules import find
from timehands.findings.running import goes_backwards
from timehands.findings.selection import pvclock_never_reached, pvclock_not_offered, slow_fallback
from timehands.guests.freebsd import ATTIMER_HINTS, EARLY_DELAY_PATCH

CALIBRATE = "machdep.disable_tsc_calibration=0"
PATCHED = ("xen_pvh_init_ops+8 = &i8254_init (was &xen_clock_init)",
           "xen_pvh_init_ops+16 = &i8254_delay (was &xen_delay)")  # fmt: skip


def _failed(tape: FreeBsdTape) -> FreeBsdTape:
    tape.fault("pvclock_get_timecount", "xen_delay", "ns8250_bus_attach", ms=50)
    return tape


def test_calibration_that_is_switched_off_is_the_reason_and_not_a_second_one(
    tmp_path: Path,
) -> None:
    found = case(_failed(microvm()), tmp_path, survey())
    finding = only(list(calibration_switched_off(found)))
    assert finding.severity is Severity.ERROR
    assert values(finding.fixes) == [CALIBRATE]
    assert list(tsc_frequency_unknown(found)) == []


def test_the_assertion_is_told_as_what_came_of_it(tmp_path: Path) -> None:
    tape = microvm()
    tape.line("panic: TSC not initialized", ms=40)
    tape.ends("boundary", ms=41)
    finding = only(list(calibration_switched_off(case(tape, tmp_path, survey()))))
    assert "an assertion ended the boot" in finding.cause


def test_without_symbols_the_console_tells_of_a_frequency_of_zero(tmp_path: Path) -> None:
    tape = FreeBsdTape()
    tape.line("LAPIC: ipi_wait() us multiplier 1 (r 817008 tsc 0)", ms=10)
    tape.line("panic: TSC not initialized", ms=40)
    tape.ends("boundary", ms=41)
    finding = only(list(tsc_frequency_unknown(case(tape, tmp_path, survey()))))
    assert values(finding.fixes) == [CALIBRATE]
    assert "assertion" in finding.cause


def test_what_was_given_is_not_called_for_again(tmp_path: Path) -> None:
    tape = _failed(microvm())
    tape.arguments = (*tape.arguments, "machdep.disable_tsc_calibration=1")
    found = case(tape, tmp_path, survey())
    assert only(list(calibration_switched_off(found))).fixes == ()


def test_a_fault_below_xens_delay_is_mended_by_a_patch(tmp_path: Path) -> None:
    tape = microvm()
    tape.delay(10, ms=45)
    finding = only(list(xen_delay_off_xen(case(_failed(tape), tmp_path, survey()))))
    assert finding.severity is Severity.ERROR
    assert (finding.fixes[0].kind, finding.fixes[0].value) == (FixKind.PATCH, EARLY_DELAY_PATCH)
    assert "The first wait came from ns8250_bus_attach" in finding.cause


def test_delay_by_xens_clock_that_did_no_harm_yet_is_a_warning(tmp_path: Path) -> None:
    tape = microvm()
    tape.delay(10, ms=45)
    tape.ends("timeout", ms=100)
    finding = only(list(xen_delay_off_xen(case(tape, tmp_path, survey()))))
    assert finding.severity is Severity.WARNING


def test_a_patch_that_was_made_is_not_called_for_again(tmp_path: Path) -> None:
    tape = _failed(microvm())
    tape.patches = PATCHED
    finding = only(list(xen_delay_off_xen(case(tape, tmp_path, survey()))))
    assert [fix.kind for fix in finding.fixes] == [FixKind.ADVICE]


def test_without_symbols_a_patch_is_advice(tmp_path: Path) -> None:
    tape = _failed(microvm())
    tape.kernel = replace(tape.kernel, symbols=0)
    finding = only(list(xen_delay_off_xen(case(tape, tmp_path, survey()))))
    assert finding.fixes[0].kind is FixKind.ADVICE
    assert EARLY_DELAY_PATCH in finding.fixes[0].value


@pytest.mark.parametrize("tape", [healthy_freebsd, dummy_boot, healthy_boot, jiffies_boot])
def test_who_does_not_read_xens_clock_is_not_blamed(tmp_path: Path, tape: type) -> None:
    assert list(xen_delay_off_xen(case(tape(), tmp_path, survey()))) == []


def test_a_calibration_against_the_dummy_is_one_finding_with_what_is_true(tmp_path: Path) -> None:
    found = case(dummy_boot(), tmp_path, survey())
    finding = only(list(calibrated_against_nothing(found)))
    assert finding.severity is Severity.ERROR
    assert "TSC 1,734,000,000 Hz, the machine's is 2,500,000,000 Hz" in finding.cause
    assert values(finding.fixes) == [ATTIMER_HINTS]
    assert finding.cost_ns == 10**9
    (other,) = calibration_unreliable(found)
    assert other.title.startswith("LAPIC calibration off by -305,"), "not the TSC a second time"


def test_without_a_pit_it_is_given_first(tmp_path: Path) -> None:
    tape = on(dummy_boot(), devices=(("pit", False),))
    finding = only(list(calibrated_against_nothing(case(tape, tmp_path, survey(pit=False)))))
    assert values(finding.fixes) == ["pit=on", ATTIMER_HINTS]


def test_a_healthy_kernel_is_not_complained_of(tmp_path: Path) -> None:
    codes = {f.code for f in find(case(healthy_freebsd(), tmp_path, survey()))}
    assert codes <= {"TH401", "TH205"}


def test_boots_whose_reference_was_the_dummy_are_not_compared(tmp_path: Path) -> None:
    found = case(dummy_boot(), tmp_path, survey())
    trial = Trial((), Verdict.BETTER, "init reached", "TSC", None, None, None, measured_hz=TSC_HZ)
    assert list(calibration_varies(found, [trial])) == []
    apart = [trial, replace(trial, measured_hz=TSC_HZ * 2)]
    assert len(list(calibration_varies(found, apart))) == 1
    assert list(calibration_varies(found, [apart[0], replace(apart[1], left=("TH105",))])) == []


@pytest.mark.parametrize(
    ("hz", "severity"), [(TSC_HZ + 250_000, Severity.WARNING), (TSC_HZ * 2, Severity.ERROR)]
)
def test_a_failed_calibration_is_wrong_only_when_its_result_is(
    tmp_path: Path, hz: int, severity: Severity
) -> None:
    tape = watched(FreeBsdTape())
    tape.clockcalib("TSC", ms=200, until_ms=1270, hz=hz, current="i8254")
    text = "Statistical TSC calibration failed!  Clocks might be ticking at variable rates."
    tape.line(text, ms=1200)
    tape.prompt(ms=2000)
    finding = only(list(statistics_failed(case(tape, tmp_path, survey()))))
    assert finding.severity is severity
    assert finding.cost_ns == 1_070_000_000


def test_a_bus_clock_is_compared_in_virtual_time_too(tmp_path: Path) -> None:
    machine = replace(survey(), ruler="pit")
    found = case(on(dummy_boot(), deterministic=True), tmp_path, machine)
    finding = only(list(bus_clock_inconsistent(found)))
    assert "694,000,000" in finding.cause and "1,000,000,000" in finding.cause
    assert list(bus_clock_inconsistent(replace(found, survey=survey()))) == [], "TH102 has bounds"
    healthy = case(on(healthy_freebsd(), deterministic=True), tmp_path / "h", machine)
    assert list(bus_clock_inconsistent(healthy)) == []


@pytest.mark.parametrize(("eax", "absurd"), [(543, True), (0, True), (2_500_000, False)])
def test_a_leaf_that_was_believed_and_is_absurd(tmp_path: Path, eax: int, absurd: bool) -> None:
    tape = watched(FreeBsdTape())
    tape.cpuid(0x40000010, eax, 576, ms=20.1)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=eax * 1000, hv_high=0x40000010, vm_guest=5)
    tape.ends("timeout", ms=90)
    found = list(frequency_leaf_not_believable(case(tape, tmp_path)))
    assert [f.severity for f in found] == ([Severity.ERROR] if absurd else [])


def test_a_pvclock_that_was_never_reached_is_told_once(tmp_path: Path) -> None:
    found = case(healthy_freebsd(), tmp_path, survey())
    finding = only(list(pvclock_never_reached(found)))
    assert "TCGTCGTCGTCG is not KVM's" in finding.cause
    assert list(pvclock_not_offered(found)) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("calcru: runtime went backwards from 6 usec to 3 usec for pid 11 (idle)", True),
        ("timecounter went backwards from (1.5) to (1.4)", True),
        ("TSC time went backwards", True),
        ("the ship went backwards", False),
    ],
)
def test_time_that_went_backwards_is_what_the_kernel_says(
    tmp_path: Path, line: str, told: bool
) -> None:
    tape = healthy_freebsd()
    tape.line(line, ms=300)
    found = list(goes_backwards(case(tape, tmp_path, survey())))
    assert [f.code for f in found] == (["TH503"] if told else [])


def test_kvm_that_does_not_tell_what_it_knows(tmp_path: Path) -> None:
    tape = on(healthy_freebsd(), accelerator="kvm")
    finding = only(list(leaf_would_spare_it(case(tape, tmp_path, survey()))))
    assert values(finding.fixes) == ["+invtsc"]
    assert finding.cost_ns == 175_000_000  # start_TSC 102, TSC 70, LAPIC 3 ms
    told = survey(hypervisor_max=0x40000010, timing_leaf=(2_500_000, 1_000_000))
    assert list(leaf_would_spare_it(case(tape, tmp_path / "told", told))) == []
    tcg = case(healthy_freebsd(), tmp_path / "tcg", survey())
    assert list(leaf_would_spare_it(tcg)) == []


def test_a_ramdisk_that_is_none_for_the_kernel(tmp_path: Path) -> None:
    tape = FreeBsdTape()
    tape.header["ramdisk_note"] = "it resets the machine without a word"
    tape.ends("guest-reset", ms=20)
    finding = only(list(ramdisk_not_taken(case(tape, tmp_path, survey()))))
    assert (finding.severity, finding.cause) == (
        Severity.ERROR, "It resets the machine without a word.",
    )  # fmt: skip
    assert list(ramdisk_not_taken(case(healthy_freebsd(), tmp_path / "h", survey()))) == []


def test_a_tsc_of_negative_quality_may_be_trusted_by_a_word(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=TSC_HZ)
    tape.tc_init("i8254", ms=30, hz=1_193_182, quality=0, current="i8254")
    tape.tc_init("TSC-low", ms=40, hz=TSC_HZ >> 1, quality=-100, current="i8254")
    tape.prompt(ms=50)
    finding = only(list(slow_fallback(case(tape, tmp_path, survey()))))
    assert values(finding.fixes) == ["kern.timecounter.invariant_tsc=1"]


def test_delay_by_the_i8254_is_no_finding(tmp_path: Path) -> None:
    tape = microvm()
    tape.delay(10, ms=45, early=I8254_DELAY)
    tape.ends("timeout", ms=100)
    found: Case = case(tape, tmp_path, survey())
    assert list(xen_delay_off_xen(found)) == []
