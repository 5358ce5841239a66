"""The reference engine on windows made by hand: every figure is worked out on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.simulate.readers import READERS, refuses
from timehands.simulate.scalar import ScalarEngine
from timehands.simulate.segments import Line, Segment, Window
from timehands.simulate.tally import Read, Tallies, Tally, signed

#: At 1 GHz, mul 2^31 and shift 1 a cycle is a ns.
PAGE = TimeInfo(2, 1000, 5000, 1 << 31, 1, 1)
LINE = Line(1000, 0, 10**9)


def evaluated(
    *segments: Segment, reader: str = "linux", vcpus: int = 1, paused_ns: int = 0
) -> Tallies:
    tallies = Tallies(READERS[reader], [Tally() for _ in range(vcpus)])
    ScalarEngine(tallies).window(Window(0, 1000, segments, paused_ns=paused_ns))
    return tallies


def test_a_clock_that_is_right_but_for_its_beginning() -> None:
    tally = evaluated(Segment(0, 0, 1000, LINE, PAGE, 10)).vcpus[0]
    assert tally == Tally(
        reads=10, low_ns=5000, high_ns=5000, first=Read(0, 5000), last=Read(900, 5900),
        held_due_ns=900,
    )  # fmt: skip


def test_what_is_due_is_less_by_the_pauses() -> None:
    tally = evaluated(Segment(0, 500, 600, LINE, PAGE, 1), paused_ns=400).vcpus[0]
    assert tally.last == Read(100, 5500)
    assert (tally.low_ns, tally.high_ns) == (5400, 5400)


def test_a_step_back_is_a_warp_by_its_size() -> None:
    back = replace(PAGE, system_time=4700)
    first, second = Segment(0, 0, 100, LINE, PAGE, 2), Segment(0, 100, 200, LINE, back, 2)
    tally = evaluated(first, second).vcpus[0]
    assert (tally.warps, tally.worst_warp_ns) == (1, 5050 - 4800)


def test_a_single_ns_is_a_step_back_and_none_is_a_stall() -> None:
    for system_time, warps, stalls in ((4899, 1, 0), (4900, 0, 1), (4901, 0, 0)):
        later = replace(PAGE, system_time=system_time)
        first, second = Segment(0, 0, 50, LINE, PAGE, 1), Segment(0, 100, 150, LINE, later, 1)
        tallies = evaluated(first, second)
        assert (tallies.vcpus[0].warps, tallies.vcpus[0].stalls) == (warps, stalls)
        assert (tallies.across.warps, tallies.across.worst_warp_ns) == (warps, warps)


def test_a_clock_that_stands_still_stalls() -> None:
    slow = Line(1000, 0, 10_000_000)
    tally = evaluated(Segment(0, 0, 250, slow, PAGE, 25)).vcpus[0]
    # A cycle lasts 100 ns: reads at 0, 10, .. 240; equal ones from 0 to 90, 100 to 190, 200 to 240.
    assert (tally.stalls, tally.worst_stall_ns, tally.warps) == (9 + 9 + 4, 90, 0)


def test_vcpus_that_disagree_warp_across_but_not_by_themselves() -> None:
    behind = replace(PAGE, system_time=4970)
    one, two = Segment(0, 0, 1000, LINE, PAGE, 10), Segment(1, 50, 1050, LINE, behind, 10)
    tallies = evaluated(one, two, reader="unclamped", vcpus=2)
    assert [t.warps for t in tallies.vcpus] == [0, 0]
    # vCPU 1 reads 50 ns after vCPU 0 and is 30 behind: 20 ahead of it; then vCPU 0 is 80 ahead.
    assert tallies.across.warps == 0
    far = replace(PAGE, system_time=4900)
    tallies = evaluated(one, two._replace(page=far), reader="unclamped", vcpus=2)
    assert (tallies.across.warps, tallies.across.worst_warp_ns) == (10, 50)


def test_reads_at_one_moment_are_in_no_order() -> None:
    far = replace(PAGE, system_time=4999)
    pair = Segment(0, 0, 1000, LINE, PAGE, 10), Segment(1, 0, 1000, LINE, far, 10)
    assert evaluated(*pair, reader="unclamped", vcpus=2).across.warps == 0
    assert evaluated(*reversed(pair), reader="unclamped", vcpus=2).across.warps == 0


def test_the_last_value_of_any_vcpu_holds() -> None:
    unstable = replace(PAGE, flags=0)
    far = replace(unstable, system_time=4900)
    one, two = Segment(0, 0, 1000, LINE, unstable, 10), Segment(1, 50, 1050, LINE, far, 10)
    tallies = evaluated(one, two, vcpus=2)
    assert tallies.across.warps == 0
    assert tallies.vcpus[1].first == Read(50, 5000)
    assert tallies.last_value_ns == 5900


def test_the_last_value_does_not_count_for_stable_pages() -> None:
    far = replace(PAGE, system_time=4900)
    one, two = Segment(0, 0, 1000, LINE, PAGE, 10), Segment(1, 50, 1050, LINE, far, 10)
    assert evaluated(one, two, vcpus=2).across.warps == 10


@pytest.mark.parametrize(
    ("reader", "page", "refused"),
    [
        ("linux", replace(PAGE, version=0), True),
        ("linux", replace(PAGE, version=3), True),
        ("linux", PAGE, False),
        ("linux", replace(PAGE, flags=0), False),
        ("openbsd-1", replace(PAGE, flags=0), True),
        ("openbsd-1", PAGE, False),
        ("linux-vdso", replace(PAGE, flags=0), True),
    ],
)
def test_what_is_refused_is_counted_and_gives_no_time(
    reader: str, page: TimeInfo, refused: bool
) -> None:
    assert refuses(READERS[reader], page) is refused
    tally = evaluated(Segment(0, 0, 100, LINE, page, 3), reader=reader).vcpus[0]
    assert (tally.reads, tally.refused, tally.last is None) == (3, 3 * refused, refused)


def test_a_tsc_before_the_page_is_centuries_ahead_unless_the_delta_is_clamped() -> None:
    early = Segment(0, 0, 1, Line(999, 0, 10**9), PAGE, 1)
    assert evaluated(early, reader="linux").vcpus[0].last == Read(0, 5000 + 2**63 - 1)
    assert evaluated(early, reader="netbsd").vcpus[0].last == Read(0, 5000)


def test_signed_offsets() -> None:
    assert [signed(n) for n in (0, -1, 2**64 - 1, 2**63, 2**63 - 1, -(2**63))] == [
        0, -1, -1, -(2**63), 2**63 - 1, -(2**63),
    ]  # fmt: skip
