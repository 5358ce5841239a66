"""The work of a campaign on a Dask cluster: the scheduler's address is all that has to be known.

At most a few ranges of seeds for each thread of the cluster are with it at any time. Dask itself
gives the work of a lost worker to another. A range that was with too many that died (its setting
``distributed.scheduler.allowed-failures``) it gives up; such a range we hand in once more, since
whatever was with a worker is blamed for its death. The workers need the same version of Timehands
as the one that asks them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from timehands import __version__
from timehands.errors import ClusterUnavailable, ExtraMissing, WorkersLost
from timehands.simulate.campaign.job import Done, Job, run_seeds

#: How long the scheduler, or the first worker, may take to be there.
CONNECT_S = 10
WORKERS_S = 30
#: How long the rows of a range that is done may take to come; who has them may die meanwhile, and
#: then the range is run again.
RESULT_S = 120
#: How many ranges each of the cluster's threads has waiting: it need not wait for our answer.
AHEAD = 2
RETRIES = 1
_LOOK_S = 1.0


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
        self._pending: dict[Any, tuple[range, int]] = {}
        self._completed = distributed.as_completed(loop=self._client.loop)
        self._workers: set[str] = set()
        self._threads = 1
        self._look_again_s = 0.0
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
        """How large the cluster is now: workers come and go. Asked once in a while."""
        now_s = time.monotonic()
        if now_s < self._look_again_s:
            return
        self._look_again_s = now_s + _LOOK_S
        threads: dict[str, int] = self._client.nthreads()
        self.lost += len(self._workers - threads.keys())
        self._workers = set(threads)
        self._threads = sum(threads.values()) or self._threads

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
        self._hand_in(seeds, tries=0)

    def _hand_in(self, seeds: range, *, tries: int) -> None:
        future = self._client.submit(run_seeds, self._job, seeds, pure=False)
        self._pending[future] = seeds, tries
        self._completed.add(future)

    def wait(self) -> list[Done]:
        """What is done. Raises `ClusterUnavailable`, `WorkersLost`."""
        while True:
            future = next(self._completed)
            seeds, tries = self._pending.pop(future)
            try:
                done = future.result(timeout=RESULT_S)
            except self._killed as error:
                if tries >= RETRIES:
                    raise WorkersLost(seeds, how=_one_line(error)) from error
                self._hand_in(seeds, tries=tries + 1)
                continue
            except (Exception, asyncio.CancelledError) as error:
                raise self._failed(error) from error
            finally:
                with contextlib.suppress(Exception):
                    future.release()
            self._look()
            return [self._checked(done)]

    def _failed(self, error: BaseException) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"the Dask cluster at {self._address} failed: {_one_line(error)}",
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
        self._look_again_s = 0.0
        with _quiet():
            for step in (self._look, self._take_back, lambda: self._client.close(CONNECT_S)):
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    step()

    def _take_back(self) -> None:
        self._client.cancel(list(self._pending), force=True)
        self._pending.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs what it thinks of a client that leaves."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


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
    return ClusterUnavailable(
        f"no Dask scheduler answers at {address or repr(address)}: {_one_line(error)}",
        advice="Start one with: dask scheduler --no-dashboard (it prints its address).",
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
