"""All reads of many segments at once, on NumPy arrays: when they happen, and what they give.

The steps are those of `Segment.read_ns`, `Line.at` and `readers.nanoseconds`, each exact in 64 bits
(see `segments.MAX_PRODUCT`). Two ways lead to the same: *long* stretches are evaluated one by one,
with numbers for their parameters; many *short* ones together, with their parameters repeated for
each read (those that are equal in all of them stay numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from timehands.clocks.pvclock import arrays as pvclock
from timehands.clocks.pvclock import reading
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.errors import UsageError
from timehands.simulate import readers
from timehands.simulate.readers import Reader
from timehands.simulate.segments import NS_PER_S, U64, Segment
from timehands.simulate.tally import Tallies

U64s = npt.NDArray[np.uint64]
_PER_S = np.uint64(NS_PER_S)
_NEGATIVE = np.uint64(1 << 63)
_32 = np.uint64(32)
#: Segments with so many reads on average are long ones: the cost of a call no longer counts.
LONG = 1024
_START = 1 << 15
_WORK = 4
_WIDTH = 64


class Stretch(NamedTuple):
    """What the reads of a segment are computed from, 64 bits unsigned each (but ``shift``).

    Read ``k`` is ``k * length_ns // reads`` after ``start_ns``; n ns after it, the TSC is
    ``ahead + (rest + n * hz) // 10**9`` past the page's (modulo 2^64). ``keeps``: whether the
    reader's last value counts.
    """

    vcpu: int
    keeps: bool
    start_ns: int
    length_ns: int
    reads: int
    hz: int
    rest: int
    ahead: int
    system_time: int
    mul: int
    shift: int


class _OfPage(NamedTuple):
    """What a reader makes of a page, whatever the TSC."""

    page: TimeInfo
    refused: bool
    keeps: bool
    tsc_timestamp: int
    numbers: tuple[int, int, int]

    @classmethod
    def of(cls, reader: Reader, page: TimeInfo) -> _OfPage:
        numbers = page.system_time, page.tsc_to_system_mul, page.tsc_shift
        refused, keeps = readers.refuses(reader, page), readers.keeps_last(reader, page)
        return cls(page, refused, keeps, page.tsc_timestamp, numbers)


def stretches(tallies: Tallies, segments: Sequence[Segment]) -> list[Stretch]:
    """The segments whose page the reader takes. All reads are counted here, and the refused."""
    found = []
    known: _OfPage | None = None
    for vcpu, start_ns, end_ns, (base, since_ns, hz), page, reads in segments:
        if known is None or page is not known.page:
            known = _OfPage.of(tallies.reader, page)
        tally = tallies.vcpus[vcpu]
        tally.reads += reads
        if known.refused:
            tally.refused += reads
            continue
        cycles, rest = divmod((start_ns - since_ns) * hz, NS_PER_S)  # as `Line.anchor`
        ahead = (base + cycles - known.tsc_timestamp) & U64
        length_ns = end_ns - start_ns
        found.append(
            Stretch(vcpu, known.keeps, start_ns, length_ns, reads, hz, rest, ahead, *known.numbers)
        )
    return found


class Reads:
    """Evaluates reads into buffers of its own, which it uses again and again.

    ``work`` are more of them, as long as any result and free between calls.
    """

    def __init__(self, reader: Reader) -> None:
        """Raises `UsageError` for a reader with an arithmetic of its own."""
        if reader.arithmetic not in (reading.nanoseconds, readers.nanoseconds_64):
            raise UsageError(
                f"the arithmetic of the reader {reader.name} is not known on arrays",
                advice="Use the scalar engine.",
            )
        self._reader = reader
        self._wide = reader.arithmetic is reading.nanoseconds
        self._grow(_START)

    def _grow(self, size: int) -> None:
        self._k: U64s = np.arange(size, dtype=np.uint64)
        self._t: U64s = np.empty(size, np.uint64)
        self._ns: U64s = np.empty(size, np.uint64)
        self.work: tuple[U64s, ...] = tuple(np.empty(size, np.uint64) for _ in range(_WORK))

    def evaluate(self, chunk: Sequence[Stretch]) -> tuple[U64s, U64s]:
        """True times, and readings before any last value counts, one stretch after the other.

        Both are valid until the next call, and may be written to.
        """
        counts = [one.reads for one in chunk]
        total = sum(counts)
        if total > len(self._k):
            self._grow(1 << (total - 1).bit_length())
        if total >= LONG * len(chunk):
            self._long(chunk)
        else:
            self._short(chunk, counts, total)
        return self._t[:total], self._ns[:total]

    def _long(self, chunk: Sequence[Stretch]) -> None:
        start = 0
        for one in chunk:
            end = start + one.reads
            k, t, ns = self._k[: one.reads], self._t[start:end], self._ns[start:end]
            fused = _Fused.of(one, self._reader) if self._wide else None
            if fused:
                fused.compute(k, one, t, ns)
            else:
                self._compute(k, _Values(*one[2:]), t, ns, self.work[0][start:end])
            start = end

    def _short(self, chunk: Sequence[Stretch], counts: list[int], total: int) -> None:
        columns = list(zip(*chunk, strict=True))[2:]
        values = _Values(*(spread(column, counts) for column in columns))
        t, ns, work, k = (one[:total] for one in (self._t, self._ns, *self.work[:2]))
        starts = np.cumsum([0, *counts[:-1]], dtype=np.uint64)
        np.subtract(self._k[:total], np.repeat(starts, counts), out=k)
        self._compute(k, values, t, ns, work)

    def _compute(self, k: U64s, of: _Values, t: U64s, ns: U64s, work: U64s) -> None:
        np.multiply(k, _u64(of.length_ns), out=t)
        np.floor_divide(t, _u64(of.reads), out=t)
        np.multiply(t, _u64(of.hz), out=ns)
        np.add(ns, _u64(of.rest), out=ns)
        np.floor_divide(ns, _PER_S, out=ns)
        np.add(ns, _u64(of.ahead), out=ns)
        np.add(t, _u64(of.start_ns), out=t)
        if self._reader.clamps_delta and ns.max() >= _NEGATIVE:
            ns[ns >= _NEGATIVE] = 0
        self._scale(ns, of, work)
        np.add(ns, _u64(of.system_time), out=ns)

    def _scale(self, cycles: U64s, of: _Values, work: U64s) -> None:
        if self._wide:
            pvclock.scale_delta(cycles, of.mul, of.shift, out=cycles, work=work)
            return
        pvclock.shift_delta(cycles, of.shift, out=cycles)
        np.multiply(cycles, _u64(of.mul), out=cycles)
        np.right_shift(cycles, _32, out=cycles)


class _Fused(NamedTuple):
    """The same in fewer steps, for a stretch in which nothing wraps and x below has 32 bits.

    ``shifted = begin + x``, where ``begin`` is that of the stretch's start without the bits that a
    right shift drops (they are put into ``parts``); then ``shifted * mul >> 32`` is
    ``high + (low + x * mul >> 32)`` with ``high * 2**32 + low = begin * mul``.
    """

    parts: int
    shift: int
    mul: int
    low: int
    ns: int

    @classmethod
    def of(cls, one: Stretch, reader: Reader) -> _Fused | None:
        """None where it does not hold."""
        right, left = max(-one.shift, 0), max(one.shift, 0)
        dropped = one.ahead & ((1 << right) - 1)
        parts = one.rest + dropped * NS_PER_S
        most = parts + one.length_ns * one.hz
        last = (one.ahead - dropped + most // NS_PER_S) << left
        x = most // NS_PER_S << left >> right
        bound = U64 >> 1 if reader.clamps_delta else U64
        if left >= _WIDTH or right >= _WIDTH or most > U64 or last > bound or x >= 1 << 32:
            return None
        high, low = divmod((one.ahead << left >> right) * one.mul, 1 << 32)
        return cls(parts, one.shift, one.mul, low, (high + one.system_time) & U64)

    def compute(self, k: U64s, one: Stretch, t: U64s, ns: U64s) -> None:
        """As `Reads._compute`."""
        np.multiply(k, _u64(one.length_ns), out=t)
        np.floor_divide(t, _u64(one.reads), out=t)
        np.multiply(t, _u64(one.hz), out=ns)
        np.add(t, _u64(one.start_ns), out=t)
        np.add(ns, _u64(self.parts), out=ns)
        np.floor_divide(ns, _PER_S, out=ns)
        pvclock.shift_delta(ns, self.shift, out=ns)
        np.multiply(ns, _u64(self.mul), out=ns)
        np.add(ns, _u64(self.low), out=ns)
        np.right_shift(ns, _32, out=ns)
        np.add(ns, _u64(self.ns), out=ns)


class _Values(NamedTuple):
    """A stretch's numbers; or, for many stretches, an array of one for each read."""

    start_ns: Any
    length_ns: Any
    reads: Any
    hz: Any
    rest: Any
    ahead: Any
    system_time: Any
    mul: Any
    shift: Any


def spread(column: tuple[int, ...], counts: list[int]) -> int | npt.NDArray[np.integer]:
    """One number for all reads, or one for each."""
    first = column[0]
    if column.count(first) == len(column):
        return first
    kind = np.uint64 if min(column) >= 0 else np.int8
    return np.repeat(np.array(column, kind), counts)


def _u64(number: int | U64s) -> U64s | np.uint64:
    return number if isinstance(number, np.ndarray) else np.uint64(number)


def same_function(reader: Reader, chunk: Sequence[Stretch]) -> bool:
    """Whether all vCPUs read one and the same function of true time, which never steps back.

    Then the order of their reads needs no looking at. False may also mean that it is not known.
    """
    first = chunk[0]
    start_ns = min(one.start_ns for one in chunk)
    end_ns = max(one.start_ns + one.length_ns for one in chunk)
    return _never_steps_back(reader, first, start_ns, end_ns) and all(
        one.hz == first.hz
        and one[-3:] == first[-3:]
        and _origin(one, start_ns) == _origin(first, start_ns)
        for one in chunk
    )


def _origin(one: Stretch, at_ns: int) -> int:
    """The exact TSC past the page's at a moment, in parts of 10^-9 cycles, modulo 2^64 cycles."""
    return (one.ahead * NS_PER_S + one.rest + (at_ns - one.start_ns) * one.hz) % (NS_PER_S << 64)


def _never_steps_back(reader: Reader, one: Stretch, start_ns: int, end_ns: int) -> bool:
    """Whether nothing wraps between two moments: then each step of a read keeps the order."""
    cycles = (_origin(one, start_ns) + (end_ns - start_ns) * one.hz) // NS_PER_S
    if cycles > (U64 >> 1 if reader.clamps_delta else U64) or one.shift >= _WIDTH:
        return False
    shifted = cycles << one.shift if one.shift > 0 else cycles >> -one.shift
    product = shifted * one.mul
    narrow = reader.arithmetic is readers.nanoseconds_64 and product > U64
    return shifted <= U64 and not narrow and (product >> 32) + one.system_time <= U64
