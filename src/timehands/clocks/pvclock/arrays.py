"""Many reads at once: the arithmetic of pvclock on NumPy arrays of uint64.

Bit for bit the same as `timehands.clocks.pvclock.scale.scale_delta` and
`timehands.clocks.pvclock.reading.nanoseconds`, for all multipliers, all shifts of -128 to 127, and
when counters wrap. NumPy has no product of more than 64 bits; u64 by u32 is made of two of them,
of the high and the low half, which cannot overflow: ``high * mul + (low * mul >> 32)``.

With ``out`` and ``work`` nothing is allocated. Chunks that fit the L2 cache (16,384 values) are the
fastest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timehands.clocks.pvclock.layout import TimeInfo

U64 = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ZERO = np.uint64(0)
_WIDTH = 64


class TimeInfos(NamedTuple):
    """Many pages, or one for each read: arrays of one shape that goes with the TSC values'."""

    tsc_timestamp: U64
    system_time: U64
    tsc_to_system_mul: U64
    tsc_shift: NDArray[np.int8]


def scale_delta(
    delta: U64,
    mul: int | U64,
    shift: int | NDArray[np.int8],
    out: U64 | None = None,
    work: U64 | None = None,
) -> U64:
    """Cycles (uint64) in ns (uint64). ``mul`` and ``shift`` are numbers or arrays of delta's shape.

    ``out`` may be ``delta`` itself; ``work`` is a buffer of the same shape, and neither of them.
    """
    out = np.empty_like(delta) if out is None else out
    work = np.empty_like(delta) if work is None else work
    factor = mul if isinstance(mul, np.ndarray) else np.uint64(mul)
    shift_delta(delta, shift, out)
    np.bitwise_and(out, _LOW, out=work)
    np.multiply(work, factor, out=work)
    np.right_shift(work, _HALF, out=work)
    np.right_shift(out, _HALF, out=out)
    np.multiply(out, factor, out=out)
    np.add(out, work, out=out)
    return out


def nanoseconds(
    info: TimeInfo | TimeInfos, tsc: U64, out: U64 | None = None, work: U64 | None = None
) -> U64:
    """What the page says at each TSC value, in ns (uint64); ``out`` may be ``tsc`` itself."""
    out = np.empty_like(tsc) if out is None else out
    np.subtract(tsc, _u64(info.tsc_timestamp), out=out)
    scale_delta(out, info.tsc_to_system_mul, info.tsc_shift, out=out, work=work)
    np.add(out, _u64(info.system_time), out=out)
    return out


def _u64(number: int | U64) -> U64 | np.uint64:
    return number if isinstance(number, np.ndarray) else np.uint64(number)


def shift_delta(delta: U64, shift: int | NDArray[np.int8], out: U64) -> None:
    """``delta`` shifted by ``shift`` into ``out``, as `scale.shift_delta` does it.

    NumPy, too, gives 0 for shifts by 64 or more.
    """
    if isinstance(shift, np.ndarray):
        wide = shift.astype(np.int16)
        np.left_shift(delta, np.maximum(wide, 0).astype(np.uint64), out=out)
        np.right_shift(out, np.maximum(-wide, 0).astype(np.uint64), out=out)
    elif abs(shift) >= _WIDTH:
        out.fill(_ZERO)
    elif shift > 0:
        np.left_shift(delta, np.uint64(shift), out=out)
    elif shift < 0:
        np.right_shift(delta, np.uint64(-shift), out=out)
    elif out is not delta:
        np.copyto(out, delta)
