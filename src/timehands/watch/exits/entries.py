"""Entries of a few chosen functions, as records: hardware breakpoints, which KVM tells of.

Each costs its vCPU an exit, a step and some ioctls; the others run on. A function that is entered
all the time would take the guest's time: after `MOST_ENTRIES` its breakpoint is taken away.
"""

from __future__ import annotations

import contextlib
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timehands.errors import KvmRefused, MachineError
from timehands.watch.entered import LET_BE
from timehands.watch.plan import Function
from timehands.watch.records import RECORD, Kind

if TYPE_CHECKING:
    from timehands.monitor.breakpoints import Breakpoints, Hit, Point
    from timehands.monitor.microvm import Microvm

#: So many entries of a function are events; those until its breakpoint is gone are counted.
MOST_ENTRIES = 1024
_M64 = (1 << 64) - 1
#: What a call in 64-bit code leaves on the stack; and in 32-bit code, with three arguments.
_STACK64, _STACK32 = struct.Struct("<Q"), struct.Struct("<4I")


@dataclass(slots=True)
class _Watched:
    """A function; ``number`` is its position among those that are watched."""

    number: int
    function: Function
    count: int = 0
    let_be_ns: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Entries:
    """Watches functions of one guest. ``post`` gets the records, in the threads of the vCPUs."""

    def __init__(self, functions: Iterable[Function], post: Callable[[bytes], None]) -> None:
        self._watched = [_Watched(number, function) for number, function in enumerate(functions)]
        self._post = post
        self._stops: Breakpoints | None = None
        #: Those that have had enough; None ends the thread that takes their breakpoints away.
        self._enough: queue.SimpleQueue[_Watched | None] = queue.SimpleQueue()
        self._remover = threading.Thread(target=self._remove, name="entries", daemon=True)
        self._points: dict[int, tuple[Point, Callable[[Hit], None]]] = {}

    def watch(self, guest: Microvm) -> None:
        """Put the breakpoints; to be called once, before the guest is let go.

        Raises `BreakpointImpossible` when this host's KVM tells of none, and `KvmRefused`.
        """
        if not self._watched:
            return
        from timehands.monitor.breakpoints import Breakpoints, Point  # few boots need them

        self._stops = Breakpoints(guest)
        for watched in self._watched:
            point, on_hit = Point(watched.function.start), self._told_of(watched)
            self._stops.add(point, on_hit)
            self._points[watched.number] = point, on_hit
        self._remover.start()

    def _told_of(self, watched: _Watched) -> Callable[[Hit], None]:
        def on_hit(hit: Hit) -> None:
            with watched.lock:
                watched.count += 1
                count = watched.count
            if count <= MOST_ENTRIES:
                self._post(entry(watched.number, hit))
            if count == MOST_ENTRIES:
                self._enough.put(watched)

        return on_hit

    def _remove(self) -> None:
        """In a thread of its own: a vCPU's cannot wait for all vCPUs to come out."""
        while (watched := self._enough.get()) is not None:
            assert self._stops is not None
            # Of a guest that cannot be paused the entries are counted on.
            with contextlib.suppress(MachineError, KvmRefused):
                self._stops.remove(*self._points[watched.number])
                watched.let_be_ns = time.monotonic_ns()
                self._post(_count(watched, watched.let_be_ns))

    def close(self) -> None:
        """Change nothing more. To be called before the guest is closed."""
        if self._remover.is_alive():
            self._enough.put(None)
            self._remover.join()

    def counts(self) -> bytes:
        """The records of an end, of functions that were about to be let be."""
        now_ns = time.monotonic_ns()
        return b"".join(
            _count(each, now_ns)
            for each in self._watched
            if each.let_be_ns is None and each.count > MOST_ENTRIES
        )

    def let_be(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Of which a breakpoint was taken away: events of the machine (host ns, name, data)."""
        for each in self._watched:
            if each.let_be_ns is not None:
                yield each.let_be_ns, LET_BE, {"function": each.number, "entries": each.count}


def _count(watched: _Watched, now_ns: int) -> bytes:
    """How many entries there were, and how many of them are no events."""
    count, pc = watched.count, watched.function.start & _M64
    left_out = max(0, count - MOST_ENTRIES)
    return RECORD.pack(Kind.COUNT, 0, 0, 0, now_ns, pc, Kind.ENTER, count, left_out, 0, 0)


def entry(number: int, hit: Hit) -> bytes:
    """The record of an entry: as the plugin's, with arguments and return address.

    What cannot be read of a stack is 0. (The stack segment's base is taken to be 0.)
    """
    from timehands.monitor.linear import read_linear

    regs = hit.regs
    if hit.vcpu.sregs().cs.l:
        first, second, third = regs.rdi, regs.rsi, regs.rdx
        (caller,) = _STACK64.unpack(read_linear(hit.vcpu, regs.rsp, 8).ljust(8, b"\0"))
    else:
        stack = read_linear(hit.vcpu, regs.rsp & 0xFFFF_FFFF, _STACK32.size)
        caller, first, second, third = _STACK32.unpack(stack.ljust(_STACK32.size, b"\0"))
    return RECORD.pack(
        Kind.ENTER, hit.vcpu.number, 0, 0, hit.host_ns, regs.rip & _M64,
        number, first, second, third, caller,
    )  # fmt: skip
