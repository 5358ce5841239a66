"""One processor for stub and client: when that begins, when it ends, and that it is tried."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from timehands.watch.gdb.together import IDLE_SECONDS, KEPT, TRIAL, Threads, Together


@dataclass
class Clock:
    """Answers take so many ns, apart and together; ``log`` is what was done to the processors."""

    apart_ns: int
    together_ns: int
    refuses: bool = False
    now_ns: int = 0
    log: list[str] = field(default_factory=list)

    def join(self) -> None:
        self.log.append("join")
        if self.refuses:
            raise PermissionError

    def leave(self) -> None:
        self.log.append("leave")

    def answer(self, together: Together, times: int) -> None:
        for _ in range(times):
            self.now_ns += self.together_ns if together.joined else self.apart_ns
            together.answered()


def trial(clock: Clock, then: int = 0) -> Together:
    """What comes of a whole trial, and of so many answers behind it."""

    async def run() -> Together:
        together = Together(clock, lambda: clock.now_ns)
        clock.answer(together, 4 * TRIAL + then)
        return together

    return asyncio.run(run())


def test_what_is_faster_is_kept() -> None:
    clock = Clock(apart_ns=100, together_ns=50)
    assert trial(clock, then=KEPT - 1).joined
    assert clock.log == ["join"]


def test_what_is_not_faster_by_a_tenth_is_left() -> None:
    clock = Clock(apart_ns=100, together_ns=95)
    assert not trial(clock, then=KEPT - 1).joined
    assert clock.log == ["join", "leave"]


@pytest.mark.parametrize("together_ns", [50, 150])
def test_it_is_tried_again(together_ns: int) -> None:
    clock = Clock(apart_ns=100, together_ns=together_ns)
    trial(clock, then=KEPT + 2 * TRIAL)
    assert clock.log == ["join", "leave", "join"]


def test_few_answers_are_no_reason_to_begin() -> None:
    clock = Clock(apart_ns=100, together_ns=50)
    together = Together(clock, lambda: clock.now_ns)
    for _ in range(50):
        clock.answer(together, TRIAL)
        together.waited()
    assert clock.log == []


def test_a_guest_that_runs_has_all_processors() -> None:
    clock = Clock(apart_ns=100, together_ns=50)
    together = trial(clock)
    together.waited()
    assert clock.log == ["join", "leave"] and not together.joined


def test_it_ends_when_nothing_is_asked_for_a_moment() -> None:
    clock = Clock(apart_ns=100, together_ns=50)

    async def run() -> None:
        together = Together(clock, lambda: clock.now_ns)
        clock.answer(together, 4 * TRIAL)
        assert together.joined
        async with asyncio.timeout(60):
            while together.joined:
                await asyncio.sleep(IDLE_SECONDS)

    asyncio.run(run())
    assert clock.log == ["join", "leave"]


def test_a_refusal_is_the_last_try() -> None:
    clock = Clock(apart_ns=100, together_ns=50, refuses=True)
    assert not trial(clock, then=3 * KEPT).joined
    assert clock.log == ["join", "leave"]


def waiting_process() -> subprocess.Popen[bytes]:
    """It ends with its input."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def test_threads_run_on_one_processor_and_then_where_they_did_before() -> None:
    before = os.sched_getaffinity(0)
    with waiting_process() as other:
        threads = Threads(other.pid)
        threads.join()
        held = os.sched_getaffinity(0), os.sched_getaffinity(other.pid)
        threads.leave()
        assert held[0] == held[1] and len(held[0]) == 1
        assert os.sched_getaffinity(0) == os.sched_getaffinity(other.pid) == before
        other.communicate()


def test_a_process_that_has_gone_leaves_this_thread_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    with waiting_process() as other:
        threads = Threads(other.pid)
        threads.join()
        other.communicate()
    with pytest.raises(OSError, match="No such file"):
        threads.leave()
    assert os.sched_getaffinity(0) == before
