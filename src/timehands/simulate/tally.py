"""What is kept of the reads while a simulation runs: for each vCPU, and in the order of all.

An engine updates these; `timehands.simulate.truth` turns them into a verdict. ``due_ns`` is what
the clock should say: true time less the time for which the guest was stopped, when the policy is
that its clock stops too. Readings are unsigned 64 bits; an offset is ``(ns - due_ns) mod 2**64``
taken as signed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from timehands.simulate.readers import Reader

_HALF = 1 << 63
_WHOLE = 1 << 64


class Read(NamedTuple):
    """An accepted reading, and what was due."""

    due_ns: int
    ns: int

    @property
    def offset_ns(self) -> int:
        """How far the clock is ahead of what is due, -2**63 .. 2**63 - 1."""
        return signed(self.ns - self.due_ns)


def signed(number: int) -> int:
    """The number modulo 2**64 as a signed one."""
    return (number + _HALF) % _WHOLE - _HALF


@dataclass(slots=True)
class Tally:
    """Of one vCPU. ``reads`` counts all, ``refused`` those of them that gave no time.

    A *warp* is a reading below the one before it (``worst_warp_ns``: by how much at most). A
    *stall* is a reading equal to the one before; ``worst_stall_ns`` is the longest time due
    between the first and the last of equal readings in a row. ``low_ns`` and ``high_ns`` bound
    the offsets. ``first`` and ``last`` are of the present stretch: the judge sets ``first`` to
    None at each event, an engine fills it with the next reading. ``held_due_ns`` is when the
    value of ``last`` was first read.
    """

    reads: int = 0
    refused: int = 0
    warps: int = 0
    worst_warp_ns: int = 0
    stalls: int = 0
    worst_stall_ns: int = 0
    low_ns: int | None = None
    high_ns: int | None = None
    first: Read | None = None
    last: Read | None = None
    held_due_ns: int = 0

    def accept(self, due_ns: int, ns: int) -> None:
        """One reading; they come in the order of time."""
        last, self.last = self.last, Read(due_ns, ns)
        if self.first is None:
            self.first = self.last
        offset = self.last.offset_ns
        self.low_ns = offset if self.low_ns is None else min(self.low_ns, offset)
        self.high_ns = offset if self.high_ns is None else max(self.high_ns, offset)
        if last is not None and ns == last.ns:
            self.stalls += 1
            self.worst_stall_ns = max(self.worst_stall_ns, due_ns - self.held_due_ns)
            return
        self.held_due_ns = due_ns
        if last is not None and ns < last.ns:
            self.warps += 1
            self.worst_warp_ns = max(self.worst_warp_ns, last.ns - ns)


@dataclass(slots=True)
class Across:
    """Of all vCPUs together, in the order of true time (at the same moment: of their ns).

    A warp here is a reading below the one before it, whichever vCPU took them. ``last_ns`` is
    that reading; None before the first.
    """

    warps: int = 0
    worst_warp_ns: int = 0
    last_ns: int | None = None

    def accept(self, ns: int) -> None:
        """One reading."""
        if self.last_ns is not None and ns < self.last_ns:
            self.warps += 1
            self.worst_warp_ns = max(self.worst_warp_ns, self.last_ns - ns)
        self.last_ns = ns


@dataclass(slots=True)
class Tallies:
    """The state that an engine works on. ``last_value_ns`` is the reader's own last value."""

    reader: Reader
    vcpus: list[Tally] = field(default_factory=list)
    across: Across = field(default_factory=Across)
    last_value_ns: int = 0
