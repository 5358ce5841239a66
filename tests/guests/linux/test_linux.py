from __future__ import annotations

import pytest

from timehands.guests.base import Need
from timehands.guests.linux import Linux
from timehands.guests.linux.plan import WANTED
from timehands.machines.initrd import MARK_INIT
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.plan import Function, Plan
from timehands.watch.records import Kind

LINUX = Linux()
PLAN = Plan(tuple(Function(wanted.name, 1, 2) for wanted in WANTED))
NUMBER = {function.name: number for number, function in enumerate(PLAN.functions)}


def _enters(name: str, *arguments: int) -> tuple[int, ...]:
    return (int(Kind.ENTER), 0, 0, 0, 0, 0, NUMBER[name], *(*arguments, 0, 0, 0)[:3], 0)


@pytest.mark.parametrize(
    ("mark", "record", "reached"),
    [
        (Mark.FIRST_INSTRUCTION, (int(Kind.FIRST), *[0] * 10), True),
        (Mark.KERNEL_ENTRY, _enters("start_kernel"), True),
        (Mark.KERNEL_ENTRY, _enters("tsc_init"), False),
        (Mark.TIMER_ARMED, _enters("tick_setup_device"), True),
        (Mark.TIMER_ARMED, _enters("tick_check_new_device"), False),
        (Mark.INIT, _enters("run_init_process"), True),
        (Mark.INIT, (int(Kind.CPUID), 0, 0, 0, 0, 0, MARK_INIT, 0, 0, 0, 0), True),
        (Mark.INIT, (int(Kind.CPUID), 0, 0, 0, 0, 0, MARK_INIT | 7 << 32, 0, 0, 0, 0), True),
        (Mark.INIT, (int(Kind.CPUID), 0, 0, 0, 0, 0, 0x15, 0, 0, 0, 0), False),
        (Mark.INIT, (int(Kind.ENTER), 0, 0, 0, 0, 0, 9999, 0, 0, 0, 0), False),
        (Mark.ENDED, _enters("panic"), False),
    ],
)
def test_a_boundary_is_seen_in_the_live_stream(
    mark: Mark, record: tuple[int, ...], reached: bool
) -> None:
    assert LINUX.reaches(mark, PLAN, record) is reached


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (Mark.KERNEL_ENTRY, "[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@"),
        (Mark.CLOCK_KNOWN, "[    0.000000] tsc: Detected 2596.155 MHz processor"),
        (Mark.CLOCK_KNOWN, "[    0.000000] kvm-clock: Using msrs 4b564d01 and 4b564d00"),
        (Mark.INIT, "[    1.4] Run /init as init process"),
    ],
)
def test_a_boundary_is_seen_on_the_console(mark: Mark, text: str) -> None:
    assert LINUX.told(mark, text)
    assert not LINUX.told(mark, text[::-1])
    assert not any(LINUX.told(other, text) for other in Mark if other is not mark)


def test_frequencies_are_told_in_whole_khz() -> None:
    def told(hz: int) -> str:
        (remedy,) = LINUX.remedies(Need.TSC_FREQUENCY, hz)
        return remedy.argument

    assert told(2_500_000_000) == "tsc_early_khz=2500000"
    assert told(2_499_999_500) == "tsc_early_khz=2500000"
    assert told(2_499_999_499) == "tsc_early_khz=2499999"
    assert LINUX.remedies(Need.TSC_FREQUENCY, None) == ()


#: What Linux answers whatever the frequency is.
NEEDS = (Need.TRUST_TSC, Need.NO_TIMER_CALIBRATION, Need.PVCLOCK, Need.NO_I8042)


@pytest.mark.parametrize("need", NEEDS)
def test_every_other_need_has_a_remedy_that_says_why(need: Need) -> None:
    for remedy in LINUX.remedies(need, None):
        assert remedy.argument and " " not in remedy.argument
        assert remedy.why
    assert LINUX.remedies(need, None)


def test_linux_has_no_trouble_with_early_delays_nor_a_calibration_by_a_dummy() -> None:
    for need in (Need.EARLY_DELAY, Need.CALIBRATION_REFERENCE):
        assert LINUX.remedies(need, None) == ()


def test_a_boot_ends_by_itself() -> None:
    arguments = LINUX.arguments(Machine())
    assert "console=ttyS0" in arguments
    assert {"reboot=t", "panic=-1"} <= set(arguments)
