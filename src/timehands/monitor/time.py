"""The time that our own devices count: the host's monotonic clock less the time spent paused.

`Alarms` calls functions at moments of it, from one thread, and waits in between.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

#: So many alarms that no longer count may wait in the queue.
_OLD_ALARMS = 64


class GuestTime:
    """ns since the guest first ran. It stands still while the guest is paused."""

    def __init__(self) -> None:
        self._offset_ns = -time.monotonic_ns()
        self._paused_at_ns: int | None = 0

    @property
    def paused(self) -> bool:
        """Whether it stands still: also before the first `resume`."""
        return self._paused_at_ns is not None

    def now_ns(self) -> int:
        """What it is now."""
        paused_at_ns = self._paused_at_ns  # another thread may resume it meanwhile
        if paused_at_ns is not None:
            return paused_at_ns
        return time.monotonic_ns() + self._offset_ns

    def pause(self) -> None:
        """Stand still."""
        self._paused_at_ns = self.now_ns()

    def resume(self) -> None:
        """Go on from where it stood."""
        self._offset_ns = self.now_ns() - time.monotonic_ns()
        self._paused_at_ns = None

    def stand_at(self, at_ns: int) -> None:
        """Stand still at this moment: a snapshot's."""
        self._paused_at_ns = at_ns


class Alarms:
    """Functions to be called at moments of guest time. Use as a context manager: it has a thread,
    from the first alarm on.

    Each ``owner`` has one alarm; a new one takes the place of the old one. A function may set an
    alarm itself. None is called while the guest is paused, but one may be under way: see `settle`.
    An error of a function goes to ``failed``, and the others are still called.
    """

    def __init__(self, clock: GuestTime, failed: Callable[[Exception], None]) -> None:
        self._clock, self._failed = clock, failed
        self._condition = threading.Condition()
        self._queue: list[tuple[int, int, object]] = []
        self._set: dict[object, tuple[int, Callable[[int], None]]] = {}
        self._numbers = itertools.count()
        self._ringing = False
        self._closing = False
        self._thread: threading.Thread | None = None

    def set(self, owner: object, at_ns: int, ring: Callable[[int], None]) -> None:
        """Have ``ring(at_ns)`` called at ``at_ns``, or soon when that is past."""
        with self._condition:
            number = next(self._numbers)
            self._set[owner] = (number, ring)
            heapq.heappush(self._queue, (at_ns, number, owner))
            self._forget_old()
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="alarms", daemon=True)
                self._thread.start()
            elif self._queue[0][1] == number:
                self._condition.notify_all()

    def clear(self, owner: object) -> None:
        """Have nothing called for this owner."""
        with self._condition:
            self._set.pop(owner, None)

    def waits(self, owner: object) -> bool:
        """Whether this owner's alarm is still to come."""
        with self._condition:
            return owner in self._set

    def wake(self) -> None:
        """Guest time goes on, or stands still, or jumped: look again."""
        with self._condition:
            self._condition.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until no function is being called, that long at most; not for the one that asks.

        Returns whether that came about.
        """
        if threading.current_thread() is self._thread:
            return True
        with self._condition:
            return self._condition.wait_for(lambda: not self._ringing, seconds)

    def close(self) -> None:
        """Call nothing any more, and end the thread: after the function that is being called."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def __enter__(self) -> Alarms:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while (due := self._next()) is not None:
            at_ns, ring = due
            try:
                ring(at_ns)
            except Exception as error:  # it must not take the other clocks with it
                self._failed(error)

    def _next(self) -> tuple[int, Callable[[int], None]] | None:
        """Wait for the next alarm that is due; None when closing."""
        with self._condition:
            self._ringing = False
            self._condition.notify_all()
            while not self._closing:
                wait_s = self._until_next()
                if wait_s is not None and wait_s <= 0:
                    at_ns, number, owner = heapq.heappop(self._queue)
                    if self._is_set(number, owner):
                        self._ringing = True
                        return at_ns, self._set.pop(owner)[1]
                else:
                    self._condition.wait(wait_s)
        return None

    def _until_next(self) -> float | None:
        if not self._queue or self._clock.paused:
            return None
        return (self._queue[0][0] - self._clock.now_ns()) / 1e9

    def _is_set(self, number: int, owner: object) -> bool:
        return self._set.get(owner, (None,))[0] == number

    def _forget_old(self) -> None:
        """Alarms that others took the place of, when a guest sets more of them than ever ring."""
        if len(self._queue) > 2 * len(self._set) + _OLD_ALARMS:
            self._queue = [entry for entry in self._queue if self._is_set(entry[1], entry[2])]
            heapq.heapify(self._queue)
