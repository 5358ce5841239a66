"""Campaigns: one simulation for thousands of seeds, by processes or by a Dask cluster.

    from timehands.simulate.campaign import CampaignRequest, ScenarioJob, run_campaign
    from timehands.simulate.scenario_file import shipped

    job = ScenarioJob.of(shipped("restore-jumps"), provider="xen")
    summary = run_campaign(CampaignRequest(job, range(10_000), out=Path("restores.parquet")))

`job` says what is run, `workers` and `cluster` by whom, `dataset` where the rows go, `rows` what
they are, `summary` what they come to, `run` puts them together.
"""

from timehands.simulate.campaign.job import Job, ScenarioJob
from timehands.simulate.campaign.rows import ALL_VCPUS, Row
from timehands.simulate.campaign.run import CampaignRequest, run_campaign
from timehands.simulate.campaign.summary import CampaignSummary, Figure

__all__ = [
    "ALL_VCPUS",
    "CampaignRequest",
    "CampaignSummary",
    "Figure",
    "Job",
    "Row",
    "ScenarioJob",
    "run_campaign",
]
