"""Who does the work of a campaign on this host: this process itself, or processes of its own.

Workers take ranges of seeds and give back `Done`, in any order. They ignore Ctrl-C (the owner
decides), and they end with their owner however it ends: a thread in each waits for that
(`multiprocessing.parent_process`), and leaves at once. One that dies is replaced, and what it had
in hand is done again, a few times.

Processes are spawned, not forked: a script that starts a campaign with more than one job needs the
usual ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from timehands.errors import WorkersLost
from timehands.simulate.campaign.job import Done, Job, run_seeds

#: How often a range of seeds is given to a new worker after one died with it in hand.
RETRIES = 2
_END_S = 5


class Workers(Protocol):
    """Where ranges of seeds are run. Used by one thread."""

    @property
    def room(self) -> int:
        """How many ranges can be handed in now."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to wait for."""

    @property
    def lost(self) -> int:
        """How many workers have died."""

    def hand_in(self, seeds: range) -> None:
        """Give a range of seeds to whoever is free."""

    def wait(self) -> list[Done]:
        """What is done, at least one; waits for it. Raises `WorkersLost`, `ClusterUnavailable`."""

    def close(self) -> None:
        """Stop at once; what is not done is lost."""


class ThisProcess:
    """Does the work itself when it is waited for."""

    lost = 0

    def __init__(self, job: Job) -> None:
        self._job = job
        self._todo: list[range] = []

    @property
    def room(self) -> int:
        """One at a time."""
        return 1 - len(self._todo)

    @property
    def busy(self) -> bool:
        """Whether a range was handed in."""
        return bool(self._todo)

    def hand_in(self, seeds: range) -> None:
        """Keep it for `wait`."""
        self._todo.append(seeds)

    def wait(self) -> list[Done]:
        """Do it."""
        return [run_seeds(self._job, self._todo.pop())]

    def close(self) -> None:
        """Nothing is left to stop."""


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection
    #: What it has in hand, and how often that was tried before.
    seeds: range | None = None
    tries: int = 0


@dataclass(slots=True)
class Processes:
    """``jobs`` processes of our own, each with a pipe to us that nobody else holds."""

    job: Job
    jobs: int
    lost: int = 0
    _workers: list[_Worker] = field(default_factory=list)

    @property
    def room(self) -> int:
        """As many as there are processes that have nothing to do, or could be started."""
        return self.jobs - sum(worker.seeds is not None for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether any of them works."""
        return any(worker.seeds is not None for worker in self._workers)

    def hand_in(self, seeds: range) -> None:
        """Give it to one that is free, or to a new one."""
        self._hand_in(seeds, tries=0)

    def _hand_in(self, seeds: range, *, tries: int) -> None:
        free = (worker for worker in self._workers if worker.seeds is None)
        worker = next(free, None) or self._start()
        worker.seeds, worker.tries = seeds, tries
        with contextlib.suppress(OSError):  # it has just died: `wait` will see it
            worker.connection.send(seeds)

    def wait(self) -> list[Done]:
        """What is done; whoever died is replaced meanwhile."""
        while True:
            working = [worker for worker in self._workers if worker.seeds is not None]
            ready = wait([worker.connection for worker in working])
            done = [self._take(worker) for worker in working if worker.connection in ready]
            finished = [one for one in done if one is not None]
            if finished:
                return finished

    def _take(self, worker: _Worker) -> Done | None:
        """What a worker sent, or None when it died instead and its seeds were handed on."""
        try:
            done: Done = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return None
        worker.seeds = None
        return done

    def _replace(self, worker: _Worker) -> None:
        seeds, tries = worker.seeds, worker.tries
        self._workers.remove(worker)
        _end(worker)
        self.lost += 1
        assert seeds is not None
        if tries >= RETRIES:
            raise WorkersLost(seeds, how=f"the last by {_how(worker.process)}")
        self._hand_in(seeds, tries=tries + 1)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.job), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Kill them: nothing that they have in hand is wanted."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            _end(worker)
        self._workers.clear()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started within never sees Ctrl-C; ours comes when we leave.

    It inherits what is blocked. multiprocessing's own helper has to be there before: to start it
    is to let Ctrl-C through again.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.join(_END_S)
    if worker.process.exitcode is None:
        worker.process.kill()
        worker.process.join()


def _how(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _serve(connection: Connection, job: Job) -> None:
    """A worker's life: until the owner closes its end, or ends."""
    threading.Thread(target=_leave_with_owner, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(run_seeds(job, connection.recv()))


def _leave_with_owner() -> None:
    owner = multiprocessing.parent_process()
    if owner is not None:
        owner.join()
        os._exit(0)
