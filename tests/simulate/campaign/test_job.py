"""A scenario as the job of a campaign: its rows are its outcome's figures."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from timehands.errors import ScenarioError
from timehands.simulate.campaign import ALL_VCPUS, CampaignRequest, Row, ScenarioJob, run_campaign
from timehands.simulate.expectations import parse
from timehands.simulate.hosts import HostSpec
from timehands.simulate.run import simulate
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.units import Span

SCENARIO = Scenario(
    title="exits that cost time",
    hosts=(HostSpec(name="host", tsc_khz=2_500_000),),
    duration_ns=2 * 10**8,
    vcpus=2,
    reads_per_s=20_000,
    provider="nvmm",
    reader="tsc",
    load=Load(exits=Away(every=Span(50_000, 200_000), length=Span(5_000, 40_000))),
    expect=(parse("warps", 0), parse("refused", "> 5")),
)


def test_rows_hold_the_figures_of_the_outcome() -> None:
    outcome = simulate(SCENARIO, seed=3)
    together, *each = ScenarioJob(SCENARIO)(3)
    assert (together.vcpu, [row.vcpu for row in each]) == (ALL_VCPUS, [0, 1])
    for row, figures in zip([together, *each], [outcome.all, *outcome.vcpus], strict=True):
        same = [name for name in Row._fields if hasattr(figures, name)]
        assert len(same) > 9
        assert [getattr(row, name) for name in same] == [getattr(figures, name) for name in same]
        assert (row.scenario, row.seed, row.unmet) == (SCENARIO.digest, 3, 1)
    assert together.warps_across == outcome.warps_across
    assert {row.warps_across for row in each} == {None}


def test_both_engines_give_the_same_rows() -> None:
    fast, reference = ScenarioJob(SCENARIO)(9), ScenarioJob(SCENARIO, "scalar")(9)
    assert [r._replace(wall_ns=0) for r in fast] == [r._replace(wall_ns=0) for r in reference]


def test_another_provider_is_another_campaign() -> None:
    own, other = ScenarioJob.of(SCENARIO), ScenarioJob.of(SCENARIO, "kvm", "linux")
    assert own.identity == ScenarioJob(SCENARIO).identity
    assert own.identity["scenario"] != other.identity["scenario"]
    assert (other.identity["provider"], other.identity["reader"]) == ("kvm", "linux")
    with pytest.raises(ScenarioError):
        ScenarioJob.of(SCENARIO, provider="no such provider")


def test_a_job_travels() -> None:
    job = ScenarioJob(SCENARIO)
    assert pickle.loads(pickle.dumps(job)) == job


def test_processes_give_what_this_one_gives() -> None:
    alone, together = (
        run_campaign(CampaignRequest(ScenarioJob(SCENARIO), range(6), jobs=jobs)) for jobs in (1, 2)
    )
    assert alone.figures == together.figures
    assert alone.unmet == 6
    assert replace(alone, took_ns=0) == replace(together, took_ns=0)
