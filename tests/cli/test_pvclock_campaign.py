"""What a campaign prints: the verdict first, each figure's quantiles, the worst seed."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from campaign_jobs import MadeUp
from timehands.cli import pvclock_campaign
from timehands.errors import UsageError
from timehands.simulate.campaign import CampaignRequest, run_campaign
from timehands.simulate.hosts import HostSpec
from timehands.simulate.scenario import Scenario

SCENARIO = Scenario(
    title="nothing happens",
    hosts=(HostSpec(name="host", tsc_khz=2_500_000),),
    duration_ns=10**6,
)


def parsed(*words: str) -> argparse.Namespace:
    """The options, with those that ``simulate`` has itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    parser.add_argument("--provider")
    parser.add_argument("--reader")
    parser.add_argument("--engine", default="arrays")
    pvclock_campaign.add_options(parser)
    return parser.parse_args(words)


def test_the_options_become_a_request(tmp_path: Path) -> None:
    args = parsed("--seed", "7", "--seeds", "5", "--jobs", "2", "--out", str(tmp_path / "c"))
    assert pvclock_campaign.wanted(args)
    request = pvclock_campaign.request_from(args, SCENARIO)
    assert (request.seeds, request.jobs, request.out) == (range(7, 12), 2, tmp_path / "c")
    assert request.job.identity["scenario"] == SCENARIO.digest
    other = pvclock_campaign.request_from(parsed("--seeds", "5", "--provider", "xen"), SCENARIO)
    assert other.job.identity["provider"] == "xen"


@pytest.mark.parametrize("option", ["--jobs=2", "--scheduler=tcp://127.0.0.1:1", "--out=x"])
def test_options_of_a_campaign_need_one(option: str) -> None:
    assert not pvclock_campaign.wanted(parsed())
    with pytest.raises(UsageError, match="--seeds N"):
        pvclock_campaign.wanted(parsed(option))


def test_a_page_tells_the_verdict_the_figures_and_the_worst_seed() -> None:
    summary = run_campaign(CampaignRequest(MadeUp(), range(100), jobs=1))
    lines = list(pvclock_campaign.page(summary, "made-up"))
    assert lines[0].startswith("✗")
    assert f"100 seeds: {summary.unmet} do not do" in lines[0]
    assert all(len(line) <= 100 for line in lines)
    worst = next(line for line in lines if line.startswith("worst warp "))
    figure = next(one for one in summary.figures if one.name == "worst_warp_ns")
    assert worst.split()[-1] == str(figure.worst_seed)
    assert f"{figure.greatest} ns" in worst
    assert lines[-1].endswith(f"--seed {summary.worst_seed}")


@pytest.mark.parametrize("as_json", [True, False])
def test_running_prints_and_returns_whether_all_was_as_expected(
    as_json: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    args = parsed("--seeds", "3", "--jobs", "1", "--out", str(tmp_path / "c.parquet"))
    request = pvclock_campaign.request_from(args, SCENARIO)
    assert pvclock_campaign.run(request, "nothing", as_json=as_json) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    if as_json:
        data = json.loads(printed.out)
        assert (data["schema"], data["done"], data["name"]) == (1, 3, "nothing")
        assert data["figures"]["warps"]["greatest"] == 0
    else:
        assert "✓          3 seeds: all of them do what the scenario expects" in printed.out
        assert str(tmp_path) in printed.out


def test_an_interrupted_campaign_says_so(tmp_path: Path) -> None:
    whole = run_campaign(CampaignRequest(MadeUp(), range(5), jobs=1))
    part = replace(whole, interrupted=True, unmet=0, seeds=range(9), out=tmp_path)
    lines = list(pvclock_campaign.page(part, "made-up"))
    assert lines[0].startswith("!          5 of 9 seeds")
    assert " ".join(" ".join(lines[:2]).split()).endswith("the same command goes on")
