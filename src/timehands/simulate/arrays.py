"""The fast engine: whole windows of reads at once, on NumPy arrays of 64-bit integers.

It gives what `timehands.simulate.scalar` gives, bit for bit. Windows are gathered until there is
enough for a chunk that fits a processor's L2 cache; then all reads of the chunk are evaluated
(`arrays_reads`), put in the order of time where that matters, held to the last value where the
reader does so, and counted (`arrays_tally`).

The order of all vCPUs' reads is needed for what warps across them and for the last value, and is
had by sorting numbers of 64 bits that hold the time, the offset and the vCPU of a read side by side
(`_packed`); where they do not fit, by sorting all keys one after the other. Where all vCPUs read
the same function of time there is nothing to sort.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from timehands.simulate.arrays_reads import Reads, Stretch, same_function, stretches
from timehands.simulate.arrays_tally import count, count_across
from timehands.simulate.segments import U64, Segment, Window
from timehands.simulate.tally import Tallies

U64s = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
#: Reads that are gathered before they are evaluated.
CHUNK = 1 << 15
_by_vcpu = attrgetter("vcpu")
_NEGATIVE = 1 << 63
_NOBODY: U64s = np.array([], np.uint64)


class ArraysEngine:
    """Evaluates windows, some at a time. ``tallies`` is up to date after `flush`."""

    def __init__(self, tallies: Tallies) -> None:
        self.tallies = tallies
        self._reads = Reads(tallies.reader)
        self._segments: list[Segment] = []
        self._gathered = 0
        self._paused_ns = 0

    def window(self, window: Window) -> None:
        """Take a window in."""
        instant = any(one.start_ns == one.end_ns for one in window.segments)
        if instant or window.paused_ns != self._paused_ns:
            self.flush()
        self._paused_ns = window.paused_ns
        self._segments += window.segments
        self._gathered += sum(one.reads for one in window.segments)
        if instant or self._gathered >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Evaluate what was taken in."""
        tallies = self.tallies
        chunk = stretches(tallies, self._segments)
        self._segments, self._gathered = [], 0
        if not chunk:
            return
        if len(tallies.vcpus) == 1:
            _Chunk(tallies, self._reads, chunk, self._paused_ns).count_one()
            return
        chunk.sort(key=_by_vcpu)
        reads = _Chunk(tallies, self._reads, chunk, self._paused_ns)
        if reads.in_order and same_function(tallies.reader, chunk):
            reads.count_same()
        else:
            reads.count_sorted()


class _Chunk:
    """The accepted reads of some stretches, those of one vCPU after those of another.

    ``keeps``: whether the last value counts for them; None when for some only. ``in_order``: the
    reads of each vCPU are in the order of time, and its last value counts always or never.
    """

    def __init__(
        self, tallies: Tallies, reads: Reads, chunk: list[Stretch], paused_ns: int
    ) -> None:
        self._tallies = tallies
        self._chunk = chunk
        self._due_ns, self._ns = reads.evaluate(chunk)
        if paused_ns:
            self._due_ns -= np.uint64(paused_ns)
        self._work = [one[: len(self._ns)] for one in reads.work]
        keeps = sum(one.keeps for one in chunk)
        self.keeps = {0: False, len(chunk): True}.get(keeps)
        #: Otherwise a vCPU may read twice in the same ns, from two pages.
        self._spaced = all(one.length_ns for one in chunk)
        self.in_order = self._spaced and self.keeps is not None

    def _repeated(self, values: list[int]) -> U64s:
        counts = [one.reads for one in self._chunk]
        return np.repeat(np.array(values, np.uint64), counts)

    def _flags(self) -> U64s | None:
        """For each read, whether the last value counts; None when it is the same for all."""
        return (
            None if self.keeps is not None else self._repeated([one.keeps for one in self._chunk])
        )

    def count_one(self) -> None:
        """There is one vCPU: its segments are in order."""
        if self.keeps is not False:
            flags = self._flags()
            self._hold(self._ns, None if flags is None else flags > 0)
        count(self._tallies.vcpus[self._chunk[0].vcpu], self._due_ns, self._ns, self._work[0])
        count_across(self._tallies.across, self._ns)

    def count_same(self) -> None:
        """All read one function that never steps back: in the order of time, neither do they."""
        tallies, ns = self._tallies, self._ns
        if self.keeps:
            if int(ns.min()) < tallies.last_value_ns:
                np.maximum(ns, np.uint64(tallies.last_value_ns), out=ns)
            tallies.last_value_ns = int(ns.max())
        self._count_each()
        tallies.across.accept(int(ns.min()))
        tallies.across.last_ns = int(ns.max())

    def count_sorted(self) -> None:
        """The order matters."""
        tallies = self._tallies
        ordered = self._ordered()
        held = self.keeps is not False and self._hold(ordered.ns, ordered.keeps)
        count_across(tallies.across, ordered.ns)
        if held or not self._spaced:
            self._take_back(ordered)
        self._count_each()

    def _take_back(self, ordered: _Ordered) -> None:
        """From the order of time to one vCPU after the other: by radix, whose order is stable."""
        order = np.argsort(ordered.vcpu.astype(np.uint16), kind="stable")
        np.take(ordered.due_ns, order, out=self._due_ns)
        np.take(ordered.ns, order, out=self._ns)

    def _count_each(self) -> None:
        """Each vCPU's readings."""
        start = 0
        for vcpu, group in groupby(self._chunk, key=_by_vcpu):
            end = start + sum(one.reads for one in group)
            due_ns, ns = self._due_ns[start:end], self._ns[start:end]
            count(self._tallies.vcpus[vcpu], due_ns, ns, self._work[0][start:end])
            start = end

    def _hold(self, ns: U64s, keeps: Flags | None) -> bool:
        """Hold readings in the order of time to the last value, in place. Whether any changed."""
        last = self._tallies.last_value_ns
        floor = ns if keeps is None else np.where(keeps, ns, np.uint64(0))
        rises = int(floor[0]) >= last and bool((floor[1:] >= floor[:-1]).all())
        if not rises:
            floor = np.maximum(floor, np.uint64(last))
            floor = np.maximum.accumulate(floor)
            np.copyto(ns, floor, where=True if keeps is None else keeps)
        self._tallies.last_value_ns = int(floor[-1])
        return not rises

    def _ordered(self) -> _Ordered:
        """All reads in the order of time; at the same moment of their ns, then of their vCPU."""
        vcpu, keeps = _NOBODY, self._flags()
        if self.keeps is not False or not self._spaced:  # otherwise nobody asks whose a read is
            vcpu = self._repeated([one.vcpu for one in self._chunk])
        packed = _packed(self._due_ns, self._ns, vcpu, keeps, self._work)
        return packed or _by_all_keys(self._due_ns, self._ns, vcpu, keeps)


class _Ordered(NamedTuple):
    """Reads in order. ``keeps`` is None when the same holds for all of them.

    ``vcpu`` is empty when nobody asks for it.
    """

    due_ns: U64s
    ns: U64s
    vcpu: U64s
    keeps: Flags | None


def _by_all_keys(due_ns: U64s, ns: U64s, vcpu: U64s, keeps: U64s | None) -> _Ordered:
    keys = [key for key in (keeps, vcpu, ns, due_ns) if key is not None and len(key)]
    order = np.lexsort(keys)
    flags = None if keeps is None else keeps[order] > 0
    return _Ordered(due_ns[order], ns[order], vcpu[order] if len(vcpu) else vcpu, flags)


def _packed(
    due_ns: U64s, ns: U64s, vcpu: U64s, keeps: U64s | None, work: list[U64s]
) -> _Ordered | None:
    """Sorted as numbers made of time, offset, vCPU and flag; None when 64 bits do not hold them.

    At one moment, offsets have the order of the readings: below 2^63 ns nothing wraps. The sort
    finds that the reads of each vCPU are in order already, and merges them.
    """
    start, end = int(due_ns.min()), int(due_ns.max())
    if end >= _NEGATIVE or int(ns.max()) >= _NEGATIVE:
        return None
    key, field, offsets = work[:3]
    np.subtract(ns, due_ns, out=offsets)
    low, high = int(offsets.view(np.int64).min()), int(offsets.view(np.int64).max())
    flag_bits = 0 if keeps is None else 1
    vcpu_bits = int(vcpu.max(initial=0)).bit_length()
    offset_bits = (high - low).bit_length()
    if (end - start).bit_length() + offset_bits + vcpu_bits + flag_bits > 64:
        return None
    np.subtract(due_ns, np.uint64(start), out=key)
    _append(key, offset_bits, np.subtract(offsets, np.uint64(low & U64), out=offsets))
    if len(vcpu):
        _append(key, vcpu_bits, vcpu)
    if keeps is not None:
        _append(key, flag_bits, keeps)
    key.sort(kind="stable")
    flags = None if keeps is None else _take(key, flag_bits, field) > 0
    whose = _take(key, vcpu_bits, work[3]) if len(vcpu) else vcpu
    _take(key, offset_bits, offsets)
    key += np.uint64(start)
    offsets += key
    offsets += np.uint64(low & U64)
    return _Ordered(key, offsets, whose, flags)


def _append(key: U64s, bits: int, field: U64s) -> None:
    key <<= np.uint64(bits)
    key |= field


def _take(key: U64s, bits: int, out: U64s) -> U64s:
    np.bitwise_and(key, np.uint64((1 << bits) - 1), out=out)
    key >>= np.uint64(bits)
    return out
