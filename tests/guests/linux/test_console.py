"""What the console of a real Linux says, line by line, as its printk formats are."""

from __future__ import annotations

from pathlib import Path

from recordings import MS, Tape
from timehands.guests.linux.console import clocks_from_console
from timehands.story.model import Clock, ClockRole, ClockState

#: Messages of Linux 6.1 on KVM, in their order.
KVM = (
    "[    0.000000] kvm-clock: Using msrs 4b564d01 and 4b564d00",
    "[    0.000001] clocksource: kvm-clock: mask: 0xffffffffffffffff max_cycles: 0x1cd42e4dffb",
    "[    0.000005] tsc: Detected 2596.132 MHz processor",
    "[    0.100000] clocksource: refined-jiffies: mask: 0xffffffff max_cycles: 0xffffffff",
    "[    0.300000] clocksource: Switched to clocksource kvm-clock",
    "[    0.500000] rtc_cmos rtc_cmos: setting system clock to 2026-11-21T08:31:23 UTC",
)
PC = (
    "[    0.000000] tsc: Fast TSC calibration using PIT",
    "[    0.000000] tsc: Detected 2596.155 MHz processor",
    "[    0.200000] clocksource: tsc-early: mask: 0xffffffffffffffff max_cycles: 0x2569d",
    "[    0.300000] clocksource: Switched to clocksource tsc-early",
    "[    1.300000] tsc: Refined TSC clocksource calibration: 2596.133 MHz",
    "[    1.300001] clocksource: tsc: mask: 0xffffffffffffffff max_cycles: 0x2569d",
    "[    1.300002] clocksource: Switched to clocksource tsc",
)


def _clocks(
    folder: Path, *lines: str
) -> tuple[dict[tuple[str, ClockRole], Clock], str | None, str | None]:
    tape = Tape(instrument="console")
    for ms, text in enumerate(lines, 1):
        tape.line(text, ms=ms)
    found = clocks_from_console(tape.write(folder))
    return {(c.name, c.role): c for c in found.clocks}, found.selected, found.selected_timer


def test_pvclock_is_told_with_its_msrs_and_its_choice(tmp_path: Path) -> None:
    clocks, selected, timer = _clocks(tmp_path, *KVM)
    clock = clocks["kvm-clock", ClockRole.SOURCE]
    assert (selected, timer) == ("kvm-clock", None)
    assert (clock.state, clock.frequency_hz) == (ClockState.SELECTED, 10**9)
    assert [step.at_ns for step in clock.steps] == [1 * MS, 2 * MS, 5 * MS]
    assert clock.evidence == ("c0", "c1", "c4")
    tsc = clocks["tsc", ClockRole.SOURCE]
    assert (tsc.state, tsc.frequency_hz) == (ClockState.CALIBRATED, 2_596_132_000)
    assert clocks["rtc", ClockRole.WALL].state is ClockState.SELECTED


def test_a_refined_frequency_is_that_of_the_clock_registered_after_it(tmp_path: Path) -> None:
    clocks, selected, _ = _clocks(tmp_path, *PC)
    assert selected == "tsc"
    assert clocks["tsc", ClockRole.SOURCE].frequency_hz == 2_596_133_000
    assert clocks["tsc-early", ClockRole.SOURCE].frequency_hz == 2_596_155_000
    assert clocks["tsc-early", ClockRole.SOURCE].state is ClockState.REGISTERED
    assert clocks["tsc", ClockRole.SOURCE].state is ClockState.SELECTED


def test_a_tsc_that_was_marked_unstable_is_rejected(tmp_path: Path) -> None:
    line = "[    0.0] tsc: Marking TSC unstable due to could not calculate TSC khz"
    clocks, _, _ = _clocks(tmp_path, line)
    assert clocks["tsc", ClockRole.SOURCE].state is ClockState.REJECTED
    assert "could not calculate" in clocks["tsc", ClockRole.SOURCE].steps[-1].what


def test_what_init_read_from_sys_counts_most(tmp_path: Path) -> None:
    told = ("timehands: clocksource hpet", "timehands: clockevent lapic")
    clocks, selected, timer = _clocks(tmp_path, *PC, *told)
    assert (selected, timer) == ("hpet", "lapic")
    assert clocks["lapic", ClockRole.EVENTS].state is ClockState.SELECTED
    assert clocks["tsc", ClockRole.SOURCE].state is ClockState.REGISTERED


def test_a_console_that_says_nothing_of_clocks_tells_nothing(tmp_path: Path) -> None:
    assert _clocks(tmp_path, "Linux version 6.1", "clocksource", "tsc: Detected many MHz") == (
        {},
        None,
        None,
    )
