"""Running a guest to its end, or to where it no longer gets on, with everything recorded."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from timehands.errors import QemuFailed
from timehands.machines.guest import Guest, Watcher
from timehands.watch.plan import Plan
from timehands.watch.plugin import watcher_for
from timehands.watch.recorder import RawRecord, Recorder, is_progress
from timehands.watch.recording import Spot
from timehands.watch.records import Kind

#: A guest that runs nothing new for this long is looked at.
QUIET_SECONDS = 3.0
#: The same before the kernel was entered: firmware and decompressors stay in one loop for long.
QUIET_SECONDS_BEFORE_KERNEL = 30.0
#: The same without a plugin, where only the console shows progress.
QUIET_SECONDS_UNWATCHED = 10.0
LOOKS = 8
LOOK_SECONDS = 0.02
_CPU = re.compile(r"CPU#(\d+)")
_RIP = re.compile(r"\b[RE]IP=([0-9a-f]+) [RE]FL=([0-9a-f]+).*?HLT=(\d)", re.DOTALL)
_INTERRUPT_FLAG = 1 << 9


class Decision(Enum):
    """What a listener may ask for when it sees something."""

    GO_ON = 0
    KERNEL_ENTERED = 1
    STOP = 2


@dataclass(slots=True)
class Limits:
    """When to end a guest that does not end by itself.

    ``decide_record`` and ``decide_line`` look at what comes, as it comes; ``STOP`` ends the guest.
    """

    timeout_s: float = 60.0
    decide_record: Callable[[RawRecord], Decision] = lambda _record: Decision.GO_ON
    decide_line: Callable[[str], Decision] = lambda _text: Decision.GO_ON
    quiet_s: float | None = None


class _Progress:
    """What the live stream has shown so far."""

    def __init__(self, recorder: Recorder, limits: Limits, watched: bool) -> None:
        self.last_ns = time.monotonic_ns()
        self.kernel_entered = not watched
        self.stop = asyncio.Event()
        self._limits = limits
        recorder.on_record = self._record
        recorder.on_line = self._line

    def _record(self, record: RawRecord) -> None:
        if is_progress(record):
            self.last_ns = time.monotonic_ns()
        if record[0] == Kind.PROGRESS:
            return
        self._take(self._limits.decide_record(record))

    def _line(self, _host_ns: int, text: str) -> None:
        self.last_ns = time.monotonic_ns()
        self._take(self._limits.decide_line(text))

    def _take(self, decision: Decision) -> None:
        if decision is Decision.KERNEL_ENTERED:
            self.kernel_entered = True
        elif decision is Decision.STOP:
            self.stop.set()


async def run(qemu: str, recorder: Recorder, plan: Plan | None, limits: Limits) -> None:
    """Boot what the recorder's header says and record it to the end.

    ``plan`` None runs without the plugin. How it ended is in the header: ``ended_reason`` is QEMU's
    word, or ``hung``, ``halted``, ``timeout``, ``boundary``. Raises `QemuFailed` when no guest ran
    and `RecordingError` when nothing can be written; the guest is gone in every case, and the
    recording closed.
    """
    header = recorder.header
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        watcher = _watcher(recorder, plan)
        guest = await Guest.start(
            qemu,
            header.machine,
            header.load,
            recorder,
            watcher=watcher,
            log=recorder.folder / "reset.log",
        )
        async with guest:
            header.command = guest.command
            header.started_ns, header.ready_ns = guest.started_ns, guest.ready_ns
            progress = _Progress(recorder, limits, watched=plan is not None)
            header.resumed_ns = time.monotonic_ns()
            await guest.resume()
            reason = await _watch(guest, recorder, progress, limits, watched=plan is not None)
            ended = await guest.end(reason)
        header.ended_ns, header.ended_reason = ended.host_ns, ended.reason
        header.exit_status, header.stderr = ended.exit_status, ended.stderr
    finally:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        header.qemu_cpu_ns = int(spent * 1e9)
        if header.ended_ns is None:
            header.ended_ns, header.ended_reason = time.monotonic_ns(), "interrupted"
        recorder.close()


def _watcher(recorder: Recorder, plan: Plan | None) -> Watcher | None:
    if plan is None:
        return None
    path = recorder.folder / "plan.txt"
    path.write_text(plan.text())
    return watcher_for(path, plan, steady=recorder.header.machine.deterministic)


async def _watch(
    guest: Guest, recorder: Recorder, progress: _Progress, limits: Limits, *, watched: bool
) -> str:
    """Wait for the first of: an end, a boundary, a hang, the time being over. Returns which."""
    deadline = time.monotonic() + limits.timeout_s
    ended = asyncio.create_task(guest.wait())
    stop = asyncio.create_task(progress.stop.wait())
    try:
        while True:
            quiet_at = progress.last_ns / 1e9 + _patience(progress, limits, watched)
            # never longer than the least patience: what is seen meanwhile may shorten it
            left = min(deadline, quiet_at, time.monotonic() + QUIET_SECONDS) - time.monotonic()
            waiting: set[asyncio.Future[Any]] = {ended, stop, recorder.trouble}
            if left > 0:
                await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if recorder.trouble.done():
                recorder.trouble.result()
            if ended.done():
                return ended.result() or "lost"
            if stop.done():
                return "boundary"
            if time.monotonic() >= deadline:
                recorder.header.spots = await _look(guest, 1)
                return "timeout"
            if time.monotonic_ns() / 1e9 >= progress.last_ns / 1e9 + _patience(
                progress, limits, watched
            ):
                verdict = await _judge(guest, recorder)
                if verdict:
                    return verdict
                progress.last_ns = time.monotonic_ns()
    finally:
        ended.cancel()
        stop.cancel()


def _patience(progress: _Progress, limits: Limits, watched: bool) -> float:
    if limits.quiet_s is not None:
        return limits.quiet_s
    if not watched:
        return QUIET_SECONDS_UNWATCHED
    return QUIET_SECONDS if progress.kernel_entered else QUIET_SECONDS_BEFORE_KERNEL


async def _judge(guest: Guest, recorder: Recorder) -> str | None:
    """Look where a quiet guest is: halted for good, hung, or (None) still on its way."""
    spots = await _look(guest, LOOKS)
    recorder.header.spots = spots
    if not spots:
        return None
    if all(spot.halted and not spot.interrupts for spot in spots):
        return "halted"
    if all(spot.halted for spot in spots):
        return "idle"
    pages = Counter(spot.pc >> 12 for spot in spots if not spot.halted)
    return "hung" if pages.most_common(1)[0][1] * 4 >= sum(pages.values()) else None


async def _look(guest: Guest, times: int) -> tuple[Spot, ...]:
    spots: list[Spot] = []
    for _ in range(times):
        try:
            spots += parse_registers(await guest.registers())
        except QemuFailed:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return tuple(spots)


def parse_registers(text: str) -> list[Spot]:
    """Where the vCPUs are, from what QEMU's monitor prints for ``info registers -a``."""
    spots = []
    parts = _CPU.split(text)[1:] or ["0", text]
    for number, body in zip(parts[::2], parts[1::2], strict=False):
        if match := _RIP.search(body):
            pc, flags, halted = int(match[1], 16), int(match[2], 16), match[3] == "1"
            spots.append(Spot(int(number), pc, halted, bool(flags & _INTERRUPT_FLAG)))
    return spots
