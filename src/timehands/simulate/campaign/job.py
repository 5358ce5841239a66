"""The work of a campaign: a job is run for one seed after the other, wherever there is a worker.

Whatever runs here may be in another process or on another computer: what comes in and what goes
out can be pickled, and what fails is told as a value.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from timehands import __version__
from timehands.simulate.campaign.rows import Row
from timehands.simulate.outcome import Outcome, VcpuOutcome
from timehands.simulate.run import EngineName, effective_reader, simulate
from timehands.simulate.scenario import Scenario


class Job(Protocol):
    """A simulation that awaits its seed. It can be pickled, and gives the same for a seed always.

    ``identity`` says in plain words what must be equal for two results to belong to one campaign
    (the scenario's digest, the provider, the reader).
    """

    @property
    def identity(self) -> Mapping[str, str]:
        """What makes this job this job."""

    def __call__(self, seed: int) -> list[Row]:
        """The rows of one seed, of every vCPU and of all of them."""


@dataclass(frozen=True, slots=True)
class ScenarioJob:
    """A scenario as the job of a campaign. `of` puts another provider or reader in its place."""

    scenario: Scenario
    engine: EngineName = "arrays"

    @classmethod
    def of(
        cls, scenario: Scenario, provider: str | None = None, reader: str | None = None
    ) -> ScenarioJob:
        """Raises `ScenarioError` for an unknown name."""
        provider, reader = provider or scenario.provider, reader or scenario.reader
        return cls(replace(scenario, provider=provider, reader=reader))

    @property
    def identity(self) -> Mapping[str, str]:
        """The scenario's digest tells all; the others are for people."""
        return {
            "scenario": self.scenario.digest,
            "provider": self.scenario.provider,
            "reader": effective_reader(self.scenario).name,
        }

    def __call__(self, seed: int) -> list[Row]:
        """Simulate it."""
        start_ns = time.perf_counter_ns()
        outcome = simulate(self.scenario, seed=seed, engine=self.engine)
        return rows_of(outcome, time.perf_counter_ns() - start_ns)


def rows_of(outcome: Outcome, wall_ns: int) -> list[Row]:
    """The rows of an outcome: all vCPUs together first."""
    unmet = sum(not one.met for one in outcome.expectations)
    jumps = [one.jump_ns for one in outcome.events]
    rows = [_row(outcome, outcome.all, jumps, unmet, wall_ns)]
    rows[0] = rows[0]._replace(
        warps_across=outcome.warps_across, worst_warp_across_ns=outcome.worst_warp_across_ns
    )
    for number, vcpu in enumerate(outcome.vcpus):
        jumps = [one.jumps_ns[number] for one in outcome.events]
        rows.append(_row(outcome, vcpu, jumps, unmet, wall_ns))
    return rows


def _row(
    outcome: Outcome, vcpu: VcpuOutcome, jumps: Sequence[int | None], unmet: int, wall_ns: int
) -> Row:
    jumped = [jump for jump in jumps if jump is not None]
    return Row(
        scenario=outcome.digest,
        seed=outcome.seed,
        provider=outcome.provider,
        reader=outcome.reader,
        vcpu=vcpu.vcpu,
        reads=vcpu.reads,
        warps=vcpu.warps,
        worst_warp_ns=vcpu.worst_warp_ns,
        warps_across=None,
        worst_warp_across_ns=None,
        stalls=vcpu.stalls,
        worst_stall_ns=vcpu.worst_stall_ns,
        rate_error_ppb=vcpu.rate_error_ppb,
        worst_rate_error_ppb=vcpu.worst_rate_error_ppb,
        offset_last_ns=vcpu.offset_last_ns,
        offset_worst_ns=vcpu.offset_worst_ns,
        worst_jump_ns=max(jumped, key=abs, default=None),
        refused=vcpu.refused,
        unmet=unmet,
        wall_ns=wall_ns,
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run of a seed failed."""

    seed: int
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker gives back for the seeds it was given: all rows, or those up to a failure."""

    seeds: range
    rows: list[Row]
    took_ns: int
    failure: Failure | None = None
    version: str = __version__


def run_seeds(job: Job, seeds: range) -> Done:
    """Run a job for some seeds; never raises what the job raises."""
    start_ns = time.perf_counter_ns()
    rows: list[Row] = []
    for seed in seeds:
        try:
            rows += (row.bounded() for row in job(seed))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            failure = Failure(seed, message, traceback.format_exc())
            done = range(seeds.start, seed)
            return Done(done, rows, time.perf_counter_ns() - start_ns, failure)
    return Done(seeds, rows, time.perf_counter_ns() - start_ns)
