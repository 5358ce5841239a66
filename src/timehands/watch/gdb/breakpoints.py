"""Breakpoints and watchpoints as the protocol knows them, and which kind works on a machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from timehands.watch.gdb.replies import SIGABRT, SIGTRAP, Cause, StopReply


class BreakKind(Enum):
    """The digit of a Z packet."""

    SOFTWARE = 0
    HARDWARE = 1
    WRITE = 2
    READ = 3
    ACCESS = 4

    @property
    def executes(self) -> bool:
        """Whether it stops at an instruction, not at data."""
        return self in (BreakKind.SOFTWARE, BreakKind.HARDWARE)


class Breakpoint(NamedTuple):
    """``address`` is virtual; ``length`` in bytes: 1 for instructions, 1 to 8 for data."""

    kind: BreakKind
    address: int
    length: int = 1

    def wire(self, kind: BreakKind | None = None) -> bytes:
        """What follows ``Z`` or ``z``, perhaps as another kind."""
        return b"%d,%x,%x" % ((kind or self.kind).value, self.address, self.length)


@dataclass(slots=True)
class BreakpointKinds:
    """Which kind of breakpoint to use.

    On some hosts with KVM a software breakpoint (an int3 that QEMU writes into the guest) does not
    come back as a stop but kills the guest: QEMU reports an abort (T06), or a trap where no
    breakpoint is. ``suspect`` is set where that can be (QEMU on KVM). Once seen, hardware
    breakpoints are used instead, and ``note`` tells it.
    """

    suspect: bool = False
    software_works: bool = True
    note: str = ""
    _proved: bool = False

    def choose(self, kind: BreakKind) -> BreakKind:
        """The kind to use where this one is asked for."""
        if kind is BreakKind.SOFTWARE and not self.software_works:
            return BreakKind.HARDWARE
        return kind

    @property
    def doubts(self) -> bool:
        """Whether the next stop has to be judged."""
        return self.suspect and self.software_works

    def needs_pc(self, stop: StopReply) -> bool:
        """Whether only the instruction pointer tells if that stop is a breakpoint's."""
        return stop.cause is Cause.SIGNAL and stop.signal == SIGTRAP and not self._proved

    def judge(self, stop: StopReply, pc: int | None, software: Collection[int]) -> bool:
        """Whether that stop shows that software breakpoints (at these addresses) do not work."""
        if not self.doubts or not software:
            return False
        if self.needs_pc(stop) and pc is not None:
            self._proved = pc in software
            bad = not self._proved
        else:
            bad = stop.cause is Cause.SIGNAL and stop.signal == SIGABRT
        if bad:
            where = f" at {pc:#x}" if pc is not None else ""
            what = "an abort" if stop.signal == SIGABRT else "a trap that no breakpoint of ours is"
            self.software_works = False
            self.note = (
                f"software breakpoints do not work on this KVM ({what}{where}): hardware "
                "breakpoints are used instead"
            )
        return bad
