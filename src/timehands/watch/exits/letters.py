"""From the threads of the vCPUs to the event loop: console bytes and records, bounded.

Nobody waits for anybody here. A line of the console is handed on when it ends; the rest, and
records, a few times in each tick of the loop's clock: to wake another thread for each exit would
cost more than the exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from timehands.machines.guest import Sink

TICK_SECONDS = 0.02
#: What may wait for the loop, in bytes. Beyond that it is counted and lost.
MOST_CONSOLE = 4 << 20
MOST_RECORDS = 16 << 20


class Letters:
    """What the guest said and did, on its way to the `Sink`. Made in the loop's thread.

    ``lost_console`` and ``lost_records`` count bytes and records for which there was no room.
    """

    def __init__(self, sink: Sink) -> None:
        self.lost_console = self.lost_records = 0
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._lines: list[tuple[int, bytes]] = []
        self._line = bytearray()
        self._waiting = 0
        self._records = bytearray()
        self._called = False
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False
        self._ticks()

    def console(self, data: bytes) -> None:
        """From any thread: bytes of the console."""
        now_ns = time.monotonic_ns()
        with self._lock:
            if self._waiting + len(data) > MOST_CONSOLE:
                self.lost_console += len(data)
                return
            self._waiting += len(data)
            self._line += data
            if b"\n" not in data:
                return
            self._lines.append((now_ns, bytes(self._line)))
            self._line.clear()
            call = not self._called and not self._closed
            self._called = self._called or call
        if call:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._called_for)

    def record(self, record: bytes) -> None:
        """From any thread: a record."""
        with self._lock:
            if len(self._records) >= MOST_RECORDS:
                self.lost_records += 1
                return
            self._records += record

    def hand_over(self) -> None:
        """In the loop's thread: give the sink all that there is."""
        now_ns = time.monotonic_ns()
        with self._lock:
            lines, self._lines = self._lines, []
            rest, self._line = bytes(self._line), bytearray()
            records, self._records = bytes(self._records), bytearray()
            self._waiting, self._called = 0, False
        for host_ns, line in lines:
            self._sink.console(host_ns, line)
        if rest:
            self._sink.console(now_ns, rest)
        if records:
            self._sink.stream(now_ns, records)

    def close(self) -> None:
        """In the loop's thread: give all that there is, and no more after that."""
        if not self._closed:
            self._closed = True
            if self._tick:
                self._tick.cancel()
            self.hand_over()

    def _called_for(self) -> None:
        if not self._closed:
            self.hand_over()

    def _ticks(self) -> None:
        if not self._closed:
            self.hand_over()
            self._tick = self._loop.call_later(TICK_SECONDS, self._ticks)
