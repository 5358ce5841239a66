"""What a guest's reader makes of its page and the TSC, for a simulation: the rules, not the steps.

The steps (memory accesses, fences, retries) are `timehands.clocks.pvclock.programs`; here a page is
whole and a reader either takes it or refuses it. A read, exactly:

1. Refused when the version is 0 or odd, or when the reader needs TSC_STABLE and it is not set.
2. The cycles since the page are ``(tsc - tsc_timestamp) mod 2**64``; with ``clamps_delta`` those of
   2**63 and more (a TSC before the page) count as 0.
3. ``ns`` is what ``arithmetic`` makes of the page and those cycles, modulo 2**64.
4. When a last value is kept (`keeps_last`), which is one for all vCPUs: ``ns = max(ns, last)``
   unsigned, and ``last = ns``. Reads at the same moment count in the order of their ns.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from timehands.clocks.pvclock import reading
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs import readers as programs
from timehands.clocks.pvclock.programs.functions import nanoseconds_64

__all__ = [
    "READERS",
    "LastValue",
    "Reader",
    "keeps_last",
    "nanoseconds",
    "nanoseconds_64",
    "refuses",
]

U64 = (1 << 64) - 1
_HALF = 1 << 63


class LastValue(Enum):
    """When a reader holds its answer to the last one that any vCPU got."""

    NEVER = "never"
    UNLESS_STABLE = "not stable"
    ALWAYS = "always"


class Reader(NamedTuple):
    """The rules of one guest's reader. ``arithmetic`` takes a page and a TSC and gives ns (u64).

    ``reads_page``: it has one; the TSC's reader goes by a record of its own. ``reads_first``: all
    vCPUs read the page of vCPU 0.
    """

    name: str
    arithmetic: Callable[[TimeInfo, int], int]
    clamps_delta: bool
    last_value: LastValue
    needs_stable: bool
    reads_page: bool = True
    reads_first: bool = False


#: Those that read one page on every CPU, vCPU 0's: Linux's vDSO (vvar's pvclock page), OpenBSD
#: (sys/dev/pv/pvclock.c: one page, registered by the boot CPU), NetBSD's driver made of that.
_READS_FIRST = ("linux-vdso", "openbsd-1", "openbsd", "netbsd")


def _rules(reader: programs.Reader) -> Reader:
    """What counts here of a reader's program."""
    keeps = programs.Clamp.LAST_VALUE in reader.clamp
    return Reader(
        reader.name,
        nanoseconds_64 if reader.arithmetic is nanoseconds_64 else reading.nanoseconds,
        programs.Clamp.DELTA in reader.clamp,
        LastValue(reader.when.value) if keeps else LastValue.NEVER,
        reader.needs_stable,
        reads_first=reader.name in _READS_FIRST,
    )


#: No clamp at all: OSv before its fix (osv#164), and whoever believes the page of each vCPU.
_UNCLAMPED = Reader("unclamped", reading.nanoseconds, False, LastValue.NEVER, False)
_TSC = Reader("tsc", reading.nanoseconds, False, LastValue.NEVER, False, reads_page=False)
#: The readers by name: those of `timehands.clocks.pvclock.programs`, one that never clamps, and the
#: TSC as a timecounter.
READERS: dict[str, Reader] = {name: _rules(reader) for name, reader in programs.READERS.items()} | {
    "unclamped": _UNCLAMPED,
    "tsc": _TSC,
}


def refuses(reader: Reader, page: TimeInfo) -> bool:
    """Whether the reader takes no time from this page."""
    return page.version == 0 or page.being_written or (reader.needs_stable and not page.stable)


def keeps_last(reader: Reader, page: TimeInfo) -> bool:
    """Whether the last value counts for a read of this page."""
    if reader.last_value is LastValue.UNLESS_STABLE:
        return not page.stable
    return reader.last_value is LastValue.ALWAYS


def nanoseconds(reader: Reader, page: TimeInfo, tsc: int) -> int:
    """Steps 2 and 3: what a read gives before the last value counts, in ns (u64)."""
    if reader.clamps_delta and (tsc - page.tsc_timestamp) & U64 >= _HALF:
        tsc = page.tsc_timestamp
    return reader.arithmetic(page, tsc)
