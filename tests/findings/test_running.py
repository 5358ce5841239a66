from __future__ import annotations

from pathlib import Path

import pytest

from findings.cases import case, on, only, survey, values
from recordings import DATE_NS, MS, Tape, healthy_boot
from timehands.findings.model import Severity
from timehands.findings.running import rate_wrong, waits_for_ever, wall_clock_wrong

_HOUR_NS = 3600 * 10**9


def _dated(offset_ns: int) -> Tape:
    tape = Tape()
    tape.begins()
    tape.init(ms=900)
    tape.reading(ms=999, until_ms=1000, monotonic_ns=0, realtime_ns=DATE_NS + 1000 * MS + offset_ns)
    tape.ends("guest-reset", ms=2000)
    return tape


@pytest.mark.parametrize(
    ("offset_ns", "word"), [(-_HOUR_NS, "3,600 s behind"), (_HOUR_NS, "3,600 s ahead")]
)
def test_a_wrong_date_is_an_error(tmp_path: Path, offset_ns: int, word: str) -> None:
    finding = only(list(wall_clock_wrong(case(_dated(offset_ns), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH501", Severity.ERROR)
    assert word in finding.cause
    assert finding.fixes == ()


@pytest.mark.parametrize("offset_ns", [0, 2_900_000_000, -2_900_000_000])
def test_a_date_within_seconds_is_right(tmp_path: Path, offset_ns: int) -> None:
    assert not list(wall_clock_wrong(case(_dated(offset_ns), tmp_path, survey())))


def test_a_machine_without_any_clock_that_keeps_the_date_can_have_an_rtc(tmp_path: Path) -> None:
    judged = case(_dated(-DATE_NS), tmp_path / "none", survey(rtc=False))
    finding = only(list(wall_clock_wrong(judged)))
    assert "no RTC, no pvclock" in finding.cause
    assert values(finding.fixes) == ["rtc=on"]
    pvclock = case(_dated(-DATE_NS), tmp_path / "pv", survey(rtc=False, pvclock=True))
    assert "no RTC" not in only(list(wall_clock_wrong(pvclock))).cause


@pytest.mark.parametrize(("ppm", "word"), [(2_000, "fast"), (-2_000, "slow")])
def test_a_guest_clock_of_another_rate_is_an_error(tmp_path: Path, ppm: int, word: str) -> None:
    finding = only(list(rate_wrong(case(healthy_boot(guest_ppm=ppm), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH502", Severity.ERROR)
    assert word in finding.title
    assert "reads tsc: it does not tick" in finding.cause
    assert values(finding.fixes) == ["tsc_early_khz=2500000"]


@pytest.mark.parametrize("ppm", [0, 650, -650])
def test_a_rate_that_may_be_right_is_not_called_wrong(tmp_path: Path, ppm: int) -> None:
    """The bounds are some 200 ppm wide on either side, and 500 ppm are allowed."""
    assert not list(rate_wrong(case(healthy_boot(guest_ppm=ppm), tmp_path, survey())))


def _stuck(reason: str) -> Tape:
    tape = Tape()
    tape.begins()
    tape.enter("calibrate_delay", ms=50)
    tape.ends(reason, ms=3050)
    return tape


@pytest.mark.parametrize("reason", ["hung", "halted", "idle", "timeout"])
def test_a_guest_that_does_not_get_on_waits_for_a_clock(tmp_path: Path, reason: str) -> None:
    finding = only(list(waits_for_ever(case(_stuck(reason), tmp_path, survey()))))
    assert (finding.code, finding.severity) == ("TH601", Severity.ERROR)
    assert "no timer was ever armed" in finding.cause
    assert "the machine offers i8254 and lapic" in finding.cause


@pytest.mark.parametrize("reason", ["guest-reset", "boundary", "interrupted", "lost"])
def test_a_guest_that_ended_otherwise_waits_for_nothing(tmp_path: Path, reason: str) -> None:
    assert not list(waits_for_ever(case(_stuck(reason), tmp_path, survey())))


def test_a_boot_that_reached_init_and_ended_waits_for_nothing(tmp_path: Path) -> None:
    assert not list(waits_for_ever(case(healthy_boot(), tmp_path, survey())))


def test_a_hang_without_a_pit_can_have_it_back(tmp_path: Path) -> None:
    tape = on(_stuck("hung"), devices=(("pit", False),))
    tape.timer("pit", ms=40)
    finding = only(list(waits_for_ever(case(tape, tmp_path, survey(pit=False)))))
    assert "its timer is pit" in finding.cause
    assert values(finding.fixes)[:2] == ["tsc_early_khz=2500000", "pit=on"]


def test_without_the_plugin_it_is_not_said_that_no_timer_was_armed(tmp_path: Path) -> None:
    tape = Tape(instrument="console")
    tape.ends("hung", ms=3050)
    finding = only(list(waits_for_ever(case(tape, tmp_path, survey()))))
    assert "was not watched" in finding.cause


def test_a_guest_that_was_only_slow_is_not_said_to_wait(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    tape.call("calibrate_delay", ms=50, until_ms=90, reads={"loops_per_jiffy": 1})
    tape.ends("timeout", ms=60_000)
    assert not list(waits_for_ever(case(tape, tmp_path, survey())))
