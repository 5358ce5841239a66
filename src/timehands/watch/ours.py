"""What a watcher saw because of us, told from what the guest did by itself.

At a stop we may execute an instruction of our own in the guest (`timehands.watch.stops.inject`),
and the plugin sees it as any other. Between a stop and the moment at which the guest goes on the
guest executes nothing: such an instruction is ours then, and no event of the kernel's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from timehands.watch.interventions import Stopped
from timehands.watch.records import RECORD, Kind

_INJECTED: Final = frozenset((Kind.CPUID, Kind.RDTSC, Kind.RDMSR, Kind.WRMSR))
_KIND, _HOST_NS = 0, 4
_FOREVER: Final = 1 << 64


def without_ours(stream: bytes, stops: Sequence[Stopped]) -> bytes:
    """The records of a stream but for instructions that ran while the guest stood still."""
    held = sorted((stop.host_ns, stop.resumed_ns or _FOREVER) for stop in stops)
    if not held:
        return stream
    starts = [start for start, _ in held]
    whole = len(stream) // RECORD.size * RECORD.size
    kept = bytearray()
    for number, record in enumerate(RECORD.iter_unpack(memoryview(stream)[:whole])):
        at = bisect_right(starts, record[_HOST_NS]) - 1
        during = at >= 0 and record[_HOST_NS] < held[at][1]
        if not (during and record[_KIND] in _INJECTED):
            kept += stream[number * RECORD.size : (number + 1) * RECORD.size]
    return bytes(kept)
