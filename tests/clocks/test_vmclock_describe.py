"""VMClock in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.vmclock import Instant, VmClock
from timehands.clocks.vmclock_describe import describe, doubts
from timehands.clocks.vmclock_numbers import ClockStatus, CounterId, TimeType, VmClockFlag

GOOD = VmClock(
    counter_id=CounterId.X86_TSC,
    clock_status=ClockStatus.SYNCHRONIZED,
    flags=VmClockFlag.TAI_OFFSET_VALID | VmClockFlag.VM_GEN_COUNTER_PRESENT,
    tai_offset_sec=37,
    vm_generation_counter=0xABC,
).set_time(1000, Instant(1_795_232_565, 0), 2_500_000_000)


def test_a_good_structure_is_told_without_doubts() -> None:
    text = "\n".join(describe(GOOD))
    assert "x86 TSC, 2,500,000,000.000 Hz" in text
    assert "status       synchronised" in text
    assert "1795232565 s" in text
    assert "generation   0xabc" in text
    assert "TAI - UTC    37 s" in text
    assert doubts(GOOD, 4096) == ()


@given(st.binary(min_size=112, max_size=112))
def test_any_page_is_described(page: bytes) -> None:
    lines = describe(VmClock.parse(page))
    assert all(line.isprintable() for line in lines)
    assert any(line.startswith("odd") for line in lines) == bool(doubts(VmClock.parse(page)))


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        (VmClock(magic=0), "no VMClock"),
        (VmClock(version=2), "version 2"),
        (VmClock(size=104), "fields are missing"),
        (VmClock(size=8192), "Linux refuses"),
        (VmClock(seq_count=3), "odd"),
        (VmClock(pad=1), "padding"),
        (VmClock(flags=1 << 40), "unknown flags 0x10000000000"),
        (VmClock(time_type=9), "time_type 9"),
        (VmClock(leap_indicator=6), "leap_indicator 6"),
        (VmClock(counter_id=CounterId.X86_TSC), "period is 0"),
        (VmClock(counter_id=CounterId.X86_TSC, counter_period_shift=128), "undefined"),
        (VmClock(counter_id=CounterId.X86_TSC), "no guest can make UTC"),
        (VmClock(counter_id=CounterId.X86_TSC, flags=1, tai_offset_sec=-37), "positive"),
    ],
)
def test_what_is_odd_is_said(clock: VmClock, words: str) -> None:
    assert any(words in doubt for doubt in doubts(clock, 4096))


def test_a_structure_without_a_counter_is_not_asked_for_its_time() -> None:
    assert doubts(VmClock(time_type=TimeType.TAI), 4096) == ()
