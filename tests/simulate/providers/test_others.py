"""NVMM, Xen and bare TSCs: hand-computed times around exits, moves and stops."""

from __future__ import annotations

import pytest

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.simulate.events import ClockAt, TscAt, Vmm
from timehands.simulate.hosts import Host, HostSpec
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.providers.base import Going, Provider
from timehands.simulate.segments import NS_PER_S

GHZ = 1_000_000


def made(name: str, vcpus: int = 1, **ways: object) -> Provider:
    """At 1 GHz a cycle is a ns, and the factors lose nothing."""
    host = Host(HostSpec(name="a", tsc_khz=GHZ, **ways))  # type: ignore[arg-type]
    provider = PROVIDERS[name](host, vcpus, GHZ)
    provider.boot(0)
    return provider


def read(provider: Provider, vcpu: int, t_ns: int) -> int:
    page = provider.page(vcpu)
    assert isinstance(page, TimeInfo)
    return nanoseconds(page, provider.tsc(vcpu).at(t_ns))


def away(provider: Provider, t_ns: int, until_ns: int, *, commits: bool, cpu: int = 0) -> None:
    provider.left(0, t_ns, commits=commits)
    provider.enters(0, until_ns, cpu)


def test_nvmm_loses_an_exit_that_is_committed() -> None:
    nvmm = made("nvmm")
    away(nvmm, 1000, 1400, commits=True)
    assert nvmm.tsc(0).at(1400) == 1000
    away(nvmm, 2000, 2100, commits=True)
    assert nvmm.tsc(0).at(3000) == 3000 - 400 - 100


def test_nvmm_keeps_an_exit_that_is_not_committed_on_the_same_cpu() -> None:
    nvmm = made("nvmm")
    away(nvmm, 1000, 1400, commits=False)
    assert nvmm.tsc(0).at(1400) == 1400


def test_nvmm_loses_every_move() -> None:
    nvmm = made("nvmm", skew_cycles=(0, 77))
    away(nvmm, 1000, 1400, commits=False, cpu=1)
    assert nvmm.tsc(0).at(1400) == 1000


def test_nvmm_resumes_after_a_pause_as_if_nothing_was() -> None:
    nvmm = made("nvmm")
    nvmm.left(0, 5000, commits=False)
    saved = nvmm.stopped(5000)
    nvmm.goes_on(9000, nvmm.host, saved, Going(ClockAt.SET, TscAt.KEEP, Vmm(), False))
    nvmm.enters(0, 9000, 0)
    assert nvmm.tsc(0).at(9500) == 5500


def test_the_uptime_recorded_at_exit_is_late_by_the_exit_until_the_next() -> None:
    nvmm = made("nvmm-uptime")
    away(nvmm, 1000, 1400, commits=True)
    assert read(nvmm, 0, 1900) == 1900 - 400
    away(nvmm, 2000, 2010, commits=True)
    assert read(nvmm, 0, 2500) == 2500 - 10


def test_pvclock_at_the_entry_that_sets_the_tsc_is_right() -> None:
    nvmm = made("nvmm-pvclock", skew_cycles=(0, -500))
    away(nvmm, 1000, 1400, commits=True)
    assert read(nvmm, 0, 1400) == 1400
    away(nvmm, 2000, 2100, commits=False, cpu=1)
    assert read(nvmm, 0, 2500) == 2500
    page = nvmm.page(0)
    assert page is not None
    assert not page.stable


def test_xen_renews_its_stamps_every_second_and_on_another_cpu() -> None:
    xen = made("xen", skew_cycles=(0, 500))
    assert xen.next_timer_ns() == NS_PER_S
    xen.timer(NS_PER_S)
    assert read(xen, 0, NS_PER_S + 300) == NS_PER_S + 300
    away(xen, NS_PER_S + 400, NS_PER_S + 500, commits=False, cpu=1)
    assert read(xen, 0, NS_PER_S + 600) == NS_PER_S + 600
    page = xen.page(0)
    assert page is not None
    assert (page.stable, page.system_time) == (False, NS_PER_S)


def test_a_bare_tsc_goes_on_through_anything() -> None:
    tsc = made("tsc")
    away(tsc, 1000, 1400, commits=True)
    assert tsc.tsc(0).at(1400) == 1400
    assert tsc.page(0) is None
    none = made("none", tsc_start=77)
    assert not none.write_tsc(0, 100, 0, by_guest=True)
    assert none.tsc(0).at(100) == 177


@pytest.mark.parametrize("name", ["tsc", "xen", "nvmm", "nvmm-uptime", "nvmm-pvclock"])
def test_a_restored_tsc_continues_on_another_host(name: str) -> None:
    provider = made(name, vcpus=2)
    saved = provider.stopped(5000)
    other = Host(HostSpec(name="b", tsc_khz=GHZ, tsc_start=123))
    ways = Vmm(tsc_gap_ns=30)
    provider.goes_on(9000, other, saved, Going(ClockAt.SET, TscAt.RESTORE, ways, True))
    assert [provider.tsc(v).at(9100) for v in range(2)] == [5100, 5070]


def test_time_that_passed_is_added_to_a_tsc_that_advances() -> None:
    provider = made("tsc")
    saved = provider.stopped(5000)
    other = Host(HostSpec(name="b", tsc_khz=GHZ))
    provider.goes_on(9000, other, saved, Going(ClockAt.REALTIME, TscAt.ADVANCE, Vmm(), True))
    assert provider.tsc(0).at(9100) == 9100


def test_each_provider_is_called_by_its_name() -> None:
    assert all(provider.name == name for name, provider in PROVIDERS.items())
    assert {name for name, p in PROVIDERS.items() if not p.has_page} == {"nvmm", "tsc", "none"}
