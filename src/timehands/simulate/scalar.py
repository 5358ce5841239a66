"""The reference engine: every read in Python integers, one by one."""

from __future__ import annotations

from timehands.simulate.readers import keeps_last, nanoseconds, refuses
from timehands.simulate.segments import Segment, Window
from timehands.simulate.tally import Tallies


class ScalarEngine:
    """Evaluates windows as they come. ``tallies`` is up to date after each of them."""

    def __init__(self, tallies: Tallies) -> None:
        self.tallies = tallies

    def window(self, window: Window) -> None:
        """All reads of a window, in the order of true time (at the same moment: of their ns)."""
        reads = [read for segment in window.segments for read in self._reads(segment)]
        if len(self.tallies.vcpus) > 1:
            reads.sort()
        for t_ns, ns, vcpu, keeps in reads:
            self._accept(vcpu, t_ns - window.paused_ns, ns, keeps)

    def flush(self) -> None:
        """Nothing is held back."""

    def _reads(self, segment: Segment) -> list[tuple[int, int, int, bool]]:
        """(true time, ns before the last value counts, vCPU, whether it counts)."""
        reader, page, vcpu = self.tallies.reader, segment.page, segment.vcpu
        tally = self.tallies.vcpus[vcpu]
        tally.reads += segment.reads
        if refuses(reader, page):
            tally.refused += segment.reads
            return []
        keeps = keeps_last(reader, page)
        times = map(segment.read_ns, range(segment.reads))
        return [(t, nanoseconds(reader, page, segment.tsc.at(t)), vcpu, keeps) for t in times]

    def _accept(self, vcpu: int, due_ns: int, ns: int, keeps: bool) -> None:
        tallies = self.tallies
        if keeps:
            ns = tallies.last_value_ns = max(ns, tallies.last_value_ns)
        tallies.vcpus[vcpu].accept(due_ns, ns)
        tallies.across.accept(ns)
