"""One processor for a stub and its client, while they do nothing but answer each other.

A stop is a chain: the client wakes QEMU's main thread, that wakes the vCPU's, that wakes the main
thread, and that the client; each sleeps while the next one works. The kernel puts a thread that
wakes on an idle processor, and to get that one out of its sleep costs more than all the work (in a
virtual machine some 30 us each: an interrupt sent and a halt left, both through the host). On one
processor a wake-up is a switch of threads. Stops come two to three times as often then.

What runs beside a guest must not slow it, so this is held to:

- it begins when answers come thick, and ends at the first that does not come at once, or when
  nothing was asked for a moment: a guest that runs has all processors;
- it is tried, not believed: so many answers are timed apart and as many together, the better way
  is kept for a while, then tried again;
- the processors that each thread could run on before are put back.

Only for a guest with one vCPU (others would wait for each other). Of this process just the thread
that talks to the stub is held; what it starts meanwhile, processes too, begins on that processor.
sched_setaffinity(2), proc_pid_task(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from time import monotonic_ns
from typing import Final, Protocol

#: Answers in each part of a trial: a few ms.
TRIAL: Final = 128
#: Answers until the next trial: a second or so.
KEPT: Final = 1 << 15
#: Being together has to win so much: (numerator, denominator) of the time apart.
WIN: Final = (9, 10)
IDLE_SECONDS: Final = 0.05
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Processors(Protocol):
    """Which processors the threads of a conversation may run on."""

    def join(self) -> None:
        """Hold all of them to the one that we are on. Raises OSError."""

    def leave(self) -> None:
        """Let them run where they could before. Raises OSError."""


class Threads:
    """Those of a process, and the thread that calls."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._before: dict[int, set[int]] = {}

    def join(self) -> None:
        """See `Processors`."""
        here = {_LIBC.sched_getcpu()}
        for thread in self._threads():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                before = os.sched_getaffinity(thread)
                if not here <= before:
                    raise PermissionError("the stub may not run on our processor")
                self._before[thread] = before
                os.sched_setaffinity(thread, here)

    def leave(self) -> None:
        """See `Processors`. A thread that began meanwhile gets what its process had."""
        before, self._before = self._before, {}
        for thread in self._threads() if before else ():
            wider = before.get(thread) or before.get(self._process)
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, wider or before[0])

    def _threads(self) -> Iterator[int]:
        """0 is the calling thread; it comes first, so that it is let go even if the rest fails."""
        yield 0
        yield from (int(task.name) for task in Path(f"/proc/{self._process}/task").iterdir())


class _Phase(Enum):
    WARM = "apart, not timed"
    APART = "apart, timed"
    JOINED = "together, not timed"
    TOGETHER = "together, timed"
    KEPT = "as was found to be better"


class Together:
    """Decides when to be together. `answered` costs a fraction of a microsecond."""

    def __init__(self, processors: Processors, clock_ns: Callable[[], int] = monotonic_ns) -> None:
        self._processors: Processors | None = processors
        self._clock_ns = clock_ns
        self._phase = _Phase.WARM
        self._answers = 0
        self._due = TRIAL
        self._since = 0
        self._apart_ns = 0
        self._joined = False
        self._seen = 0

    @property
    def joined(self) -> bool:
        """Whether they are together now."""
        return self._joined

    def answered(self) -> None:
        """An answer came at once."""
        self._answers += 1
        if self._answers >= self._due and self._processors is not None:
            self._go_on(self._clock_ns())

    def waited(self) -> None:
        """An answer did not come at once: the guest runs."""
        self._leave()
        self._begin()

    def close(self) -> None:
        """Nothing more is asked."""
        self._leave()
        self._processors = None

    def _begin(self) -> None:
        self._phase, self._answers, self._due = _Phase.WARM, 0, TRIAL

    def _go_on(self, now: int) -> None:
        """The next part of a trial."""
        took, self._since = now - self._since, now
        self._due = self._answers + TRIAL
        if self._phase is _Phase.WARM:
            self._phase = _Phase.APART
        elif self._phase is _Phase.APART:
            self._apart_ns = took
            self._join()
            self._phase = _Phase.JOINED
        elif self._phase is _Phase.JOINED:
            self._phase = _Phase.TOGETHER
        elif self._phase is _Phase.TOGETHER:
            if took * WIN[1] > self._apart_ns * WIN[0]:
                self._leave()
            self._phase, self._due = _Phase.KEPT, self._answers + KEPT
        else:
            self.waited()

    def _join(self) -> None:
        if self._processors is None:
            return
        self._joined = True
        try:
            self._processors.join()
        except OSError:
            self.close()  # not allowed, or the process is gone
            return
        self._watch()

    def _leave(self) -> None:
        if self._joined and self._processors is not None:
            self._joined = False
            try:
                self._processors.leave()
            except OSError:
                self._processors = None

    def _watch(self) -> None:
        """Leave when nothing is asked for a moment: somebody else works, or reads."""
        self._seen = self._answers
        asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        if not self._joined:
            return
        if self._seen == self._answers:
            self.waited()
        else:
            self._watch()
