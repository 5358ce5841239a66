"""A debug session: a boot that is recorded as any other, and stops where it was asked to.

::

    async with debugging(prepared, asked) as session:
        while (stop := await session.next()) is not None:
            print(stop.where, await session.attend(stop))
    booted = open_recording(session.folder)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from timehands.boot import Prepared, Progress, Start, begun
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug.choice import Choice, choose, wants_of
from timehands.debug.held import HeldGuest
from timehands.debug.held_inside import HeldInside
from timehands.debug.request import Break, Debugging
from timehands.errors import StubGone, TimehandsError, UsageError, WrongState
from timehands.guests.constants import constants_of
from timehands.kernels.expressions import parse as parse_expression
from timehands.kernels.kernel import Kernel
from timehands.kernels.noreturn import never_returns
from timehands.kernels.unwind import Backtrace
from timehands.machines.host_kvm import survey_kvm
from timehands.machines.vmm import Running
from timehands.watch import run as running
from timehands.watch.gdb import GdbClient, State
from timehands.watch.interventions import Intervention
from timehands.watch.stops import Kind, Log, Placed, Stop, Stops, View, parse
from timehands.watch.stops.inside import InsideClient
from timehands.watch.stops.instrument import Instrument
from timehands.watch.stops.placed import check_condition
from timehands.watch.stops.sites import Site, sites_of
from timehands.watch.stops.steering import (
    answer_cpuid,
    ask_cpuid,
    check_assignment,
    set_value,
    skip_function,
)
from timehands.watch.vigil import QUIET_SECONDS, Vigil, look, spots_of

#: How long QEMU's own word on its end may take after its stub told of it.
END_SECONDS: Final = 5.0
_KERNEL_HALF: Final = 1 << 63
_NO_HARDWARE: Final = (
    "this host's KVM tells of no hardware breakpoints: stops may come late, or never; tcg has them"
)


@dataclass(frozen=True)
class Seen:
    """What was looked at and done at a stop, as its wants asked for.

    ``leaves`` are (leaf, subleaf, answer); ``troubles`` what could not be done, in words.
    """

    values: tuple[tuple[str, str], ...] = ()
    backtrace: Backtrace | None = None
    leaves: tuple[tuple[int, int, Leaf], ...] = ()
    changes: tuple[Intervention, ...] = ()
    troubles: tuple[str, ...] = ()


class Session:
    """A guest under way. Made by `debugging`.

    ``stops`` is what to ask for more with; ``reason`` is empty while the guest goes on, then why it
    ended (as in `timehands.watch.run.run`). ``breaks`` are what was asked for at each place,
    ``files`` the source files whose functions are noted, ``notes`` what to know beforehand.
    """

    def __init__(self, start: Start, guest: Running, stops: Stops) -> None:
        self.guest = guest
        self.stops = stops
        self.reason = ""
        self.breaks: dict[Placed, Break] = {}
        self.files: list[Placed] = []
        self.notes: list[str] = []
        self._recorder = start.recorder
        self._progress = running.Progress(start.recorder, start.limits)
        self._left_s = start.limits.timeout_s
        inside = guest.stops is not None
        self._held = HeldInside(guest, stops) if inside else HeldGuest(guest, stops)
        self._vigil = Vigil(
            self._held, start.recorder.header, start.limits.quiet_s or QUIET_SECONDS
        )
        self._ran = self._leaving = False

    @property
    def folder(self) -> Path:
        """Where it is recorded."""
        return self._recorder.folder

    async def add(self, wanted: Break) -> Placed:
        """Ask for stops. Raises `UsageError`, `StubRefused`."""
        for assignment in wanted.sets:
            check_assignment(assignment)
        placed = await self.stops.place(wanted.want)
        self.breaks[placed] = wanted
        return placed

    # ---- going on

    async def next(self) -> Stop | None:
        """Let the guest go on to its next stop. None: the boot is over, `reason` says how.

        The time that the guest runs counts against the boot's time, the stops do not. Raises
        `RecordingError` when nothing can be written any more.
        """
        while not self.reason:
            if self._leaving:
                self.reason = "interrupted"
                break
            stop = self._held.take() or await self._run()
            if self._recorder.trouble.done():
                self._recorder.trouble.result()
            if stop is None:
                await self._judge()
            elif stop.kind is Kind.ENDED:
                self.reason = await self._ended()
            elif stop.kind is Kind.INTERRUPTED and self._progress.stop.is_set():
                self.stops.log.forget()
                self.reason = "boundary"
            elif stop.kind is Kind.INTERRUPTED and self._leaving:
                self.stops.log.forget()
            else:
                return stop
        return None

    async def leave(self) -> None:
        """End it early: `next`, also one that waits now, returns None, the reason "interrupted"."""
        self._leaving = True
        await self.stops.halt()

    async def _run(self) -> Stop | None:
        """The next stop; None when it is time to look after the guest, or it is gone."""
        now = time.monotonic()
        if not self._ran:
            self._ran = True
            self._recorder.header.resumed_ns = self._progress.last_ns = time.monotonic_ns()
        quiet_s = self._vigil.next_look(self._progress.last_ns) - now
        try:
            stop = await self.stops.run(max(0.0, min(self._left_s, quiet_s)))
        except (StubGone, WrongState) as error:
            if isinstance(error, WrongState) and self.stops.client.state is not State.LOST:
                raise
            self.reason = await self._ended()
            return None
        self._left_s -= time.monotonic() - now
        if stop is not None:
            self._progress.last_ns = time.monotonic_ns()
        return stop

    async def _judge(self) -> None:
        """The guest runs: is its time over, does it hang?"""
        if self.reason:
            return
        if self._progress.stop.is_set():
            self.reason = "boundary"
        elif self._left_s <= 0:
            self._recorder.header.spots = spots_of(await look(self._held))
            self.reason = "timeout" if self._held.waiting is None else ""
        else:
            verdict = await self._vigil.judge(self._progress.last_ns, self._progress.idle_s)
            if verdict and self._held.waiting is None:
                self.reason = verdict.value

    async def _ended(self) -> str:
        """Why there is no guest any more, in QEMU's word; inside, also why there are no stops."""
        ours = "boundary" if self._progress.stop.is_set() else "interrupted"
        if self.inside and (self._progress.stop.is_set() or self._leaving):
            return await self.guest.wait(0) or ours
        return await self.guest.wait(END_SECONDS) or "lost"

    async def watch_for_end(self) -> None:
        """Stops the guest when the boundary is reached, or nothing can be recorded any more.

        Stops inside the plugin do not tell of the guest's end: `Stops.run` is then ended by this.
        To run beside the session.
        """
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(self._progress.stop.wait())]
        if self.inside:
            ends.append(asyncio.create_task(self.guest.wait()))
        try:
            waiting: set[asyncio.Future[Any]] = {*ends, self._recorder.trouble}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await self.stops.halt()
        finally:
            for one in ends:
                one.cancel()

    @property
    def inside(self) -> bool:
        """Whether stops are made inside the plugin."""
        return isinstance(self._held, HeldInside)

    async def let_go(self) -> None:
        """No more stops: QEMU can be asked to pause and to end."""
        if isinstance(self._held, HeldInside):
            self.stops.log.go_on()
            self.stops.client.close()
            await self._held.settle()

    # ---- at a stop

    async def attend(self, stop: Stop) -> Seen:
        """Do at a stop what its wants asked for: look, ask, then change.

        What cannot be done is said, and the rest is done.
        """
        wanted = [self.breaks[placed] for placed in stop.placed if placed in self.breaks]
        values = [
            (text, await stop.text_or_why(text))
            for text in dict.fromkeys(text for one in wanted for text in one.prints)
        ]
        told = [
            (name, text) for name, text in stop.entry.values.items() if (name, text) not in values
        ]
        frames = max((one.backtrace for one in wanted), default=0)
        leaves: list[tuple[int, int, Leaf]] = []
        changes: list[Intervention] = []
        troubles: list[str] = []
        trace = None
        if frames:
            try:
                trace = await stop.backtrace(frames)
            except TimehandsError as error:
                troubles.append(f"no backtrace: {error.message}")
        for leaf, subleaf in dict.fromkeys(ask for one in wanted for ask in one.asks):
            try:
                leaves.append((leaf, subleaf, await ask_cpuid(self.stops, leaf, subleaf)))
            except TimehandsError as error:
                troubles.append(error.message)
        for assignment in (text for one in wanted for text in one.sets):
            try:
                changes.append(await set_value(self.stops, assignment))
            except TimehandsError as error:
                troubles.append(f"{assignment}: {getattr(error, 'reason', error.message)}")
        return Seen((*told, *values), trace, tuple(leaves), tuple(changes), tuple(troubles))


def check(prepared: Prepared, asked: Debugging) -> None:
    """Raise `UsageError` for what cannot be placed in this kernel, before anything is started."""
    constants = constants_of(prepared.knowledge.name)
    view = View(prepared.kernel, {}, prepared.kernel.file_memory, constants)
    for want in wants_of(asked):
        check_condition(want, view)
        sites_of(prepared.kernel, want, view)
    for one in asked.breaks:
        for text in one.prints:
            parse_expression(text, view.environment.is_type)
        for text in one.sets:
            check_assignment(text)


def _files(asked: Debugging) -> list[str]:
    return [f"{path}:*" for path in asked.files]


@contextlib.asynccontextmanager
async def debugging(
    prepared: Prepared, asked: Debugging, progress: Progress = lambda _text: None
) -> AsyncIterator[Session]:
    """A session with everything placed and the guest before its first instruction.

    When this is left the guest is gone and the recording closed. Raises what `timehands.boot.boot`
    raises, `UsageError` for what cannot be placed, `GdbError` when the stub fails.
    """
    if prepared.request.kaslr:
        raise UsageError(
            "a kernel that moves itself (KASLR) cannot be stopped at its functions",
            advice="Leave --kaslr out: the kernel then runs where it was linked to run.",
        )
    check(prepared, asked)
    choice = choose(prepared, asked)
    async with begun(prepared, progress=progress) as start:
        plan = start.plan and replace(start.plan, stops=choice.places)
        async with running.started(
            prepared.vmm, start.recorder, plan, talks=False, gdb=not choice.inside
        ) as guest:
            session = await _session(prepared, start, guest, choice)
            if asked.inside and choice.note:
                session.notes.append(choice.note)
            beside = asyncio.create_task(session.watch_for_end())
            try:
                await _place_all(session, asked)
                yield session
                await session.let_go()
                await running.finish(
                    guest, start.recorder, start.limits, session.reason or "stopped"
                )
            finally:
                beside.cancel()
                session.stops.log.end(None)
                session.stops.client.close()


async def _session(prepared: Prepared, start: Start, guest: Running, choice: Choice) -> Session:
    alone = prepared.request.machine.vcpus == 1
    process = guest.process_id if alone else None
    client: Instrument
    if guest.stops is not None:
        client = InsideClient(guest.stops, choice.places, guest.resume, process=process)
    else:
        assert guest.gdb is not None
        client = await GdbClient.connect(guest.gdb, process=process)
    kvm = isinstance(client, GdbClient) and client.features.kvm
    stops = Stops(
        client,
        prepared.kernel,
        constants=constants_of(prepared.knowledge.name),
        log=Log(start.recorder, first_change=_patches(prepared)),
        anchor=_anchor(prepared) if kvm else None,
    )
    session = Session(start, guest, stops)
    if kvm and not survey_kvm().has("KVM_CAP_GUEST_DEBUG_HW_BPS"):
        session.notes.append(_NO_HARDWARE)
    return session


def _patches(prepared: Prepared) -> int:
    from timehands.kernels.patch import changes

    patches = prepared.request.patches
    return len(changes(prepared.kernel, ",".join(patches))) if patches else 0


def _anchor(prepared: Prepared) -> int | None:
    """A function of the kernel that runs early, with its own page tables."""
    high = [f for f in prepared.plan.functions if f.start >= _KERNEL_HALF and f.enter]
    marked = [f for f in high if f.anchor] or high
    return marked[0].start if marked else None


async def _place_all(session: Session, asked: Debugging) -> None:
    stops = session.stops
    if asked.answers:
        await stops.place(parse("cpuid"), action=answer_cpuid(asked.answers))
    for skip in asked.skips:
        placed = await stops.place(parse(skip.function), action=skip_function(skip.returning))
        session.notes += _behind_calls(stops.kernel, placed)
    for text in _files(asked):
        session.files.append(await stops.place(parse(text), action=_noted, once=True))
    for wanted in asked.breaks:
        await session.add(wanted)


def _behind_calls(kernel: Kernel, placed: Placed) -> Iterator[str]:
    """Which of the functions that are left out never return."""
    for site in placed.sites:
        if never_returns(kernel, site.point.address):
            yield (
                f"{site.name} never returns: when it is left out the guest runs into whatever code "
                "lies behind the call"
            )


async def _noted(_stops: Stops, _site: Site) -> bool:
    """Being there is all that is wanted to be known."""
    return True
