from __future__ import annotations

import time
from pathlib import Path

from recordings import MS, Tape, failed_calibration, jiffies_boot
from timehands.guests.linux.calibrations import calibrations_of, pit_is_silent
from timehands.machines.machine import Machine
from timehands.story.model import Calibration
from timehands.story.spans import calls_of
from timehands.watch.records import Kind

HPET_COUNTER = 0xFED000F0
LAPIC_COUNT = 0xFEE00390


def _calibrations(tape: Tape, folder: Path) -> tuple[Calibration, ...]:
    if tape.ended is None:
        tape.ends("hung", ms=5000)
    recording = tape.write(folder)
    return calibrations_of(recording, calls_of(recording), 250)


def test_a_failed_search_is_told_way_by_way(tmp_path: Path) -> None:
    tape = Tape()
    failed_calibration(tape)
    found = _calibrations(tape, tmp_path)
    assert [(c.method, c.against, c.result_hz) for c in found] == [
        ("native_calibrate_cpu_early", "i8254", None),
        ("native_calibrate_tsc", "CPUID leaf 0x15", None),
        ("pit_hpet_ptimer_calibrate_cpu", "i8254", None),
    ]
    assert [c.duration_ns for c in found] == [4 * MS, 100_000, 1 * MS]
    assert all(c.evidence and c.detail for c in found)


def test_a_leaf_that_gives_the_frequency_is_named(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("native_calibrate_tsc", ms=10)
    tape.cpuid(0x15, 2, 216, 24_000_000, ms=10.1)
    tape.leave("native_calibrate_tsc", 2_592_000, ms=10.2)
    (found,) = _calibrations(tape, tmp_path)
    assert (found.against, found.result_hz) == ("CPUID leaf 0x15", 2_592_000_000)
    assert "e1" in found.evidence


def test_a_leaf_that_gives_nothing_is_shown_as_it_answered(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("native_calibrate_tsc", ms=10)
    tape.cpuid(0x15, 2, 216, 0, ms=10.1)
    tape.leave("native_calibrate_tsc", 0, ms=10.2)
    (found,) = _calibrations(tape, tmp_path)
    assert found.result_hz is None
    assert found.detail == "leaf 0x15 gave eax 0x2, ebx 0xd8, ecx 0x0"


def test_a_leaf_that_was_not_read_is_said_not_to_have_been(tmp_path: Path) -> None:
    tape = Tape()
    tape.cpuid(0x15, 2, 216, 24_000_000, ms=9)
    tape.call("native_calibrate_tsc", ms=10, until_ms=10.2)
    (found,) = _calibrations(tape, tmp_path)
    assert "was not read" in found.detail


def test_pvclock_gives_the_frequency_without_measuring(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("kvm_get_tsc_khz", ms=10, until_ms=10.1, result=2_596_000)
    tape.call("kvm_get_tsc_khz", ms=11, until_ms=11.1, result=0)
    given, none = _calibrations(tape, tmp_path)
    assert (given.against, given.result_hz) == ("pvclock", 2_596_000_000)
    assert none.result_hz is None


def _quick(*, values: list[int], until_ms: float, khz: int = 0) -> Tape:
    tape = Tape()
    tape.enter("native_calibrate_cpu_early", ms=10)
    for at, value in enumerate(values):
        tape.port_in(0x42, value, ms=10.1 + at / 100)
    tape.leave("native_calibrate_cpu_early", khz, ms=until_ms)
    return tape


def test_quick_calibration_that_agrees_gives_its_result(tmp_path: Path) -> None:
    (found,) = _calibrations(_quick(values=[5, 4, 3], until_ms=15, khz=2_500_000), tmp_path)
    assert (found.of, found.against, found.result_hz) == ("tsc", "i8254", 2_500_000_000)


def test_quick_calibration_without_a_pit_sees_only_ones(tmp_path: Path) -> None:
    (found,) = _calibrations(_quick(values=[0xFF] * 5, until_ms=15), tmp_path)
    assert "absent" in found.detail


def test_quick_calibration_that_gives_up_early_or_late_says_which(tmp_path: Path) -> None:
    (early,) = _calibrations(_quick(values=[5, 9], until_ms=15), tmp_path / "early")
    (late,) = _calibrations(_quick(values=[5, 9], until_ms=65), tmp_path / "late")
    assert "gave up" in early.detail
    assert "within 50 ms" in late.detail


def test_no_host_time_is_told_of_a_deterministic_machine(tmp_path: Path) -> None:
    tape = _quick(values=[5, 9], until_ms=15)
    tape.machine = Machine(deterministic=True)
    (found,) = _calibrations(tape, tmp_path)
    assert " ms" not in found.detail


def test_a_frequency_by_leaf_0x16_or_msr_needs_no_pit(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("native_calibrate_cpu_early", ms=10, until_ms=10.1, result=2_600_000)
    tape.call("native_calibrate_cpu_early", ms=20, until_ms=20.1, result=0)
    (found,) = _calibrations(tape, tmp_path)
    assert (found.against, found.result_hz) == ("CPUID or MSR", 2_600_000_000)


def test_slow_calibration_names_all_that_it_measured_against(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("pit_hpet_ptimer_calibrate_cpu", ms=10)
    tape.port_in(0x61, 0x20, ms=11)
    tape.port_in(0x608, 77, ms=12)
    tape.leave("pit_hpet_ptimer_calibrate_cpu", 2_500_001, ms=60)
    (found,) = _calibrations(tape, tmp_path)
    assert found.result_hz == 2_500_001_000
    assert "i8254" in found.against and "acpi_pm" in found.against


def test_a_gate_that_reads_ones_ends_each_window_at_once(tmp_path: Path) -> None:
    for folder, value, word in (("no", 0xFF, "port 0x61 is absent"), ("yes", 0x20, "disturbed")):
        tape = Tape()
        tape.enter("pit_hpet_ptimer_calibrate_cpu", ms=10)
        tape.port_in(0x61, value, ms=11)
        tape.leave("pit_hpet_ptimer_calibrate_cpu", 0, ms=60)
        (found,) = _calibrations(tape, tmp_path / folder)
        assert word in found.detail


def _refined(*, first_khz: int, second_khz: int, address: int = HPET_COUNTER) -> Tape:
    tape = Tape()
    for ms, khz in ((1000, first_khz), (2000, second_khz)):
        tape.enter("tsc_refine_calibration_work", ms=ms)
        tape.event(Kind.MMIO_READ, address, 5, 4, ms=ms + 0.1)
        tape.leave("tsc_refine_calibration_work", ms=ms + 0.2, reads={"tsc_khz": khz})
    return tape


def test_a_refinement_is_told_when_it_changed_the_frequency(tmp_path: Path) -> None:
    (found,) = _calibrations(_refined(first_khz=2_596_222, second_khz=2_596_133), tmp_path)
    assert (found.against, found.result_hz) == ("hpet", 2_596_133_000)
    assert found.start_ns == 2000 * MS


def test_a_refinement_that_changed_nothing_gave_nothing(tmp_path: Path) -> None:
    (found,) = _calibrations(_refined(first_khz=2_596_222, second_khz=2_596_222), tmp_path)
    assert found.result_hz is None


def test_the_run_that_takes_the_start_of_a_refinement_is_no_calibration(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("tsc_refine_calibration_work", ms=1000)
    tape.port_in(0x608, 5, ms=1000.1)
    tape.leave("tsc_refine_calibration_work", ms=1000.2, reads={"tsc_khz": 2_596_222})
    assert _calibrations(tape, tmp_path) == ()


def test_reads_of_the_lapic_are_not_taken_for_an_hpet(tmp_path: Path) -> None:
    tape = _refined(first_khz=1000, second_khz=2000, address=LAPIC_COUNT)
    assert _calibrations(tape, tmp_path) == ()


def test_the_lapics_rate_is_its_period_times_hz(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("setup_boot_APIC_clock", ms=10)
    tape.event(Kind.RDTSC, ms=20)
    tape.event(Kind.RDTSC, ms=120, passed=90_000)
    tape.leave("setup_boot_APIC_clock", ms=210, reads={"lapic_timer_period": 4_000_048})
    (found,) = _calibrations(tape, tmp_path)
    assert (found.of, found.against, found.result_hz) == ("lapic", "tsc", 1_000_012_000)


def test_a_tsc_read_once_a_tick_is_not_what_the_lapic_is_held_against(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("setup_boot_APIC_clock", ms=10, until_ms=210, reads={"lapic_timer_period": 4_000_000})
    for tick in range(27):
        tape.event(Kind.RDTSC, ms=20 + 4 * tick)
    (found,) = _calibrations(tape, tmp_path)
    assert found.against == "jiffies"


def test_a_lapic_that_needs_no_calibration_has_none(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("setup_boot_APIC_clock", ms=10, until_ms=10.3, reads={"lapic_timer_period": 0})
    assert _calibrations(tape, tmp_path) == ()


def test_a_delay_loop_counts_only_when_it_was_measured(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("calibrate_delay", ms=10, until_ms=10.1, reads={"loops_per_jiffy": 1})
    tape.call("calibrate_delay", ms=20, until_ms=77, reads={"loops_per_jiffy": 928_768})
    (found,) = _calibrations(tape, tmp_path)
    assert (found.of, found.detail) == ("delay loop", "928,768 loops a jiffy")
    assert found.duration_ns == 57 * MS


def test_a_calibration_that_never_returned_says_so(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("calibrate_delay", ms=20)
    (found,) = _calibrations(tape, tmp_path)
    assert found.detail.endswith("it did not return")
    assert found.end_ns == 5000 * MS


def test_a_pit_is_silent_when_it_only_ever_reads_ones(tmp_path: Path) -> None:
    silent, mixed, unread = Tape(), Tape(), Tape()
    silent.port_in(0x42, 0xFF, ms=1)
    mixed.port_in(0x42, 0xFF, ms=1)
    mixed.port_in(0x40, 0x7F, ms=2)
    assert pit_is_silent(silent.write(tmp_path / "silent"))
    assert not pit_is_silent(mixed.write(tmp_path / "mixed"))
    assert not pit_is_silent(unread.write(tmp_path / "unread"))


def test_nested_calibrations_of_a_hostile_recording_take_bounded_time(tmp_path: Path) -> None:
    tape = jiffies_boot()
    for at in range(30_000):
        tape.enter("calibrate_delay", ms=130 + at / 1000)
    recording = tape.write(tmp_path)
    calls = calls_of(recording)
    began = time.process_time()
    found = calibrations_of(recording, calls, 250)
    assert time.process_time() - began < 2
    assert found[0].method == "native_calibrate_cpu_early"
