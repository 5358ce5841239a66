from __future__ import annotations

from pathlib import Path

import pytest

from recordings import MS, Tape, failed_calibration, healthy_boot, jiffies_boot
from timehands.boot import tell
from timehands.guests.linux.clocks import reported
from timehands.story.model import Clock, ClockRole, ClockState, Story
from timehands.watch.records import Kind


def _story(tape: Tape, folder: Path) -> Story:
    return tell(tape.write(folder))[0]


def _clock(tape: Tape, folder: Path, name: str, role: ClockRole = ClockRole.SOURCE) -> Clock:
    clock = _story(tape, folder).clock(name, role)
    assert clock is not None
    return clock


def test_a_clocksource_keeps_rating_and_frequency_as_registered(tmp_path: Path) -> None:
    clock = _clock(healthy_boot(), tmp_path, "tsc")
    assert (clock.rating, clock.frequency_hz) == (300, 2_500_000_000)
    assert clock.state is ClockState.SELECTED
    assert [step.what for step in clock.steps] == ["registered", "selected"]
    assert clock.how == "native_calibrate_cpu_early against i8254"
    assert len(clock.evidence) == 2


def test_a_clock_that_gave_way_is_only_registered(tmp_path: Path) -> None:
    clock = _clock(healthy_boot(), tmp_path, "tsc-early")
    assert clock.state is ClockState.REGISTERED
    assert clock.steps[-1].what == "selected"


@pytest.mark.parametrize("hz", [100, 250, 300, 1000])
def test_the_rate_of_jiffies_comes_from_mult_and_shift(tmp_path: Path, hz: int) -> None:
    tape = Tape()
    tape.jiffies(ms=40, hz=hz)
    clock = _clock(tape, tmp_path, "refined-jiffies")
    assert clock.frequency_hz == hz
    assert clock.how == "counts timer interrupts"


@pytest.mark.parametrize(("mult", "shift"), [(0, 8), (1 << 20, 64), (1, 0xFFFFFFFF)])
def test_mult_and_shift_that_make_no_sense_make_no_frequency(
    tmp_path: Path, mult: int, shift: int
) -> None:
    tape = Tape()
    tape.clocksource("odd", ms=10, rating=1, mult=mult, shift=shift)
    assert _clock(tape, tmp_path, "odd").frequency_hz is None


def test_the_rate_of_a_clock_event_device_is_what_linux_makes_ticks_with(tmp_path: Path) -> None:
    tape = Tape()
    # mult = frequency << shift / 10^9 (kernel/time/clockevents.c): 62.5 MHz with shift 32.
    reads: dict[str, int | str | bytes] = {"name": "lapic", "rating": 100}
    reads |= {"mult": (62_500_000 << 32) // 10**9, "shift": 32}
    tape.enter("tick_check_new_device", ms=10, reads=reads)
    clock = _clock(tape, tmp_path, "lapic", ClockRole.EVENTS)
    assert clock.frequency_hz == 62_500_000
    assert clock.state is ClockState.REGISTERED


def test_the_timer_in_use_is_the_last_that_was_set_up(tmp_path: Path) -> None:
    tape = Tape()
    tape.timer("hpet", ms=10)
    tape.timer("lapic-deadline", ms=20)
    story = _story(tape, tmp_path)
    assert story.selected_timer == "lapic-deadline"
    assert story.clock("hpet", ClockRole.EVENTS).state is ClockState.REGISTERED  # type: ignore[union-attr]


def test_before_any_choice_linux_runs_on_jiffies(tmp_path: Path) -> None:
    tape = Tape()
    assert _story(tape, tmp_path / "before").selected is None
    tape.call("timekeeping_init", ms=10, until_ms=11)
    tape.jiffies(ms=12, name="refined-jiffies", hz=100)
    clock = _clock(tape, tmp_path / "after", "jiffies")
    assert clock.state is ClockState.SELECTED
    assert (clock.frequency_hz, clock.how) == (100, "counts timer interrupts")


def test_a_tsc_that_was_marked_unstable_is_rejected_with_the_reason(tmp_path: Path) -> None:
    clock = _clock(jiffies_boot(), tmp_path, "tsc")
    assert clock.state is ClockState.REJECTED
    assert clock.steps[-1].what == "marked unstable: could not calculate TSC khz"
    assert "native_calibrate_cpu_early (i8254)" in clock.how


def test_the_reason_is_taken_from_the_console_where_the_function_was_inlined(
    tmp_path: Path,
) -> None:
    tape = Tape()
    tape.event(Kind.RDTSC, ms=30)
    tape.call("native_calibrate_tsc", ms=31, until_ms=32)
    tape.line("[    0.0] tsc: Marking TSC unstable due to could not calculate TSC khz", ms=40)
    clock = _clock(tape, tmp_path, "tsc")
    assert clock.state is ClockState.REJECTED
    assert clock.steps[-1].evidence == ("c0",)
    assert clock.steps[-1].what.endswith("could not calculate TSC khz")


@pytest.mark.parametrize("function", ["__clocksource_unstable", "clocksource_mark_unstable"])
def test_the_watchdog_rejects_a_clock_in_use(tmp_path: Path, function: str) -> None:
    tape = healthy_boot()
    tape.enter(function, ms=920, reads={"name": "tsc"})
    tape.clocksource("hpet", ms=930, rating=250, khz=100_000)
    tape.selects("hpet", ms=940)
    story = _story(tape, tmp_path)
    assert story.selected == "hpet"
    assert story.clock("tsc").state is ClockState.REJECTED  # type: ignore[union-attr]


def test_a_frequency_that_was_told_is_not_credited_to_a_measurement(tmp_path: Path) -> None:
    tape = healthy_boot(khz=2_500_000)
    tape.arguments = ("tsc_early_khz=2500000",)
    assert "tsc_early_khz" in _clock(tape, tmp_path / "told", "tsc").how
    tape.arguments = ("tsc_early_khz=2400000",)
    assert "i8254" in _clock(tape, tmp_path / "other", "tsc").how
    tape.arguments = ("tsc_early_khz=²", "tsc_early_khz=")
    assert "i8254" in _clock(tape, tmp_path / "nonsense", "tsc").how


def test_a_refinement_is_credited_to_the_clock_that_it_made(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.enter("tsc_refine_calibration_work", ms=100)
    tape.leave("tsc_refine_calibration_work", ms=101, reads={"tsc_khz": 2_500_000})
    tape.enter("tsc_refine_calibration_work", ms=890)
    tape.port_in(0x608, 7, ms=891)
    tape.leave("tsc_refine_calibration_work", ms=920, reads={"tsc_khz": 2_500_100})
    story = _story(tape, tmp_path)
    hows = {c.name: c.how for c in story.clocks}
    assert hows["tsc"] == "tsc_refine_calibration_work against acpi_pm"
    assert hows["tsc-early"] == "native_calibrate_cpu_early against i8254"


def test_a_source_that_was_touched_and_not_registered_is_probed(tmp_path: Path) -> None:
    tape = Tape()
    failed_calibration(tape)
    clock = _clock(tape, tmp_path, "i8254")
    assert clock.state is ClockState.PROBED
    assert clock.how == "22 accesses; not registered as a clocksource"


def _rtc(value: int) -> Tape:
    tape = Tape()
    tape.enter("mach_get_cmos_time", ms=50)
    tape.port_out(0x70, 0x0A, ms=50.1)
    tape.port_in(0x71, value, ms=50.2)
    tape.leave("mach_get_cmos_time", ms=51)
    return tape


def test_an_rtc_that_was_read_gives_the_date(tmp_path: Path) -> None:
    clock = _clock(_rtc(0x26), tmp_path, "rtc", ClockRole.WALL)
    assert (clock.state, clock.frequency_hz) == (ClockState.SELECTED, 1)
    assert [s.what for s in clock.steps] == ["read as the time of day", "first touched"]
    assert clock.steps[0].at_ns == 50 * MS


def test_an_rtc_that_reads_ones_is_absent(tmp_path: Path) -> None:
    clock = _clock(_rtc(0xFF), tmp_path, "rtc", ClockRole.WALL)
    assert (clock.state, clock.frequency_hz) == (ClockState.REJECTED, None)
    assert "0xff" in clock.how


def test_what_init_reports_is_its_last_word_of_each_name(tmp_path: Path) -> None:
    tape = Tape()
    tape.line("timehands: clocksource tsc-early", ms=1)
    tape.line("timehands: clocksource tsc", ms=2)
    tape.line("timehands: clockevent unknown", ms=3)
    tape.line("clocksource hpet", ms=4)
    tape.line("timehands: available tsc hpet acpi_pm ", ms=5)
    assert reported(tape.write(tmp_path)) == {
        "clocksource": "tsc",
        "available": "tsc hpet acpi_pm",
    }
