"""Running and stopping a guest for a debugger: all vCPUs stop when one does.

A vCPU that comes to a point, or has done its step, waits in its own thread, outside of the gate,
and the debugger's thread pauses the others. What others come to meanwhile is kept: it is told when
they are let go on.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from timehands.kvm.vcpu import Vcpu
from timehands.monitor.breakpoints import Breakpoints, Hit, Kind, Point
from timehands.monitor.microvm import Microvm

#: How long a vCPU may take for one instruction, before it is taken for one that waits.
STEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Go:
    """A vCPU runs on."""


@dataclass(frozen=True, slots=True)
class Step:
    """A vCPU executes one instruction, and more while it is in ``start`` to ``end`` (excluded)."""

    start: int = 0
    end: int = 0


Action = Go | Step


@dataclass(frozen=True, slots=True)
class Stop:
    """Why all stand still: a vCPU came to ``point``; with none it stepped, or was interrupted."""

    vcpu: int
    point: Point | None = None
    interrupted: bool = False


class Control:
    """The vCPUs of a guest, for one debugger. ``wake`` is called, in any thread, when it is to
    call `poll`. What else there is is for the debugger's thread alone."""

    def __init__(self, guest: Microvm, breakpoints: Breakpoints, wake: Callable[[], None]) -> None:
        self.guest, self.breakpoints = guest, breakpoints
        self._wake = wake
        self._came: queue.SimpleQueue[Stop] = queue.SimpleQueue()
        self._kept: dict[int, Stop] = {}
        self._actions: Mapping[int, Action] = {}
        self._numbers = tuple(vcpu.number for vcpu in guest.vcpus)
        #: Told at the next `poll`, without running before.
        self._ready: Stop | None = None
        #: Whether a debugger is there to wait for.
        self._present = True
        #: One vCPU executes one instruction, and the others stand still for that time.
        self._alone = False
        breakpoints.on_step(self._stepped)

    @property
    def ended(self) -> bool:
        """Whether there is no guest any more."""
        return self.guest.ending is not None

    def insert(self, point: Point, vcpu: int) -> None:
        """Have all stop there. Raises `BreakpointImpossible`, `KvmRefused`."""
        self.breakpoints.add(point, self._hit, vcpu=vcpu)

    def remove(self, point: Point) -> None:
        """Take it away again. Raises KeyError when it is not there."""
        self.breakpoints.remove(point, self._hit)

    def stop(self) -> Stop:
        """Stop all of them now, for whoever asks. Raises `MachineError` when one does not come out.

        What one of them came to just before is what is told.
        """
        self.guest.pause()
        return self._first() or Stop(min(self._actions, default=0), interrupted=True)

    def run(self, actions: Mapping[int, Action]) -> None:
        """Let these vCPUs run; the others stand still. Then `poll`, when woken.

        Raises `KvmRefused`, `MachineError` when one does not come out.
        """
        self._actions = dict(actions)
        self._ready = self._still_kept()
        alone = self._stand_on_int3()
        while alone and not self._ready and not self.ended:
            self._ready = self._pass_alone(alone.pop())
        if self._ready or self.ended:
            self._wake()
        else:
            self._go(actions)

    def poll(self) -> Stop | None:
        """Why all stand still now; None: they run, or there is no guest any more.

        Raises `MachineError` when one does not come out.
        """
        if self._ready is not None:
            stop, self._ready = self._ready, None
            return stop
        self._collect()
        if self.ended or not self._kept.keys() & self._actions.keys():
            return None
        self.guest.pause()
        return self._first()

    def leave(self) -> None:
        """The debugger goes: nothing waits for it any more. A guest that stands still goes on
        doing so. Raises `MachineError`, `KvmRefused`."""
        self._present = False
        self._kept.clear()
        self.breakpoints.on_step(None)
        with self.guest.paused():
            for number in self._numbers:
                self.breakpoints.go(number)
        self.guest.gate.release(*self._numbers)

    # In the threads of the vCPUs

    def _hit(self, hit: Hit) -> None:
        self._wait_here(hit.vcpu, Stop(hit.vcpu.number, hit.point))

    def _stepped(self, vcpu: Vcpu) -> None:
        action = self._actions.get(vcpu.number)
        if isinstance(action, Step) and self._goes_on(action, vcpu.number) and not self._alone:
            self.breakpoints.step(vcpu.number)
        else:
            self._wait_here(vcpu, Stop(vcpu.number))

    def _wait_here(self, vcpu: Vcpu, stop: Stop) -> None:
        """Out of the gate, as a vCPU that is paused: it may be looked at, and does not hold up
        those who pause the guest."""
        if not self._present:
            return
        gate = self.guest.gate
        gate.hold(vcpu.number)
        self._came.put(stop)
        self._wake()
        gate.leave(vcpu.number)
        if not gate.pass_through(vcpu.number):
            vcpu.interrupt()  # the guest ends: not one instruction more

    # In the debugger's

    def _collect(self) -> None:
        while not self._came.empty():
            stop = self._came.get()
            self._kept[stop.vcpu] = stop

    def _first(self) -> Stop | None:
        """What one of those that ran came to. What the others came to is told later."""
        self._collect()
        for number in self._kept.keys() & self._actions.keys():
            return self._kept.pop(number)
        return None

    def _still_kept(self) -> Stop | None:
        """What a vCPU that is to run has come to already, if that still holds."""
        while (stop := self._first()) is not None:
            if stop.point in self.breakpoints.points and self._is_there(stop):
                return stop
        return None

    def _is_there(self, stop: Stop) -> bool:
        assert stop.point is not None
        if not stop.point.kind.executes:
            return True
        return self.breakpoints.linear_pc(stop.vcpu) == stop.point.address

    def _stand_on_int3(self) -> list[int]:
        """Those that would lift an int3 while others run, who could pass it unseen."""
        if len(self._actions) < 2:
            return []
        breakpoints, found = self.breakpoints, []
        for number, action in self._actions.items():
            passed = breakpoints.at if isinstance(action, Step) else breakpoints.to_pass
            if any(point.kind is Kind.SOFTWARE for point in passed(number)):
                found.append(number)
        return found

    def _pass_alone(self, number: int) -> Stop | None:
        """One instruction of one vCPU. Returns what there is to tell of it."""
        stop, self._alone = None, True
        self._go({number: Step()})
        with suppress(queue.Empty):  # it sleeps, or waits for another one
            stop = self._came.get(timeout=STEP_SECONDS)
        self.guest.pause()
        self._alone = False
        if stop is None and not self._came.empty():
            stop = self._came.get()
        if stop is None or stop.point is not None:
            return stop
        action = self._actions[number]
        done = isinstance(action, Step) and not self._goes_on(action, number)
        return stop if done else None

    def _goes_on(self, action: Step, number: int) -> bool:
        pc = self.breakpoints.linear_pc(number)
        return action.start <= pc < action.end and not self.breakpoints.at(number)

    def _go(self, actions: Mapping[int, Action]) -> None:
        for number, action in actions.items():
            if isinstance(action, Step):
                self.breakpoints.step(number)
            else:
                self.breakpoints.go(number)
        gate = self.guest.gate
        gate.hold(*self._numbers)
        gate.release(*actions)
        self.guest.resume()
