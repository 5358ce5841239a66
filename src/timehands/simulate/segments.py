"""What a simulation hands to an engine: undisturbed stretches of guest time, in order.

A scenario is turned into windows of true time (`timehands.simulate.world`); an engine evaluates the
clock reads in them, and keeps a `timehands.simulate.truth.Tally` for each vCPU. Two engines do so:
`timehands.simulate.scalar` in Python integers (the reference) and `timehands.simulate.arrays` in
NumPy; their results are equal.

All times are true time in integer ns since the start of the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from timehands.clocks.pvclock.layout import TimeInfo

NS_PER_S = 10**9
U64 = (1 << 64) - 1
#: No segment is longer, nor so long that ``(end_ns - start_ns) * tsc.hz`` reaches `MAX_PRODUCT`:
#: what an engine computes within a segment fits 64 bits.
MAX_SEGMENT_NS = 1 << 30
MAX_PRODUCT = 1 << 63
#: No window holds more reads.
MAX_WINDOW_READS = 1 << 16


class Line(NamedTuple):
    """A counter as an exact affine function of true time.

    Its value at ``t_ns >= since_ns`` is ``(base + (t_ns - since_ns) * hz // 10**9) mod 2**64``;
    ``hz >= 1``. ``since_ns`` may lie long before the segment: the product then has more than 64
    bits; `anchor` gives a start from which it has not.
    """

    base: int
    since_ns: int
    hz: int

    def at(self, t_ns: int) -> int:
        """The counter's value."""
        return (self.base + (t_ns - self.since_ns) * self.hz // NS_PER_S) & U64

    def anchor(self, t_ns: int) -> tuple[int, int]:
        """``(value, rest)``: the value at ``t_ns + n`` is ``value + (rest + n * hz) // 10**9``.

        ``0 <= rest < 10**9``, in parts of a cycle.
        """
        cycles, rest = divmod((t_ns - self.since_ns) * self.hz, NS_PER_S)
        return (self.base + cycles) & U64, rest

    def shifted(self, cycles: int) -> Line:
        """The same line, so many cycles ahead."""
        return Line((self.base + cycles) & U64, self.since_ns, self.hz)


class Segment(NamedTuple):
    """A stretch in which one vCPU runs undisturbed and reads its clock ``reads >= 1`` times.

    ``tsc``: what the guest's RDTSC gives. ``page``: what its reader finds in its page; when it
    reads the TSC alone, the record that the guest made for itself (it never changes, version 2).
    """

    vcpu: int
    start_ns: int
    end_ns: int
    tsc: Line
    page: TimeInfo
    reads: int

    def read_ns(self, k: int) -> int:
        """When read ``k`` in ``range(reads)`` happens: the first at ``start_ns``."""
        return self.start_ns + k * (self.end_ns - self.start_ns) // self.reads


@dataclass(frozen=True, slots=True)
class Window:
    """All that the vCPUs do between two moments; windows follow each other and do not overlap.

    Every segment lies in ``start_ns .. end_ns``, which is at most `MAX_SEGMENT_NS` long, and there
    are at most `MAX_WINDOW_READS` reads in all. Segments are in the order of their start for each
    vCPU; those of different vCPUs overlap.

    ``event``: the number of the event that happened at ``start_ns``, before these reads.
    ``paused_ns``: how long the guest had been stopped in all before (constant between events).
    ``sample``: a point of the plots is taken after this window.
    An engine may gather windows and evaluate them at once, except across an event or a sample
    (`timehands.simulate.run` then calls its ``flush``).
    """

    start_ns: int
    end_ns: int
    segments: tuple[Segment, ...]
    event: int | None = None
    paused_ns: int = 0
    sample: bool = False
