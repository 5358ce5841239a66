from __future__ import annotations

from pathlib import Path

import pytest

from freebsd_recordings import TSC_HZ, FreeBsdTape, dummy_boot, healthy_freebsd, microvm, watched
from recordings import MS
from timehands.boot import tell
from timehands.guests.telling import SWITCHED_OFF, TAKEN_AS_EXACT
from timehands.story.model import Calibration


def _told(tape: FreeBsdTape, folder: Path) -> tuple[Calibration, ...]:
    return tell(tape.write(folder))[0].calibrations


def test_each_way_and_the_condition_that_failed(tmp_path: Path) -> None:
    early, late = _told(microvm(), tmp_path)
    assert (early.method, early.against, early.result_hz) == ("probe_tsc_freq_early", "CPUID", None)
    assert early.detail == (
        "leaf 0x40000010 was not read: the hypervisor's leaves end at 0x40000001 (VM_GUEST_VM); "
        "leaf 0x15 was not read: the basic leaves end at 0xd"
    )
    assert late.detail == (
        f"{SWITCHED_OFF} (tsc_skip_calibration), and no Intel brand string gave it; "
        "tsc_disabled was set"
    )


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"vm_guest": 0}, "no hypervisor was recognised (VM_GUEST_NO)"),
        ({"vm_guest": 5, "hv_high": 0x40000001}, "end at 0x40000001 (VM_GUEST_KVM)"),
        ({"vm_guest": 77, "hv_high": 0x40000001}, "end at 0x40000001 (unknown)"),
    ],
)
def test_why_the_timing_leaf_was_not_read(
    tmp_path: Path, variables: dict[str, int], part: str
) -> None:
    tape = watched(FreeBsdTape())
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0, **variables)  # type: ignore[arg-type]
    (found,) = _told(tape, tmp_path)
    assert part in found.detail


def test_leaves_that_were_read_and_gave_nothing(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.cpuid(0x15, 2, 0, 0, ms=20.1)
    tape.cpuid(0x16, 0, 0, 0, ms=20.2)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0, cpu_high=0x16)
    (found,) = _told(tape, tmp_path)
    assert "leaf 0x15 gave eax 0x2, ebx 0x0, ecx 0x0; leaf 0x16 gave eax 0x0" in found.detail


def test_a_leaf_that_gives_it_is_named_with_the_result(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.cpuid(0x40000010, 2_500_000, 1_000_000, ms=20.1)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=TSC_HZ, hv_high=0x40000010, vm_guest=5)
    (found,) = _told(tape, tmp_path)
    assert (found.against, found.result_hz) == ("CPUID leaf 0x40000010", TSC_HZ)


def test_a_leaf_that_gives_zero_is_taken_as_exact(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.cpuid(0x40000010, 0, 0, ms=20.1)
    tape.tsc("tsc_init", ms=20, until_ms=21, hz=0, hv_high=0x40000010, vm_guest=5)
    (found,) = _told(tape, tmp_path)
    assert TAKEN_AS_EXACT in found.detail and found.result_hz is None


def test_the_early_measure_is_against_whoever_serves_delay(tmp_path: Path) -> None:
    _early, late, tsc, lapic = _told(healthy_freebsd(), tmp_path)
    assert (late.method, late.against, late.result_hz) == (
        "probe_tsc_freq_late", "i8254", TSC_HZ + 9,
    )  # fmt: skip
    assert (tsc.of, tsc.against, tsc.result_hz) == ("tsc", "i8254", TSC_HZ)
    assert tsc.duration_ns == 70 * MS
    assert (lapic.of, lapic.against, lapic.result_hz) == ("lapic", "TSC-low", 10**9)


def test_a_measure_against_the_dummy_names_it(tmp_path: Path) -> None:
    *_others, tsc, _lapic = _told(dummy_boot(), tmp_path)
    assert (tsc.against, tsc.result_hz) == ("dummy", 1_734_000_000)


def test_a_wait_that_never_ends_is_a_measure_without_a_result(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.enter("start_TSC", ms=20)
    tape.delay(100_000, ms=21)
    tape.ends("hung", ms=5000)
    (found,) = _told(tape, tmp_path)
    assert (found.against, found.result_hz) == ("Xen's clock", None)
    assert found.detail.endswith("it did not return")


def test_what_clockcalib_printed_is_its_detail(tmp_path: Path) -> None:
    tape = dummy_boot()
    tape.line("Statistical TSC calibration took 72689 us and 72689 data points", ms=1200.5)
    (found,) = [c for c in _told(tape, tmp_path) if c.against == "dummy"]
    assert found.detail == "statistical: 72,689 us and 72,689 data points"


def test_a_lapic_that_is_told_by_a_leaf_is_not_measured(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape(), ("tc_init", "clockcalib"))
    tape.enter("lapic_calibrate_timer", ms=20)
    tape.cpuid(0x40000010, 2_500_000, 1_000_000, ms=20.1)
    reads = {"count_freq": 500_000_000, "lapic_timer_divisor": 2}
    tape.leave("lapic_calibrate_timer", ms=21, reads=reads)  # type: ignore[arg-type]
    (found,) = _told(tape, tmp_path)
    assert (found.of, found.against, found.result_hz) == ("lapic", "CPUID leaf 0x40000010", 10**9)


def test_equal_numbers_on_the_console_are_the_dummy(tmp_path: Path) -> None:
    tape = FreeBsdTape(instrument="console")
    tape.line("Statistical TSC calibration took 72689 us and 72689 data points", ms=10)
    tape.line('Timecounter "TSC" frequency 170000000 Hz quality 1000', ms=11)
    (found,) = _told(tape, tmp_path)
    assert (found.of, found.against, found.result_hz) == ("tsc", "dummy", 170_000_000)


def test_a_frequency_of_zero_is_told_by_the_lapics_line(tmp_path: Path) -> None:
    tape = FreeBsdTape(instrument="console")
    tape.line("LAPIC: ipi_wait() us multiplier 1 (r 817008 tsc 0)", ms=10)
    (found,) = _told(tape, tmp_path)
    assert (found.of, found.result_hz) == ("tsc", None)
