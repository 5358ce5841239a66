"""Running a guest to its end, or to where it no longer gets on, with everything recorded."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from timehands.errors import MachineError
from timehands.kernels.memory import Memory, Pages, Unreadable, settle
from timehands.machines.guest import Watcher
from timehands.machines.initrd import MARK_INIT
from timehands.machines.vmm import Running, Vmm
from timehands.watch.plan import Plan
from timehands.watch.plugin import watcher_for
from timehands.watch.recorder import Recorder, is_progress
from timehands.watch.records import Kind, RawRecord
from timehands.watch.vigil import IDLE_SECONDS, QUIET_SECONDS, Vigil, look, spots_of

#: Our init sleeps for a tenth of a second at a time: a guest that is idle in it was never woken.
OUR_IDLE_SECONDS = 5.0
#: For reading the kernel's variables at the end, and how much is fetched at a time.
LOOK_SECONDS = 20.0
LOOK_BLOCK = 1 << 12
_U32 = 0xFFFFFFFF


@dataclass(slots=True)
class Limits:
    """When to end a guest that does not end by itself.

    ``stop_at_record`` and ``stop_at_line`` look at what comes, as it comes; True ends the guest.
    ``quiet_s``: after how long without anything new it is looked at (`QUIET_SECONDS`).
    ``look`` reads the kernel's variables when the boot is over; its result is recorded.
    """

    timeout_s: float = 60.0
    stop_at_record: Callable[[RawRecord], bool] = lambda _record: False
    stop_at_line: Callable[[str], bool] = lambda _text: False
    quiet_s: float | None = None
    look: Callable[[Memory], dict[str, Any]] | None = None


class Progress:
    """What the live stream has shown so far."""

    def __init__(self, recorder: Recorder, limits: Limits) -> None:
        self.last_ns = time.monotonic_ns()
        self.stop = asyncio.Event()
        self.idle_s = IDLE_SECONDS
        self._limits = limits
        recorder.on_record = self._record
        recorder.on_line = self._line
        recorder.on_prompt = self._line
        recorder.on_console = self._console

    def _record(self, record: RawRecord) -> None:
        if is_progress(record):
            self.last_ns = time.monotonic_ns()
        if record[0] == Kind.CPUID and record[6] & _U32 == MARK_INIT:
            self.idle_s = OUR_IDLE_SECONDS
        if record[0] != Kind.PROGRESS and self._limits.stop_at_record(record):
            self.stop.set()

    def _console(self) -> None:
        self.last_ns = time.monotonic_ns()

    def _line(self, _host_ns: int, text: str) -> None:
        if self._limits.stop_at_line(text):
            self.stop.set()


async def run(vmm: Vmm, recorder: Recorder, plan: Plan | None, limits: Limits) -> None:
    """Boot what the recorder's header says and record it to the end.

    ``plan`` None runs without the plugin. How it ended is in the header: ``ended_reason`` is the
    machine's word, or ``lost``, ``hung``, ``idle``, ``halted``, ``timeout``, ``boundary``,
    ``interrupted``. Raises `MachineError` (of QEMU `QemuFailed`) when no guest ran, and
    `RecordingError` when nothing can be written; the guest is gone in every case, and the recording
    closed.
    """
    async with started(vmm, recorder, plan, talks=False) as guest:
        progress = Progress(recorder, limits)
        await guest.resume()
        reason = await _watch(guest, recorder, progress, limits)
        await finish(guest, recorder, limits, reason)


@contextlib.asynccontextmanager
async def started(
    vmm: Vmm,
    recorder: Recorder,
    plan: Plan | None,
    *,
    talks: bool = True,
    gdb: bool = False,
) -> AsyncIterator[Running]:
    """The guest of a recording, before its first instruction; see `Guest.start` for the options.

    When this is left the guest is gone, and the recording closed.
    """
    header = recorder.header
    try:
        watcher = _watcher(recorder, plan)
        before_ns = _cpu_ns()
        guest = await vmm.start(
            header.machine, header.load, recorder, watcher=watcher, talks=talks, gdb=gdb
        )
        try:
            header.command = guest.command
            header.started_ns, header.ready_ns = guest.started_ns, guest.ready_ns
            header.resumed_ns = time.monotonic_ns()
            recorder.write_header()  # for the case that we are killed
            yield guest
        finally:
            await guest.kill()
            spent_ns = guest.cpu_ns() if guest.process_id is None else None
            header.qemu_cpu_ns = _cpu_ns() - before_ns if spent_ns is None else spent_ns
    finally:
        if header.ended_ns is None:
            header.ended_ns, header.ended_reason = time.monotonic_ns(), "interrupted"
        recorder.close()


async def finish(guest: Running, recorder: Recorder, limits: Limits, reason: str) -> None:
    """End the guest, with a last look at it; ``reason`` is why, when it did not end by itself."""
    header = recorder.header
    last = await _last_registers(guest, reason)
    await last_look(guest, recorder, limits.look)
    ended = await guest.end(reason)
    recorder.resets(f"{guest.resets}{last}")
    header.ended_ns, header.ended_reason = ended.host_ns, ended.reason
    header.exit_status, header.stderr = ended.exit_status, ended.stderr


async def _last_registers(guest: Running, reason: str) -> str:
    """Where the vCPUs were when they reset the machine, which pauses instead."""
    if reason != "guest-reset":
        return ""
    try:
        return await guest.registers()
    except MachineError:
        return ""


async def last_look(
    guest: Running, recorder: Recorder, look: Callable[[Memory], dict[str, Any]] | None
) -> None:
    """Read the kernel's variables in the guest as it stands. A guest that is gone has none."""
    if look is None:
        return
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await guest.pause()
            found = await settle(look, Pages(LOOK_BLOCK), guest.memory)
    except (MachineError, Unreadable, TimeoutError):
        return
    if found:
        recorder.looked(found)


def _watcher(recorder: Recorder, plan: Plan | None) -> Watcher | None:
    if plan is None:
        return None
    path = recorder.write_plan(plan)
    return watcher_for(path, plan, steady=recorder.header.machine.deterministic)


def _cpu_ns() -> int:
    """The CPU time of all children that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((spent.ru_utime + spent.ru_stime) * 1e9)


async def _watch(guest: Running, recorder: Recorder, progress: Progress, limits: Limits) -> str:
    """Wait for the first of: an end, a boundary, a hang, the time being over. Returns which."""
    deadline = time.monotonic() + limits.timeout_s
    vigil = Vigil(guest, recorder.header, limits.quiet_s or QUIET_SECONDS)
    ended = asyncio.create_task(guest.wait())
    stop = asyncio.create_task(progress.stop.wait())
    waiting: set[asyncio.Future[Any]] = {ended, stop, recorder.trouble}
    try:
        while True:
            left = min(deadline, vigil.next_look(progress.last_ns)) - time.monotonic()
            if left > 0:
                await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if recorder.trouble.done():
                recorder.trouble.result()
            if ended.done():
                return ended.result() or "lost"
            if stop.done():
                return "boundary"
            if time.monotonic() >= deadline:
                recorder.header.spots = spots_of(await look(guest))
                return "timeout"
            verdict = await vigil.judge(progress.last_ns, progress.idle_s)
            if verdict and not (ended.done() or stop.done()):
                return verdict.value
    finally:
        ended.cancel()
        stop.cancel()
