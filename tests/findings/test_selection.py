from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bsd_recordings import netbsd_boot
from findings.cases import case, on, only, survey, values
from freebsd_recordings import healthy_freebsd
from recordings import LINUX, Tape, healthy_boot, jiffies_boot
from timehands.findings.model import FixKind, Severity
from timehands.findings.selection import (
    lapic_timer_not_used,
    pvclock_not_offered,
    pvclock_not_used,
    slow_fallback,
)
from timehands.watch.records import Kind


def test_jiffies_where_a_tsc_is_offered_is_an_error(tmp_path: Path) -> None:
    finding = only(list(slow_fallback(case(jiffies_boot(), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH201", Severity.ERROR)
    assert "The machine offers tsc" in finding.cause
    assert "could not calculate TSC khz" in finding.cause
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]


def test_all_that_is_better_is_named(tmp_path: Path) -> None:
    finding = only(list(slow_fallback(case(jiffies_boot(), tmp_path, survey(hpet=True)))))
    assert "tsc (not invariant) and hpet" in finding.cause


def test_a_tsc_that_netbsd_does_not_take_for_invariant_says_so(tmp_path: Path) -> None:
    finding = only(list(slow_fallback(case(netbsd_boot(), tmp_path, survey()))))
    assert finding.evidence[0].text == "i8254 is in use, quality 100"
    assert "TSC was rejected (not invariant: the kernel gives such a TSC quality -100" in (
        finding.cause
    )
    assert "lapic" not in finding.cause
    assert [(fix.kind, "+invtsc" in fix.value) for fix in finding.fixes] == [
        (FixKind.ADVICE, True),
    ]


def test_a_tsc_that_freebsd_doubts_with_several_cpus_can_be_trusted_by_a_word(
    tmp_path: Path,
) -> None:
    tape = healthy_freebsd()
    tape.leave("tsc_init", ms=21.5, reads={"tsc_freq": 0, "tsc_is_invariant": bytes(4)})
    tape.tc_init("TSC-low", ms=272, hz=1_250_000_000, quality=-100, current="i8254")
    tape.looked["timecounter"] = {"name": "i8254", "frequency": 1_193_182, "quality": 0}
    finding = only(list(slow_fallback(case(tape, tmp_path, survey()))))
    assert "TSC-low was rejected (not invariant: with several CPUs" in finding.cause
    assert values(finding.fixes)[0] == "kern.timecounter.invariant_tsc=1"


def test_a_good_clock_is_no_fallback(tmp_path: Path) -> None:
    assert not list(slow_fallback(case(healthy_boot(), tmp_path, survey())))


def test_a_fallback_is_judged_only_against_a_survey(tmp_path: Path) -> None:
    assert not list(slow_fallback(case(jiffies_boot(), tmp_path)))


def test_a_boot_that_ended_before_it_chose_is_not_judged(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    tape.call("timekeeping_init", ms=10, until_ms=11)
    tape.enter("calibrate_delay", ms=12)
    tape.ends("hung", ms=3000)
    judged = case(tape, tmp_path, survey())
    assert judged.story.selected == "jiffies"
    assert not list(slow_fallback(judged))


def test_a_tsc_that_the_watchdog_threw_out_is_to_be_trusted(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.enter("__clocksource_unstable", ms=920, reads={"name": "tsc"})
    tape.clocksource("acpi_pm", ms=925, rating=200, khz=3_579)
    tape.selects("acpi_pm", ms=930)
    finding = only(list(slow_fallback(case(tape, tmp_path, survey()))))
    assert values(finding.fixes) == ["tsc=reliable"]
    assert "exit to the VMM" in finding.cause


def _kvm_clock(selected: str) -> Tape:
    tape = healthy_boot()
    tape.event(Kind.WRMSR, 0x4B564D01, 0x1001, ms=21)
    tape.clocksource("kvm-clock", ms=22, rating=400, khz=1_000_000)
    tape.selects(selected, ms=950)
    return tape


def test_pvclock_that_is_offered_and_read_is_fine(tmp_path: Path) -> None:
    assert not list(pvclock_not_used(case(_kvm_clock("kvm-clock"), tmp_path, survey(pvclock=True))))


def test_a_tsc_chosen_over_pvclock_is_fine(tmp_path: Path) -> None:
    """Linux prefers an invariant TSC and lowers kvm-clock's rating (kvmclock.c)."""
    assert not list(pvclock_not_used(case(_kvm_clock("tsc"), tmp_path, survey(pvclock=True))))


def test_pvclock_registered_and_passed_over_can_be_chosen_by_hand(tmp_path: Path) -> None:
    judged = case(_kvm_clock("hpet"), tmp_path, survey(pvclock=True))
    finding = only(list(pvclock_not_used(judged)))
    assert (finding.code, finding.severity) == ("TH202", Severity.WARNING)
    assert values(finding.fixes) == ["clocksource=kvm-clock"]
    assert any(e.references for e in finding.evidence)


def test_pvclock_without_a_driver_is_advice(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.kernel = replace(LINUX, clock_functions=("tsc_init",))
    finding = only(list(pvclock_not_used(case(tape, tmp_path, survey(pvclock=True)))))
    assert "no driver" in finding.cause
    assert [fix.kind for fix in finding.fixes] == [FixKind.ADVICE]


def test_pvclock_that_is_not_offered_is_not_missed_by_the_kernel(tmp_path: Path) -> None:
    assert not list(pvclock_not_used(case(jiffies_boot(), tmp_path, survey())))


def test_a_driver_without_pvclock_is_worth_a_note(tmp_path: Path) -> None:
    finding = only(list(pvclock_not_offered(case(healthy_boot(), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH203", Severity.NOTE)
    assert [fix.kind for fix in finding.fixes] == [FixKind.ADVICE]


def test_kvm_can_offer_its_clock(tmp_path: Path) -> None:
    tape = on(healthy_boot(), accelerator="kvm")
    finding = only(list(pvclock_not_offered(case(tape, tmp_path, survey()))))
    assert values(finding.fixes) == ["+kvmclock"]


def test_pvclock_offered_unknown_or_unsupported_is_no_note(tmp_path: Path) -> None:
    offered = case(healthy_boot(), tmp_path / "offered", survey(pvclock=True))
    unsurveyed = case(healthy_boot(), tmp_path / "unsurveyed")
    tape = healthy_boot()
    tape.kernel = replace(LINUX, clock_functions=())
    unsupported = case(tape, tmp_path / "unsupported", survey())
    assert not [f for c in (offered, unsurveyed, unsupported) for f in pvclock_not_offered(c)]


def test_a_lapic_that_the_kernel_does_not_use_is_told(tmp_path: Path) -> None:
    found = list(lapic_timer_not_used(case(jiffies_boot(), tmp_path / "pit", survey())))
    assert [f.code for f in found] == ["TH204"]
    used = case(healthy_boot(), tmp_path / "lapic", survey())
    absent = case(jiffies_boot(), tmp_path / "absent", survey(lapic=False))
    unknown = case(jiffies_boot(), tmp_path / "unknown")
    assert not [f for c in (used, absent, unknown) for f in lapic_timer_not_used(c)]


def test_a_lapic_that_the_kernel_did_not_trust_is_told_otherwise(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.line("APIC timer disabled due to verification failure", ms=150)
    finding = only(list(lapic_timer_not_used(case(tape, tmp_path, survey()))))
    assert "disabled: verification failure" in finding.cause
    assert "MP table" not in finding.cause
    assert finding.evidence[-1].references == ("c0",)
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]
