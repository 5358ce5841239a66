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

FOLDER = Path(__file__).parent


def recording(name: str) -> LinuxClock:
    return LinuxClock.from_json(json.loads((FOLDER / name).read_text()))


@pytest.fixture
def clock() -> LinuxClock:
    return recording("linux_clock.json")


@pytest.mark.parametrize(
    ("name", "ours"), [("linux_clock.json", False), ("linux_clock_ours.json", True)]
)
def test_the_recorded_guest_agrees_with_its_page(name: str, ours: bool) -> None:
    clock = recording(name)
    assert clock.kernel.startswith("linux 6.1")
    assert (clock.ended, clock.ours) == ("", ours)
    check_all(clock)


def test_the_guest_takes_the_rate_that_our_page_tells_and_loses_a_khz() -> None:
    clock = recording("linux_clock_ours.json")
    assert clock.tsc_khz == 2_900_015
    assert [line.text for line in clock.lines if "tsc: Detected 2900.014 MHz" in line.text]


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
