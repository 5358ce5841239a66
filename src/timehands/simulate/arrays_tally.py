"""The tallies of `timehands.simulate.tally`, from arrays of readings: the same numbers exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from timehands.simulate.tally import Across, Read, Tally

U64s = npt.NDArray[np.uint64]
_SIGNED = np.int64


def count(tally: Tally, due_ns: U64s, ns: U64s, work: U64s) -> None:
    """Readings of one vCPU, one at least, in the order of time. ``work`` is as long as they are."""
    previous, held_ns = tally.last, tally.held_due_ns
    first, last = Read(int(due_ns[0]), int(ns[0])), Read(int(due_ns[-1]), int(ns[-1]))
    if tally.first is None:
        tally.first = first
    _bound_offsets(tally, np.subtract(ns, due_ns, out=work))
    if previous is None or first.ns != previous.ns:
        tally.held_due_ns = first.due_ns
    if previous is not None and first.ns < previous.ns:
        tally.warps += 1
        tally.worst_warp_ns = max(tally.worst_warp_ns, previous.ns - first.ns)
    if previous is not None and first.ns == previous.ns:
        tally.stalls += 1
        tally.worst_stall_ns = max(tally.worst_stall_ns, first.due_ns - held_ns)
    tally.last = last
    _steps(tally, due_ns, ns)


def _bound_offsets(tally: Tally, offsets: U64s) -> None:
    signed = offsets.view(_SIGNED)
    low, high = int(signed.min()), int(signed.max())
    tally.low_ns = low if tally.low_ns is None else min(low, tally.low_ns)
    tally.high_ns = high if tally.high_ns is None else max(high, tally.high_ns)


def _steps(tally: Tally, due_ns: U64s, ns: U64s) -> None:
    """The steps between these readings: from each to the next."""
    before, after = ns[:-1], ns[1:]
    odd = np.flatnonzero(after <= before)  # the steps that do not go forward; most often none
    if len(odd):
        back = before[odd] - after[odd]
        stalls = odd[back == 0]
        warps = len(odd) - len(stalls)
        if warps:
            tally.warps += warps
            tally.worst_warp_ns = max(tally.worst_warp_ns, int(back.max()))
        if len(stalls):
            _stall(tally, due_ns, stalls)
    moved = _last_move(odd, ns)
    if moved:
        tally.held_due_ns = int(due_ns[moved])


def _stall(tally: Tally, due_ns: U64s, stalls: npt.NDArray[np.intp]) -> None:
    """``stalls``: each i for which reading i + 1 equals reading i; they make runs."""
    begins = np.ones(len(stalls), bool)
    np.not_equal(stalls[1:], stalls[:-1] + 1, out=begins[1:])
    runs = np.maximum.accumulate(np.where(begins, stalls, 0))
    since = due_ns[runs]
    since[runs == 0] = tally.held_due_ns  # the value may have been read before these readings
    tally.stalls += len(stalls)
    tally.worst_stall_ns = max(tally.worst_stall_ns, int((due_ns[stalls + 1] - since).max()))


def _last_move(odd: npt.NDArray[np.intp], ns: U64s) -> int:
    """The last reading that is not equal to the one before it; 0: all are equal to the first."""
    last = len(ns) - 1
    if not len(odd) or odd[-1] != last - 1 or ns[last] != ns[last - 1]:
        return last
    moved = np.flatnonzero(ns[1:] != ns[:-1])
    return int(moved[-1]) + 1 if len(moved) else 0


def count_across(across: Across, ns: U64s) -> None:
    """Readings of all vCPUs, one at least, in the order of time."""
    across.accept(int(ns[0]))
    before, after = ns[:-1], ns[1:]
    odd = np.flatnonzero(after < before)
    if len(odd):
        across.warps += len(odd)
        back = int((before[odd] - after[odd]).max())
        across.worst_warp_ns = max(across.worst_warp_ns, back)
    across.last_ns = int(ns[-1])
