"""A real Linux guest's page, recorded on a real KVM, against the guest's own words.

The oracle is the guest: it read its clock itself, and printed what it read.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kvm.linux_clock import LinuxClock
from kvm.linux_clock_checks import check_all, check_rate, check_readings, check_stamps
from timehands.clocks.pvclock.layout import TimeInfo

RECORDING = Path(__file__).parent / "linux_clock.json"


@pytest.fixture
def clock() -> LinuxClock:
    return LinuxClock.from_json(json.loads(RECORDING.read_text()))


def test_the_recorded_guest_agrees_with_its_page(clock: LinuxClock) -> None:
    assert clock.kernel.startswith("linux 6.1")
    assert not clock.ended
    check_all(clock)


@pytest.mark.parametrize("change", [{"system_time": 10_000_000}, {"system_time": -10_000_000}])
def test_a_page_that_is_10_ms_off_does_not_agree(clock: LinuxClock, change: dict[str, int]) -> None:
    wrong = with_pages(clock, **change)
    with pytest.raises(AssertionError):
        check_readings(wrong)
    with pytest.raises(AssertionError):
        check_stamps(wrong)


def test_a_wrong_rate_does_not_agree(clock: LinuxClock) -> None:
    wrong = with_pages(clock, tsc_to_system_mul=-1)
    with pytest.raises(AssertionError):
        check_rate(wrong)


def with_pages(clock: LinuxClock, **added: int) -> LinuxClock:
    """The recording with something added to a field of each page."""

    def changed(page: str) -> str:
        info = TimeInfo.parse(bytes.fromhex(page))
        values = {name: getattr(info, name) + delta for name, delta in added.items()}
        return replace(info, **values).build().hex()

    lines = (replace(e, page=changed(e.page)) if e.page else e for e in clock.lines)
    return replace(clock, lines=tuple(lines))
