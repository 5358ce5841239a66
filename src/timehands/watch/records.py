"""What the watcher streams: records of 64 bytes, and the events that they make.

The layout is that of ``struct record`` in payloads/watch.h. A record of kind DATA belongs to the
one before it and becomes part of that one's event; PROGRESS records are for the live watch only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

LAYOUT_VERSION = 1
RECORD = struct.Struct("<HBBIQQ5Q")
DATA_BYTES = 40
#: The most DATA records that an event has: MAX_READS of payloads/watch.h, two for each.
MAX_DATA = 16
NO_RESULT = 1
#: A record as it came: the fields of RECORD.
RawRecord = tuple[int, ...]
_M32 = 0xFFFFFFFF


class Kind(IntEnum):
    """What an event is."""

    HELLO = 1
    FIRST = 2
    CPUID = 3
    RDTSC = 4
    RDMSR = 5
    WRMSR = 6
    IN = 7
    OUT = 8
    MMIO_READ = 9
    MMIO_WRITE = 10
    ENTER = 11
    LEAVE = 12
    DATA = 13
    SLIDE = 14
    PROGRESS = 15
    COUNT = 16
    COST = 17


_KINDS = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Event:
    """One observed fact.

    ``index`` counts the events of a recording from 0. ``host_ns`` is CLOCK_MONOTONIC of the host,
    ``pc`` the guest address of the instruction, ``passed`` how many events of the same place were
    counted but not streamed since its last one. What ``values`` are depends on the kind (see
    payloads/watch.h); ``data`` are the bytes that were asked for with it, by number of the read.
    """

    index: int
    kind: Kind
    host_ns: int
    vcpu: int
    pc: int
    values: tuple[int, int, int, int, int]
    no_result: bool = False
    passed: int = 0
    data: tuple[tuple[int, bytes], ...] = ()

    @property
    def reference(self) -> str:
        """How evidence refers to this event: ``e412``."""
        return f"e{self.index}"

    @property
    def leaf(self) -> tuple[int, int]:
        """Of a CPUID event: leaf and subleaf."""
        return self.values[0] & _M32, self.values[0] >> 32

    @property
    def registers(self) -> tuple[int, int, int, int]:
        """Of a CPUID event: eax, ebx, ecx, edx as they came back."""
        low, high = self.values[1], self.values[2]
        return low & _M32, low >> 32, high & _M32, high >> 32

    def read(self, number: int) -> bytes | None:
        """The bytes of the read with that number; None when they could not be read."""
        parts = [part for n, part in self.data if n == number]
        return b"".join(parts) if parts else None


def decode(stream: bytes | bytearray | memoryview, first_index: int = 0) -> Iterator[Event]:
    """The events of a stream. A last record that is cut off is left out.

    Records of an unknown kind are passed over: a stream may be damaged.
    """
    whole = len(stream) // RECORD.size * RECORD.size
    return merge(RECORD.iter_unpack(memoryview(stream)[:whole]), first_index)


def merge(records: Iterable[tuple[int, ...]], first_index: int = 0) -> Iterator[Event]:
    """Records to events: DATA joins the event before it, PROGRESS is left out."""
    index = first_index
    event: Event | None = None
    data: list[tuple[int, bytes]] = []
    for kind, vcpu, flags, extra, host_ns, pc, *values in records:
        known = _KINDS.get(kind)
        if known is Kind.DATA:
            if len(data) < MAX_DATA:
                data.append(_data(extra, values))
        elif known is not None and known is not Kind.PROGRESS:
            if event is not None:
                yield _with(event, data)
            v = (values[0], values[1], values[2], values[3], values[4])
            event = Event(index, known, host_ns, vcpu, pc, v, bool(flags & NO_RESULT), extra)
            data = []
            index += 1
    if event is not None:
        yield _with(event, data)


def _with(event: Event, data: list[tuple[int, bytes]]) -> Event:
    return replace(event, data=tuple(data)) if data else event


def _data(extra: int, values: list[int]) -> tuple[int, bytes]:
    length = min(extra & 0xFFFF, DATA_BYTES)
    return extra >> 16, struct.pack("<5Q", *values)[:length]
