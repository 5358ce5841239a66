"""The work of a campaign on a Dask cluster: the scheduler's address is all that has to be known.

At most a few ranges of seeds for each thread of the cluster are with it at any time. Dask itself
gives the work of a lost worker to another; after `RETRIES` such losses it gives up on a range, and
so do we. The workers need the same version of Timehands as the one that asks them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from timehands import __version__
from timehands.errors import ClusterUnavailable, ExtraMissing, WorkersLost
from timehands.simulate.campaign.job import Done, Job, run_seeds

#: How long the scheduler, or the first worker, may take to be there.
CONNECT_S = 10
WORKERS_S = 30
#: How many ranges each of the cluster's threads has waiting: it need not wait for our answer.
AHEAD = 2
RETRIES = 5


class Cluster:
    """A connection to a Dask scheduler, as `Workers`. Raises `ClusterUnavailable`."""

    def __init__(self, job: Job, address: str, *, workers_s: float = WORKERS_S) -> None:
        distributed = _distributed()
        self.lost = 0
        self._job, self._address = job, address
        self._timeouts = (TimeoutError, asyncio.TimeoutError, OSError, ValueError)
        self._killed: type[Exception] = distributed.KilledWorker
        try:
            with ThreadPoolExecutor(1) as aside:  # the caller may run an event loop of its own
                aside.submit(asyncio.run, _knock(distributed, address)).result()
            self._client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except self._timeouts as error:
            raise _unreachable(address, error) from error
        self._pending: dict[Any, range] = {}
        self._completed = distributed.as_completed(loop=self._client.loop)
        self._workers = self._threads = 0
        try:
            self._client.wait_for_workers(1, timeout=workers_s)
            self._look()
        except self._timeouts as error:
            self.close()
            raise ClusterUnavailable(
                f"the Dask scheduler at {address} has no workers",
                advice=f"Start some, on any computer: dask worker {address}",
            ) from error

    def _look(self) -> None:
        """How large the cluster is now. Workers come and go."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self.lost += max(0, self._workers - len(workers))
        self._workers = len(workers)
        self._threads = sum(one["nthreads"] for one in workers.values()) or self._threads or 1

    @property
    def room(self) -> int:
        """A few for each thread."""
        return max(0, AHEAD * self._threads - len(self._pending))

    @property
    def busy(self) -> bool:
        """Whether anything is with the cluster."""
        return bool(self._pending)

    def hand_in(self, seeds: range) -> None:
        """Send a range to the cluster."""
        future = self._client.submit(run_seeds, self._job, seeds, pure=False, retries=RETRIES)
        self._pending[future] = seeds
        self._completed.add(future)

    def wait(self) -> list[Done]:
        """What is done. Raises `ClusterUnavailable`, `WorkersLost`."""
        future = next(self._completed)
        seeds = self._pending.pop(future)
        try:
            done = future.result(timeout=CONNECT_S)
        except self._killed as error:
            raise WorkersLost(seeds, times=RETRIES + 1, how="killed, says Dask") from error
        except Exception as error:
            raise self._failed(error) from error
        finally:
            with contextlib.suppress(Exception):
                future.release()
        self._look()
        return [self._checked(done)]

    def _failed(self, error: Exception) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"the Dask cluster at {self._address} failed: {type(error).__name__}: {error}",
            advice="What was done is kept. The workers need this version of Timehands, "
            f"{__version__}.",
        )

    def _checked(self, done: Any) -> Done:
        if not isinstance(done, Done) or done.version != __version__:
            version = getattr(done, "version", "another version")
            raise ClusterUnavailable(
                f"a worker of {self._address} has Timehands {version}, not {__version__}",
                advice="Install the same version for all.",
            )
        return done

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it was."""
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._pending), force=True)
        with contextlib.suppress(Exception):
            self._client.close(timeout=CONNECT_S)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ExtraMissing(
            "dask.distributed", purpose="A campaign on a cluster", extra="campaigns"
        ) from error
    return distributed


async def _knock(distributed: Any, address: str) -> None:
    """Whether somebody answers; a client that finds nobody leaves an event loop behind."""
    arguments = distributed.Security().get_connection_args("client")
    comm = await distributed.comm.connect(address, timeout=CONNECT_S, **arguments)
    await comm.close()


def _unreachable(address: str, error: Exception) -> ClusterUnavailable:
    why = " ".join(str(error).split()) or type(error).__name__
    return ClusterUnavailable(
        f"no Dask scheduler answers at {address or repr(address)}: {why}",
        advice="Start one with: dask scheduler --no-dashboard (it prints its address).",
    )
