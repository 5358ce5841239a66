"""The processor's debug registers: which they are for some points, and which points they report.

Intel SDM volume 3B, 18.2 (debug registers): DR0 to DR3 hold addresses, DR7 says for each whether it
is on (bits 0 to 7), what it stops at (bits 16 to 31: two bits for the kind, two for the length),
and DR6 says which were hit (bits 0 to 3), or that a single step is done (bit 14).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from timehands.monitor.breakpoints.model import Kind, Point

SLOTS = 4
DR6_STEP = 1 << 14
#: Bit 10 is always set; GE (bit 9) asks for exact data breakpoints, on processors that know it.
_DR7_FIXED, _DR7_EXACT = 1 << 10, 1 << 9
_ACCESS: Mapping[Kind, int] = {Kind.EXECUTE: 0, Kind.WRITE: 1, Kind.ACCESS: 3}
_LENGTH = {1: 0, 2: 1, 4: 3, 8: 2}
#: DR0 to DR7, all off.
NONE = (0,) * 8


def debug_registers(slots: Sequence[Point | None], off: Collection[int] = ()) -> tuple[int, ...]:
    """DR0 to DR7 for at most four points; those at the indices ``off`` do not stop for now."""
    registers = [0] * 8
    dr7 = _DR7_FIXED | _DR7_EXACT
    for index, point in enumerate(slots):
        if point is None or index in off:
            continue
        registers[index] = point.address
        dr7 |= 2 << 2 * index
        dr7 |= (_ACCESS[point.kind] | _LENGTH[point.length] << 2) << 16 + 4 * index
    registers[7] = dr7
    return tuple(registers)


def reported(dr6: int, slots: Sequence[Point | None], off: Collection[int] = ()) -> Iterator[Point]:
    """The points that DR6 says were hit. It may name some that are off (Intel SDM, 18.2.3)."""
    for index, point in enumerate(slots):
        if point is not None and index not in off and dr6 >> index & 1:
            yield point
