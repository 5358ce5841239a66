"""A host's clocks: rates that are exact, dates that are set, slews that end."""

from __future__ import annotations

import pytest

from timehands.simulate.hosts import Host, HostSpec, cycles, scaled
from timehands.simulate.segments import NS_PER_S, Line


def test_a_tsc_counts_at_its_real_rate() -> None:
    host = Host(HostSpec(name="a", tsc_khz=2_500_000, drift_ppb=20_000, tsc_start=7))
    assert host.spec.hz == 2_500_050_000
    assert host.tsc(0).at(NS_PER_S) == 7 + 2_500_050_000


def test_the_raw_clock_is_the_tsc_in_believed_time() -> None:
    host = Host(HostSpec(name="a", tsc_khz=2_500_000, drift_ppb=20_000))
    assert host.raw_ns(NS_PER_S) == NS_PER_S + 20_000
    assert host.disciplined_ns(NS_PER_S) == NS_PER_S


def test_each_cpu_has_its_skew() -> None:
    host = Host(HostSpec(name="a", tsc_khz=1000, skew_cycles=(0, -3, 5), tsc_start=10))
    assert [host.tsc(cpu).at(0) for cpu in range(3)] == [10, 7, 15]
    assert not host.spec.tsc_agrees
    assert HostSpec(name="a", tsc_khz=1000, skew_cycles=(5, 5)).tsc_agrees


def test_a_step_moves_the_date_alone() -> None:
    host = Host(HostSpec(name="a", tsc_khz=1000, realtime_offset_ns=100))
    host.step(-30)
    assert host.realtime_ns(1000) == 1070
    assert host.disciplined_ns(1000) == 1000


def test_a_slew_lasts_as_long_as_it_was_asked_for() -> None:
    host = Host(HostSpec(name="a", tsc_khz=1000))
    host.slew(NS_PER_S, 2 * NS_PER_S, 500_000)
    at = [host.disciplined_ns(s * NS_PER_S) - s * NS_PER_S for s in (1, 2, 3, 9)]
    assert at == [0, 500_000, 1_000_000, 1_000_000]


def test_slews_that_are_over_and_that_overlap_add_up() -> None:
    host = Host(HostSpec(name="a", tsc_khz=1000))
    host.slew(0, NS_PER_S, 1000)
    host.slew(2 * NS_PER_S, 10 * NS_PER_S, 1000)
    host.slew(3 * NS_PER_S, NS_PER_S, -3000)
    assert host.disciplined_ns(4 * NS_PER_S) - 4 * NS_PER_S == 1000 + 2000 - 3000


@pytest.mark.parametrize(("guest_khz", "hz"), [(3_000_000, 3_000_000_000), (2_500_000, 25 * 10**8)])
def test_scaling_gives_the_guests_rate(guest_khz: int, hz: int) -> None:
    line = scaled(Line(5_000_000, 0, 2_500_000_000), guest_khz, 2_500_000)
    assert line == Line(5_000_000 * guest_khz // 2_500_000, 0, hz)


def test_cycles_are_rounded_down() -> None:
    assert cycles(3, 333_333) == 0
    assert cycles(NS_PER_S, 2_499_998) == 2_499_998_000
