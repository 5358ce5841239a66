"""A running guest from Python, in plain calls::

    from timehands import Kernel, Machine

    with Machine(cpu="max").start(Kernel("netbsd")) as guest:
        for stop in guest.stops_at("tc_init"):
            print(stop.arg("tc").tc_name, stop.backtrace())

Every call returns when it is done. The guest's own side (its console, its recording) is looked
after in a thread meanwhile, so that this also works where an event loop runs already. Underneath is
`timehands.debug`, which has the same as coroutines.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from timehands import boot as booting
from timehands.boot import Booted, Entry, Request, open_recording, prepare, ready_payloads
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug.request import Debugging
from timehands.debug.session import Session, debugging
from timehands.errors import UsageError
from timehands.kernels import kernel as kernels
from timehands.kernels.memory import Missing, Unreadable
from timehands.kernels.unwind import Backtrace
from timehands.kernels.values import Value
from timehands.machines import machine as machines
from timehands.story.model import Mark
from timehands.watch import stops as waiting
from timehands.watch.interventions import Intervention
from timehands.watch.stops import Kind, Placed, View, parse, steering

T = TypeVar("T")


class Kernel(kernels.Kernel):
    """A kernel file, opened: ``Kernel("netbsd")``. See `timehands.kernels.kernel.Kernel`.

    Raises `KernelError`.
    """

    def __init__(self, path: str | PathLike[str], *, cache: bool = True) -> None:
        self.__dict__.update(kernels.Kernel.open(path, cache=cache).__dict__)

    @classmethod
    def open(cls, path: str | PathLike[str], *, cache: bool = True) -> Kernel:
        """The same as ``Kernel(path)``."""
        return cls(path, cache=cache)


@dataclass(frozen=True, slots=True)
class Machine(machines.Machine):
    """The hardware of a guest, which can be started. See `timehands.machines.machine.Machine`."""

    def start(
        self,
        kernel: kernels.Kernel | str | PathLike[str],
        arguments: Sequence[str] | str = (),
        *,
        initrd: Path | None = None,
        disk: Path | None = None,
        entry: Entry | None = None,
        patches: Sequence[str] = (),
        until: Mark | None = None,
        timeout_s: float = 3600.0,
        watch: bool = True,
        survey: bool = False,
        folder: Path | None = None,
        qemu: Path | None = None,
    ) -> Guest:
        """A guest before its first instruction. Use it as a context manager, or `Guest.end` it.

        ``arguments`` are kernel arguments, as words or as one string; ``timeout_s`` is for how long
        it may run in all; ``watch`` lets the plugin watch too. The others are those of
        `timehands.boot.Request`. Raises `KernelError`, `HostError`, `QemuFailed`, `UsageError`.
        """
        opened = kernel if isinstance(kernel, kernels.Kernel) else Kernel(kernel)
        plain = {one.name: getattr(self, one.name) for one in fields(machines.Machine)}
        request = Request(
            kernel=opened.path,
            machine=machines.Machine(**plain),
            arguments=tuple(arguments.split() if isinstance(arguments, str) else arguments),
            initrd=initrd,
            disk=disk,
            entry=entry,
            patches=tuple(patches),
            until=until,
            timeout_s=timeout_s,
            watch=watch,
            survey=survey,
            folder=folder,
            qemu=qemu,
        )
        prepared = replace(prepare(request), kernel=opened)
        ready_payloads(prepared)
        return Guest(prepared)


class Guest:
    """A guest that stands still, or goes on while a call of this waits for it.

    Made by `Machine.start`. It never outlives its block, nor this process. Everything is recorded
    in ``folder``.
    """

    def __init__(self, prepared: booting.Prepared) -> None:
        self._thread = _Thread()
        self._context = debugging(prepared, Debugging(prepared.request))
        self._booted: Booted | None = None
        try:
            self._session: Session = self._thread.run(self._context.__aenter__())
        except BaseException:
            self._thread.close()
            raise
        self._stops = self._session.stops
        self._answers: dict[int, Leaf] = {}
        self._answering: Placed | None = None
        self._name = prepared.kernel.path.name

    def __repr__(self) -> str:
        state = "ended" if self._booted or self._session.reason else self._stops.client.state.value
        return f"<Guest {self._name}: {state}, recorded in {self.folder}>"

    # ---- going on

    def stops_at(self, *places: str, most: int | None = None) -> Iterator[Stop]:
        """Stop at each of the places (`timehands.watch.stops.wants`), until the boot is over.

        ``most``: at most so many times at each. Raises `UsageError`, `StubRefused` at once, not
        when the first stop is asked for.
        """
        wants = [parse(place, most=most) for place in places]
        return self._stops_of([self._do(self._stops.place(want)) for want in wants])

    def _stops_of(self, placed: Sequence[Placed]) -> Iterator[Stop]:
        try:
            while (stop := self.run()) is not None:
                yield stop
                if all(one.over for one in placed):
                    return
        finally:
            for one in placed if self.stands else ():
                self._do(self._stops.drop(one))

    def run(self, until: str | None = None) -> Stop | None:
        """Let it go on to the next stop, or to a place; None when the boot is over.

        Raises `RecordingError` when nothing can be recorded any more.
        """
        if self._booted is not None or self._session.reason:
            return None
        placed = self._do(self._stops.place(parse(until))) if until else None
        try:
            while (found := self._do(self._session.next())) is not None:
                if placed is None or placed in found.placed or found.kind is not Kind.WANTED:
                    return Stop(self, found)
            return None
        finally:
            if placed is not None and self.stands:
                self._do(self._stops.drop(placed))

    def resume(self) -> None:
        """Let it run, and do not wait. `pause` stops it, `run` waits for its next stop."""
        if not self._stops.running:
            self._do(self._stops.go_on())

    def pause(self) -> Stop:
        """Stop it where it is. A stop that was wanted may come first."""
        if self._stops.running:
            self._do(self._stops.interrupt())
        return self.stop

    @property
    def stands(self) -> bool:
        """Whether it stands still, and can be asked."""
        return self._booted is None and not self._stops.running and not self._session.reason

    @property
    def stop(self) -> Stop:
        """The stop that is under way. Raises `UsageError` when it runs, or has not run yet."""
        found = self._stops.stop
        if found is None or found.over:
            raise UsageError("the guest does not stand at a stop", advice="Call run() or pause().")
        return Stop(self, found)

    @property
    def reason(self) -> str:
        """Why the boot is over, in one word; empty while it goes on."""
        return self._session.reason

    # ---- looking

    def value(self, expression: str) -> Value:
        """A C expression's value, of the guest as it stands (before it ran: of the kernel's file).

        Raises `ExpressionError`.
        """
        return self._view().value(expression)

    def backtrace(self, most: int = 32) -> Backtrace:
        """Who called what is under way."""
        return self._view().backtrace(most)

    def console(self) -> tuple[str, ...]:
        """What it has printed so far, by lines that are complete."""
        from timehands.watch.recording import Recording

        return tuple(line.text for line in Recording.open(self.folder).console)

    @property
    def folder(self) -> Path:
        """Where it is recorded."""
        return self._session.folder

    # ---- changing

    def set(self, assignment: str) -> Intervention:
        """``tsc_freq = 1``, ``$rax = 0``. Raises `ExpressionError`, `StubRefused`."""
        return self._do(steering.set_value(self._stops, assignment))

    def cpuid(self, answers: Mapping[int, tuple[int, int, int, int]]) -> None:
        """Answer these CPUID leaves from now on: leaf to (eax, ebx, ecx, edx)."""
        self._answers |= {leaf: Leaf(*registers) for leaf, registers in answers.items()}
        action = steering.answer_cpuid(self._answers)
        if self._answering is None:
            self._answering = self._do(self._stops.place(parse("cpuid"), action=action))
        self._answering.action = action

    def skip(self, function: str, returning: int | None = None) -> None:
        """Leave a function out each time from now on; it returns that."""
        action = steering.skip_function(returning)
        self._do(self._stops.place(parse(function), action=action))

    def ask_cpuid(self, leaf: int, subleaf: int = 0) -> Leaf:
        """Execute CPUID inside the guest. Raises `CannotSteer`."""
        return self._do(steering.ask_cpuid(self._stops, leaf, subleaf))

    def ask_msr(self, msr: int) -> int:
        """Read an MSR inside the guest. Raises `CannotSteer`."""
        return self._do(steering.ask_msr(self._stops, msr))

    def ask_tsc(self) -> int:
        """Read the TSC inside the guest, in ticks. Raises `CannotSteer`."""
        return self._do(steering.ask_tsc(self._stops))

    def hold(self, seconds: float) -> Intervention:
        """Let it stand still for so long, in s of the host."""
        return self._do(steering.hold(self._stops, seconds))

    def jump(self, clock: str, by: int) -> Intervention:
        """Move a clock by so many ticks: ``tsc``. Raises `CannotSteer` where it cannot be."""
        if clock != "tsc":
            raise UsageError(f"only the tsc can be made to jump, not {clock!r}")
        return self._do(steering.jump_tsc(self._stops, by))

    # ---- the end

    def end(self) -> Booted:
        """End it, if it has not ended, and tell what came of it: its recording and report."""
        if self._booted is None:
            try:
                self._thread.run(self._context.__aexit__(None, None, None))
            finally:
                self._thread.close()
            self._booted = open_recording(self.folder)
        return self._booted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.end()
        elif self._booted is None:
            with contextlib.suppress(type(error)):
                self._thread.run(self._context.__aexit__(kind, error, trace))
            self._thread.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self._booted is not None:
            work.close()
            raise UsageError("the guest has been ended")
        return self._thread.run(work)

    def _view(self) -> View:
        stop = self._stops.stop
        if stop is not None:
            return Stop(self, stop).view
        if self._stops.running:
            raise UsageError("the guest runs", advice="Stop it first: pause().")
        return self._do(self._stops.see(lambda view: view))


class Stop:
    """The guest stands still; what is asked is fetched when it is used, while that lasts.

    ``why`` is what asked for the stop, ``where`` the place in the kernel.
    """

    def __init__(self, guest: Guest, stop: waiting.Stop) -> None:
        self._guest = guest
        self._stop = stop
        self.index, self.vcpu, self.pc = stop.index, stop.vcpu, stop.pc
        self.why, self.where = stop.why, stop.where
        self.notes = stop.notes

    def __repr__(self) -> str:
        return f"<Stop s{self.index}: {self.why}, {self.where}>"

    @property
    def registers(self) -> Mapping[str, int]:
        """The registers of the vCPU that stopped, by name."""
        return self._guest._do(self._stop.registers())

    @property
    def view(self) -> View:
        """Everything that can be seen; its memory is the guest's."""
        stops = self._guest._stops
        memory = _LiveMemory(self._guest, self._stop)
        return View(stops.kernel, self.registers, memory, stops.constants)

    def arg(self, which: str | int) -> Value:
        """An argument of the function where the guest stands, by name or number from 0.

        Raises `UsageError`.
        """
        return self.view.arg(which)

    def value(self, expression: str) -> Value:
        """A C expression's value. Raises `ExpressionError`."""
        return self.view.value(expression)

    def backtrace(self, most: int = 32) -> Backtrace:
        """Who called what is under way; kept in the recording."""
        return self._guest._do(self._stop.backtrace(most))

    def set(self, assignment: str) -> Intervention:
        """Change something: ``tsc_freq = 1``."""
        return self._guest.set(assignment)

    def skip(self, returning: int | None = None) -> Intervention:
        """Leave out the function at whose beginning the guest stands. Raises `CannotSteer`."""
        return self._guest._do(steering.skip(self._guest._stops, returning))


class _LiveMemory:
    """The guest's memory at one stop, fetched when it is read."""

    def __init__(self, guest: Guest, stop: waiting.Stop) -> None:
        self._guest = guest
        self._stop = stop

    def read(self, address: int, length: int) -> bytes:
        """See `timehands.kernels.memory.Memory`. Raises `UsageError` when the stop is over."""
        if self._stop.over:
            raise UsageError(
                f"stop s{self._stop.index} is over: its values cannot be read any more"
            )
        stops = self._guest._stops
        for _ in range(length // 256 + 3):
            try:
                return stops.pages.read(address, length)
            except Missing as missing:
                self._guest._do(stops.pages.fetch(missing, stops.client.read))
        raise Unreadable(address, length)


class _Thread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
