"""Accesses that came out of a guest, as records of `timehands.watch.records`.

``pc`` is where the vCPU stood when it came out: the instruction itself, or, of a write that KVM
emulates, the one after it (arch/x86/kvm/x86.c, x86_emulate_instruction writes RIP back before user
space has the data).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from timehands.kvm.exits import Exit, MmioRead, MmioWrite, MsrRead, MsrWrite, PortIn, PortOut
from timehands.monitor.layout import VIRTIO_MMIO, VIRTIO_MMIO_STEP
from timehands.watch.records import LAYOUT_VERSION, RECORD, Kind

#: As payloads/watch.c: a flood is counted always and streamed now and then.
ALWAYS, THEN_EACH, QUIET_NS = 256, 256, 1_000_000
MAX_PLACES = 1 << 16
#: Not told: serial ports (what goes through them is the console), PCI's, and virtio's registers.
_DULL_PORTS = frozenset(
    {*range(0x2E8, 0x2F0), *range(0x2F8, 0x300), *range(0x3E8, 0x3F0), *range(0x3F8, 0x400)}
    | {*range(0xCF8, 0xD00)} - {0xCF9}
)
_VIRTIO = range(VIRTIO_MMIO, VIRTIO_MMIO + 64 * VIRTIO_MMIO_STEP)
_M64, _M32 = (1 << 64) - 1, (1 << 32) - 1
#: What a record has of an access: its kind, where, and how many bytes.
_Access = tuple[Kind, int, int]


@dataclass(slots=True)
class _Place:
    """One instruction's accesses to one address."""

    kind: Kind
    pc: int
    count: int = 0
    streamed: int = 0
    passed: int = 0
    last_ns: int = 0


class Accesses:
    """Takes what comes out (it is a `timehands.monitor.vcpus.Observer`) and gives records.

    ``post`` gets each record, in the threads of the vCPUs. Each vCPU has places of its own, so that
    no lock is needed.
    """

    def __init__(self, post: Callable[[bytes], None]) -> None:
        self._post = post
        self._places: dict[tuple[int, Kind, int, int], _Place] = {}

    def accessed(self, vcpu: int, exit: Exit, value: int, pc: int, host_ns: int) -> None:
        """See `timehands.monitor.vcpus.Observer`."""
        kind, where, size = _access(exit)
        if size == 0:
            return
        place = self._places.get((vcpu, kind, where, pc))
        if place is None:
            place = self._place(vcpu, kind, where, pc)
        place.count += 1
        if not (
            place.count <= ALWAYS
            or host_ns - place.last_ns > QUIET_NS
            or place.count % THEN_EACH == 0
        ):
            place.passed += 1
            return
        passed, place.passed = place.passed, 0
        place.streamed += 1
        place.last_ns = host_ns
        record = RECORD.pack(
            kind, vcpu, 0, passed & _M32, host_ns, pc & _M64, where, value & _M64, size, 0, 0
        )
        self._post(record)

    def _place(self, vcpu: int, kind: Kind, where: int, pc: int) -> _Place:
        """A new place; when there are too many, what is left of the kind is one."""
        if len(self._places) >= MAX_PLACES:
            pc = where = 0
        return self._places.setdefault((vcpu, kind, where, pc), _Place(kind, pc))

    def counts(self) -> bytes:
        """The records of an end: how often each place was there that was not always streamed."""
        now_ns = time.monotonic_ns()
        return b"".join(
            RECORD.pack(
                Kind.COUNT, 0, 0, 0, now_ns, place.pc & _M64,
                place.kind, place.count, place.count - place.streamed, 0, 0,
            )
            for place in list(self._places.values())
            if place.count > place.streamed
        )  # fmt: skip


def hello(vcpus: int) -> bytes:
    """The record that a stream begins with: the layout, the host's date, how many vCPUs."""
    now_ns, date_ns = time.monotonic_ns(), time.time_ns()
    return RECORD.pack(Kind.HELLO, 0, 0, 0, now_ns, 0, LAYOUT_VERSION, date_ns, vcpus, 0, 0)


def first(pc: int) -> bytes:
    """A vCPU was let go at the entry of the kernel."""
    return RECORD.pack(Kind.FIRST, 0, 0, 0, time.monotonic_ns(), pc & _M64, 0, 0, 0, 0, 0)


def _access(exit: Exit) -> _Access:
    """Kind, address or number, and size; size 0: it is not told."""
    if isinstance(exit, PortOut):
        return Kind.OUT, exit.port, 0 if exit.port in _DULL_PORTS else exit.size
    if isinstance(exit, PortIn):
        return Kind.IN, exit.port, 0 if exit.port in _DULL_PORTS else exit.size
    if isinstance(exit, MmioRead):
        return Kind.MMIO_READ, exit.address, 0 if exit.address in _VIRTIO else exit.size
    if isinstance(exit, MmioWrite):
        return Kind.MMIO_WRITE, exit.address, 0 if exit.address in _VIRTIO else len(exit.data)
    if isinstance(exit, MsrRead):
        return Kind.RDMSR, exit.index, 8
    if isinstance(exit, MsrWrite):
        return Kind.WRMSR, exit.index, 8
    return Kind.IN, 0, 0
