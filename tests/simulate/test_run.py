"""Whole simulations: reproducible, equal on both engines, right where they must be, and judged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.made import REAL_KHZ, scenarios
from timehands.errors import ScenarioError
from timehands.simulate import events
from timehands.simulate.events import ClockAt, Vmm
from timehands.simulate.expectations import parse
from timehands.simulate.hosts import HostSpec
from timehands.simulate.policy import Policy
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.run import simulate
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.units import Span

MS = 10**6
S = 10**9
HOST = HostSpec(name="a", tsc_khz=1_000_000)
CLAMPING = ("linux", "freebsd", "netbsd", "openbsd")


@settings(max_examples=25)
@given(scenarios(), st.integers(0, 2**64))
def test_both_engines_give_the_same_outcome(scenario: Scenario, seed: int) -> None:
    scalar = simulate(scenario, seed=seed, engine="scalar")
    assert simulate(scenario, seed=seed, engine="arrays") == scalar


@settings(max_examples=10)
@given(scenarios(), st.integers(0, 10))
def test_a_seed_gives_the_same_outcome_always(scenario: Scenario, seed: int) -> None:
    once = simulate(scenario, seed=seed)
    assert simulate(scenario, seed=seed) == once
    assert json.loads(json.dumps(once.to_json())) == once.to_json()


def test_another_seed_gives_another_outcome() -> None:
    load = Load(exits=Away(every=Span(MS, 9 * MS), length=Span(1, MS)))
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=S, provider="nvmm", load=load)
    outcomes = {simulate(scenario, seed=seed).all.offset_last_ns for seed in range(5)}
    assert len(outcomes) == 5


# What must hold of a good provider, whatever happens.

_GOOD = scenarios(
    providers=("kvm",),
    readers=("linux", "linux-vdso", "freebsd", "netbsd", "openbsd", "unclamped"),
    agree=True,
    khz=REAL_KHZ,
    vmms=st.builds(Vmm, tsc_gap_ns=st.sampled_from((0, 30_000))),
    writes=False,
)


@settings(max_examples=25)
@given(_GOOD, st.integers(0, 3))
def test_kvm_with_a_master_clock_and_scaling_never_goes_back(scenario: Scenario, seed: int) -> None:
    """Neither on a vCPU nor from one to another, and no page is without TSC_STABLE."""
    outcome = simulate(scenario, seed=seed)
    assert (outcome.all.warps, outcome.warps_across, outcome.all.unstable_reads) == (0, 0, 0)
    assert outcome.all.refused == 0


@settings(max_examples=25)
@given(_GOOD, st.integers(0, 3))
def test_no_restore_makes_a_monotonic_clock_jump(scenario: Scenario, seed: int) -> None:
    """Between the reads on both sides lie at most a read's distance of running, in which a clock
    that is 50 ppm off gains as much, and some roundings to whole ns.
    """
    outcome = simulate(scenario, seed=seed)
    if scenario.policy is Policy.WALL:
        return
    away = (scenario.load.exits, scenario.load.descheduled, scenario.load.migrations)
    between_ns = 2 * S // scenario.reads_per_s + sum(a.length.high for a in away if a) * 20
    for event in outcome.events:
        if event.jump_ns is not None:
            assert abs(event.jump_ns) <= 5 + between_ns * 51 // 10**6


@settings(max_examples=25)
@given(scenarios(readers=CLAMPING, khz=REAL_KHZ, writes=False), st.integers(0, 3))
def test_a_last_value_never_goes_back_from_page_to_page(scenario: Scenario, seed: int) -> None:
    """As long as no page says TSC_STABLE."""
    outcome = simulate(scenario, seed=seed)
    if outcome.reader != "tsc" and outcome.all.unstable_reads == outcome.all.reads:
        assert (outcome.all.warps, outcome.warps_across) == (0, 0)


# Small ones, worked out on paper.


def nvmm(commit_percent: int, provider: str = "nvmm") -> Scenario:
    load = Load(
        exits=Away(every=Span(9 * MS, 9 * MS), length=Span(MS, MS)), commit_percent=commit_percent
    )
    return Scenario(
        title="", hosts=(HOST,), duration_ns=2 * S, provider=provider, reader="unclamped",
        load=load, reads_per_s=1000,
    )  # fmt: skip


def test_nvmm_loses_what_it_is_away() -> None:
    """1 ms of every 10: 199 exits are over when the last read comes."""
    outcome = simulate(nvmm(100), engine="scalar")
    assert outcome.reader == "tsc"
    assert outcome.all.offset_last_ns == -199 * MS
    assert outcome.all.reads == 1800
    assert (outcome.all.warps, outcome.all.stalls) == (0, 0)
    # From 0 to the last read at 1998 ms.
    assert outcome.all.rate_error_ppb == round(-199 * MS * S / (1998 * MS))


def test_nvmm_keeps_what_is_not_committed() -> None:
    assert simulate(nvmm(0)).all.offset_worst_ns == 0


def test_the_uptime_at_exit_is_late_by_one_exit() -> None:
    outcome = simulate(nvmm(100, "nvmm-uptime"))
    assert (outcome.all.offset_worst_ns, outcome.all.offset_last_ns) == (-MS, -MS)


@pytest.mark.parametrize("policy", Policy)
def test_a_pause_is_owed_or_not(policy: Policy) -> None:
    pause = events.Pause(at_ns=2 * S, for_ns=3 * S, vmm=Vmm(clock=ClockAt.SET))
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=8 * S, events=(pause,), policy=policy, vcpus=2
    )
    outcome = simulate(scenario, engine="scalar")
    jump = 0 if policy is Policy.MONOTONIC else -3 * S
    assert outcome.events[0].jumps_ns == (jump, jump)
    assert outcome.events[0].told
    assert outcome.all.offset_last_ns == jump
    assert outcome.wall_offset_ns == -3 * S
    assert outcome.all.worst_rate_error_ppb == 0


def test_a_tsc_jumps_by_a_pause_that_a_vmm_does_not_mend() -> None:
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=40 * S, reader="tsc",
        events=(events.Pause(at_ns=S, for_ns=30 * S, vmm=Vmm(kvmclock_ctrl=events.Ctrl.NEVER)),),
    )  # fmt: skip
    outcome = simulate(scenario)
    assert outcome.events[0].jump_ns == 30 * S
    assert outcome.events[0].lockup


def test_two_events_at_a_time_are_told_apart() -> None:
    steps = (
        events.TscWrite(at_ns=S, value=10 * S),
        events.ClockStep(at_ns=S, host=0, by_ns=S),
        events.Pause(at_ns=S, for_ns=S),
        events.ClockStep(at_ns=S + 5, host=0, by_ns=S),
    )
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=3 * S, events=steps)
    outcome = simulate(scenario)
    jumps = [event.jump_ns for event in outcome.events]
    assert jumps == [None, None, 0, None]
    assert [event.at_ns for event in outcome.events] == [S, S, S, S + 5]


def test_set_date_sets_the_date_and_its_error() -> None:
    scenario = Scenario(
        title="", hosts=(HostSpec(name="a", tsc_khz=1_000_000, realtime_offset_ns=5 * S),),
        duration_ns=9 * S,
        events=(
            events.Pause(at_ns=S, for_ns=S),
            events.ClockStep(at_ns=3 * S, host=0, by_ns=-2 * S),
            events.SetDate(at_ns=4 * S),
        ),
    )  # fmt: skip
    assert simulate(scenario).wall_offset_ns == 3 * S
    without = Scenario(
        title="", hosts=scenario.hosts, duration_ns=9 * S, events=scenario.events[:2]
    )
    assert simulate(without).wall_offset_ns == 5 * S - S


def test_expectations_are_of_the_scenario_s_own_provider() -> None:
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=S, expect=(parse("warps", 0), parse("stalls", ">= 1"))
    )
    own = simulate(scenario)
    assert [one.met for one in own.expectations] == [True, False]
    assert not own.passed
    assert simulate(scenario, provider="kvm", reader="linux").expectations == own.expectations
    assert simulate(scenario, provider="xen").expectations == ()
    assert simulate(scenario, reader="freebsd").expectations == ()


def test_what_cannot_be_told_is_not_as_expected() -> None:
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=S, expect=(parse("worst_jump", "<= 1 h"),)
    )
    assert simulate(scenario).expectations[0].value is None
    assert not simulate(scenario).passed


@pytest.mark.parametrize("what", ["provider", "reader"])
def test_an_unknown_name_is_refused(what: str) -> None:
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=S)
    names = {"provider": "kvm", "reader": "linux"} | {what: "x"}
    with pytest.raises(ScenarioError, match=f"no {what} is called 'x'"):
        simulate(scenario, provider=names["provider"], reader=names["reader"])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_guest_that_is_never_disturbed_has_a_good_clock(provider: str) -> None:
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=3 * S, vcpus=2, provider=provider)
    outcome = simulate(scenario)
    assert (outcome.all.offset_worst_ns, outcome.warps_across, outcome.all.stalls) == (0, 0, 0)


def test_samples_are_bounded_and_in_order() -> None:
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=100 * S, reads_per_s=1000)
    (line,) = simulate(scenario).samples
    assert 300 < len(line) <= 402
    assert [point.t_ns for point in line] == sorted({point.t_ns for point in line})
