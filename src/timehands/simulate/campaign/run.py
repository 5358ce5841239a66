"""Runs a campaign: seeds to workers, rows to the folder, never more in flight than is bounded.

The results are the same whoever does the work and in whatever order it comes back: a seed's rows
hang on the seed alone, and the summary on the rows alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from timehands.errors import SeedFailed, UsageError
from timehands.simulate.campaign import summary
from timehands.simulate.campaign.cluster import Cluster
from timehands.simulate.campaign.dataset import ROWS_PER_PART, Dataset
from timehands.simulate.campaign.job import Done, Job
from timehands.simulate.campaign.rows import Row
from timehands.simulate.campaign.summary import CampaignSummary, InMemory
from timehands.simulate.campaign.workers import Processes, ThisProcess, Workers

#: More seeds than this are a mistake: the list of those that are done would not fit in memory.
MAX_SEEDS = 1_000_000_000
MAX_JOBS = 1024
#: What a worker is given at once: about so much work, and never more than so many seeds.
_RANGE_NS = 250_000_000
_RANGE_SEEDS = 256
#: Rows that came are written after so long even if a part is not full: what a kill may cost.
_PART_NS = 30_000_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CampaignRequest:
    """What to run: ``job`` for each of ``seeds``, by whom, and where the rows go.

    ``jobs`` processes of this host do the work (None: as many as it has CPUs for us; 1: this
    process itself), or the Dask cluster of the scheduler at ``scheduler``. Without ``out`` nothing
    is kept but the summary. ``progress`` is told now and then how many seeds are done, of how many.
    """

    job: Job
    seeds: range
    jobs: int | None = None
    scheduler: str | None = None
    out: Path | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for what cannot be run."""
        if not 1 <= len(self.seeds) <= MAX_SEEDS or self.seeds.step != 1:
            raise UsageError(f"{len(self.seeds)} seeds: a campaign has 1 to {MAX_SEEDS:,}")
        if self.seeds.start < 0 or self.seeds.stop > 2**63:
            raise UsageError(f"seed {self.seeds.start}: seeds are 0 to 2^63 - 1")
        if self.jobs is not None and not 1 <= self.jobs <= MAX_JOBS:
            raise UsageError(f"{self.jobs} jobs: there can be 1 to {MAX_JOBS}")
        if self.jobs is not None and self.scheduler is not None:
            raise UsageError("jobs are processes of this host; a scheduler has its own workers")


def run_campaign(request: CampaignRequest) -> CampaignSummary:
    """Run what is not done yet, and sum up all that is.

    Ctrl-C (`KeyboardInterrupt`) ends it early: what is done is kept, and the summary says
    ``interrupted``. Raises `CampaignRefused`, `SeedFailed`, `WorkersLost`, `ClusterUnavailable`,
    `ExtraMissing`; what was done before is kept then, too.
    """
    start_ns = time.perf_counter_ns()
    with ExitStack() as stack:
        store: _Store = InMemory()
        done = np.zeros(len(request.seeds), bool)
        if request.out is not None:
            store = stack.enter_context(Dataset(request.out, request.job.identity))
            _mark_done(store, request.seeds, done)
        before = int(done.sum())
        campaign = _Campaign(request, done, _Writer(store))
        interrupted = campaign.run()
        torn = tuple(store.torn) if isinstance(store, Dataset) else ()
        return CampaignSummary(
            identity=dict(request.job.identity),
            seeds=request.seeds,
            done=int(done.sum()),
            resumed=before,
            unmet=summary.unmet(store, request.seeds),
            worst_seed=summary.worst_seed(store, request.seeds),
            figures=summary.figures(store, request.seeds),
            reads=summary.total(store, request.seeds, "reads"),
            took_ns=time.perf_counter_ns() - start_ns,
            interrupted=interrupted,
            lost_workers=campaign.lost,
            torn=torn,
            out=request.out,
        )


class _Store(summary.Results, Protocol):
    def write(self, rows: Sequence[Row]) -> object:
        """Keep rows of whole seeds."""


def _mark_done(store: summary.Results, seeds: range, done: np.ndarray[Any, Any]) -> None:
    for (column,) in store.columns("seed"):
        numbers = column.to_numpy()
        numbers = numbers[(numbers >= seeds.start) & (numbers < seeds.stop)]
        done[numbers - seeds.start] = True


@dataclass(slots=True)
class _Writer:
    """Rows that wait to become a part."""

    store: _Store
    rows: list[Row] = field(default_factory=list)
    since_ns: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        now_ns = time.monotonic_ns()
        if not self.rows:
            self.since_ns = now_ns
        self.rows += rows
        if len(self.rows) >= ROWS_PER_PART or now_ns - self.since_ns > _PART_NS:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.store.write(self.rows)
            self.rows = []


@dataclass(slots=True)
class _Campaign:
    request: CampaignRequest
    done: np.ndarray[Any, Any]
    writer: _Writer
    lost: int = 0
    #: Work and seeds that came back: how long a seed takes.
    _ns: int = 0
    _seeds: int = 0
    #: How many ranges the workers took when all of them were free.
    _width: int = 1

    def run(self) -> bool:
        """Do it all. Returns whether it was interrupted."""
        if self.done.all():
            return False
        workers: Workers | None = None
        try:
            workers = _workers(self.request)
            self._drive(workers)
        except KeyboardInterrupt:
            return True
        finally:
            if workers is not None:
                workers.close()
                self.lost = workers.lost
            self.writer.flush()
        return False

    def _drive(self, workers: Workers) -> None:
        todo = _Todo(self.done.copy(), self.request.seeds.start)
        self._width = max(1, workers.room)
        while True:
            while workers.room and (seeds := todo.take(self._length(todo.left))):
                workers.hand_in(seeds)
            if not workers.busy:
                return
            for done in workers.wait():
                self._keep(done)

    def _length(self, left: int) -> int:
        """How many seeds a worker gets at once: one until it is known how long they take.

        Towards the end fewer and fewer, so that all workers end at about the same time.
        """
        if not self._seeds:
            return 1
        in_time = _RANGE_NS * self._seeds // max(1, self._ns)
        return max(1, min(_RANGE_SEEDS, in_time, left // (2 * self._width)))

    def _keep(self, done: Done) -> None:
        self.writer.add(done.rows)
        first = self.request.seeds.start
        self.done[done.seeds.start - first : done.seeds.stop - first] = True
        self._ns += done.took_ns
        self._seeds += len(done.seeds)
        if done.failure:
            failure = done.failure
            raise SeedFailed(failure.seed, failure.message, traceback=failure.traceback)
        if self.request.progress:
            self.request.progress(int(self.done.sum()), len(self.request.seeds))


@dataclass(slots=True)
class _Todo:
    """The seeds that nobody has yet, as ranges."""

    taken: np.ndarray[Any, Any]
    first: int
    left: int = 0
    _at: int = 0

    def __post_init__(self) -> None:
        self.left = len(self.taken) - int(self.taken.sum())

    def take(self, length: int) -> range:
        """The next seeds that are one after the other, at most so many; empty when none is left."""
        end = len(self.taken)
        while self._at < end and self.taken[self._at]:
            self._at += _run(self.taken[self._at : self._at + _SCAN], True)
        start = self._at
        self._at += _run(self.taken[start : start + length], False)
        self.left -= self._at - start
        return range(self.first + start, self.first + self._at)


_SCAN = 1 << 16


def _run(flags: np.ndarray[Any, Any], value: bool) -> int:
    """How many of the first flags have the value."""
    others = np.flatnonzero(flags != value)
    return int(others[0]) if len(others) else len(flags)


def _workers(request: CampaignRequest) -> Workers:
    if request.scheduler is not None:
        return Cluster(request.job, request.scheduler)
    jobs = request.jobs or len(os.sched_getaffinity(0))
    jobs = min(jobs, len(request.seeds))
    return ThisProcess(request.job) if jobs == 1 else Processes(request.job, jobs)
