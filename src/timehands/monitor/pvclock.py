"""pvclock provided by us: MSR writes come out, and Python writes the records at entry.

The order is that of docs/pvclock.md. One snapshot of (TSC, time) is the base of all vCPUs' records,
so that they are of one clock. They are written again only when that base changes: at a jump, after
a pause, after a restore. Where the host's TSC is unstable each vCPU's record is written anew at
each entry, of the host's time, and none says that it is stable; as KVM does without master clock.

As with KVM the old and the new MSR of a pair are one register by two names (arch/x86/kvm/x86.c,
kvm_set_msr_common), the wall clock's is the whole machine's, and its address 0 is none. Unlike KVM,
which takes any value in silence, an address where no record can be gives the guest a fault.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import SystemTimeMsr, TimeInfo, next_versions
from timehands.clocks.pvclock.numbers import (
    MASK_64,
    SYSTEM_TIME_ALIGNMENT,
    SYSTEM_TIME_MSRS,
    TIME_INFO_SIZE,
    WALL_CLOCK_MSRS,
    WALL_CLOCK_SIZE,
    Flags,
)
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import Scale, time_scale
from timehands.clocks.pvclock.wallclock import compose
from timehands.kvm.memory import GuestMemory

#: The MSRs that must come out to us.
MSRS = (*SYSTEM_TIME_MSRS, *WALL_CLOCK_MSRS)
_VERSION = struct.Struct("<I")
#: So many cycles may two ways of scaling a TSC differ (KVM's, the processor's): a base is so much
#: before what was read, since a guest whose TSC is less than its record's reads a time centuries
#: off, and a time that is kept so much after.
ROUNDING = 2
#: A vCPU's TSC may run ahead of the host's clock by so much; what is more was set by the guest.
_AHEAD_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Base:
    """A moment of which all are known: the guest's TSC, its system time, the host's monotonic time.

    Times in ns.
    """

    tsc: int
    system_ns: int
    host_ns: int


class Pvclock:
    """The provider for one guest.

    ``tsc_khz`` is the true rate of the guests' TSC. ``stable``: whether records say TSC_STABLE.
    ``at_entry``: given where TSCs cannot be trusted; tells what a vCPU's is as it enters now.
    """

    def __init__(
        self,
        memory: GuestMemory,
        tsc_khz: int,
        *,
        stable: bool = True,
        at_entry: Callable[[int], int] | None = None,
    ) -> None:
        self._memory = memory
        self._scale: Scale = time_scale(tsc_khz)
        self._stable = stable and at_entry is None
        self._at_entry = at_entry
        self._written: dict[int, TimeInfo] = {}
        self._lock = threading.Lock()
        self._base = Base(0, 0, 0)
        self._pages: dict[int, int] = {}
        self._values: dict[tuple[int, int], int] = {}
        self._due: set[int] = set()
        self._stopped: set[int] = set()
        self._wall_offset_ns = 0

    def set_base(self, base: Base) -> None:
        """From now on time is counted from here; all records are due."""
        with self._lock:
            self._base = base
            self._due.update(self._pages)

    def step_wall(self, by_ns: int) -> None:
        """Move the date that the wall clock record tells when it is written next."""
        self._wall_offset_ns += by_ns

    @property
    def wall_offset_ns(self) -> int:
        """How far that date is ahead of the host's."""
        return self._wall_offset_ns

    def now_ns(self, tsc: int) -> int:
        """The system time at a guest TSC."""
        return nanoseconds(self._record(0, 0), tsc)

    def latest_ns(self, tscs: Mapping[int, int]) -> int:
        """No vCPU has read a later time; all are out, with these TSCs.

        That of vCPU 0 and `ROUNDING`, where the host's TSC is good. Else the host's time, or what a
        record told of the last TSC: that of a vCPU that ran ahead, but not of one whose TSC was set
        elsewhere.
        """
        if self._at_entry is None:
            return self.now_ns(tscs[0] + ROUNDING)
        now_ns = self._system_ns_now()
        told = [nanoseconds(self._written[each], tscs[each]) for each in self._written]
        return max([now_ns, *(each for each in told if each - now_ns <= _AHEAD_NS)])

    def stopped(self) -> None:
        """The guest was paused: its records say so at their next update."""
        with self._lock:
            self._stopped.update(self._pages)
            self._due.update(self._pages)

    def write_msr(self, vcpu: int, msr: int, value: int) -> bool:
        """The guest writes one of `MSRS`. False: refused, the guest is to get a fault."""
        with self._lock:
            taken = self._register(vcpu, value) if msr in SYSTEM_TIME_MSRS else self._wall(value)
            if taken:
                self._values[_register_of(vcpu, msr)] = value
            return taken

    def read_msr(self, vcpu: int, msr: int) -> int:
        """What was written last."""
        return self._values.get(_register_of(vcpu, msr), 0)

    def before_entry(self, vcpu: int) -> None:
        """Write the vCPU's record if it is due. Called by its thread, while it is not running."""
        if vcpu in self._due or (self._at_entry is not None and vcpu in self._pages):
            with self._lock:
                self._due.discard(vcpu)
                if self._at_entry is not None:
                    tsc, now_ns = self._at_entry(vcpu), time.monotonic_ns()
                    self._base = Base(tsc, self._system_ns_at(now_ns), now_ns)
                self._publish(vcpu)

    @property
    def registered(self) -> Mapping[int, int]:
        """The address of each vCPU's record."""
        return dict(self._pages)

    def restore(self, values: Mapping[tuple[int, int], int]) -> None:
        """Register again what `msr_values` told; records are written at the next entries.

        Raises `ValueError` for an address where no record can be.
        """
        for (vcpu, msr), value in values.items():
            if msr not in SYSTEM_TIME_MSRS:
                self._values[_register_of(vcpu, msr)] = value
            elif not self.write_msr(vcpu, msr, value):
                raise ValueError(f"vCPU {vcpu} cannot have a record at {value:#x}")

    @property
    def msr_values(self) -> Mapping[tuple[int, int], int]:
        """All MSRs as they were written, by vCPU and (new) number; a snapshot keeps them."""
        return dict(self._values)

    def _register(self, vcpu: int, value: int) -> bool:
        wish = SystemTimeMsr.parse(value)
        if not wish.enabled:
            self._pages.pop(vcpu, None)
            self._written.pop(vcpu, None)
            return True
        if not wish.aligned or not self._is_memory(wish.address, TIME_INFO_SIZE):
            return False
        self._pages[vcpu] = wish.address
        self._due.add(vcpu)
        return True

    def _is_memory(self, address: int, size: int) -> bool:
        """Whether all of it is memory of the guest, and of one slot."""
        return any(slot.address <= address and address + size <= slot.end for slot in self._memory)

    def _wall(self, address: int) -> bool:
        if address == 0:
            return True
        if address % SYSTEM_TIME_ALIGNMENT or not self._is_memory(address, WALL_CLOCK_SIZE):
            return False
        version = _VERSION.unpack(self._memory.read(address, 4))[0]
        odd, even = next_versions(version)
        realtime_ns = time.time_ns() + self._wall_offset_ns
        record = replace(compose(realtime_ns, self._system_ns_now()), version=odd).build()
        self._memory.write(address, record)
        self._memory.write(address, _VERSION.pack(even))
        return True

    def _system_ns_now(self) -> int:
        return self._system_ns_at(time.monotonic_ns())

    def _system_ns_at(self, host_ns: int) -> int:
        return self._base.system_ns + host_ns - self._base.host_ns

    def _publish(self, vcpu: int) -> None:
        address = self._pages.get(vcpu)
        if address is None:
            return
        old = TimeInfo.parse(self._memory.read(address, TIME_INFO_SIZE))
        flags = old.flags & Flags.GUEST_STOPPED
        if vcpu in self._stopped:
            self._stopped.discard(vcpu)
            flags |= Flags.GUEST_STOPPED
        self._written[vcpu] = record = self._record(old.version, flags)
        self._write(vcpu, address, record)

    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        """The record, whose version is the one before, with an odd one while the rest is written.

        The vCPU does not run now, but another one may read: the bytes go in the order of these
        calls (x86 stores).
        """
        odd, even = next_versions(record.version)
        self._memory.write(address, _VERSION.pack(odd))
        self._memory.write(address, replace(record, version=odd).build())
        self._memory.write(address, _VERSION.pack(even))

    def _record(self, version: int, flags: int) -> TimeInfo:
        base, scale = self._base, self._scale
        flags |= Flags.TSC_STABLE if self._stable else 0
        tsc, system_ns = base.tsc & MASK_64, base.system_ns & MASK_64
        return TimeInfo(version, tsc, system_ns, scale.mul, scale.shift, int(flags))


def _register_of(vcpu: int, msr: int) -> tuple[int, int]:
    """The vCPU and the MSR under which a value is kept."""
    if msr in SYSTEM_TIME_MSRS:
        return vcpu, ClockMsr.KVM_SYSTEM_TIME
    return 0, ClockMsr.KVM_WALL_CLOCK
