"""How a record is written: the version before, meanwhile, and after; and when."""

from __future__ import annotations

import time
from dataclasses import replace

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import Mutant, become, provider
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import Pvclock

_MASK_32 = (1 << 32) - 1
#: A provider that loses its processor there: so long the record is half done.
_HALF_DONE_SECONDS = 100e-6
_TICK_NS = 4_000_000
_STEP_NS = 20_000_000


class _Bent(Pvclock):
    """A provider whose records are written otherwise."""

    def _put(self, address: int, record: TimeInfo) -> None:
        """All but the version."""
        self._memory.write(address + 4, record.build()[4:])

    def _put_version(self, address: int, version: int) -> None:
        self._memory.write(address, (version & _MASK_32).to_bytes(4, "little"))


class _NeverOdd(_Bent):
    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        self._put(address, record)
        time.sleep(_HALF_DONE_SECONDS)
        self._put_version(address, record.version + 2)


class _VersionFirst(_Bent):
    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        self._put_version(address, record.version + 2)
        time.sleep(_HALF_DONE_SECONDS)
        self._put(address, record)


class _LeftOdd(_Bent):
    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        self._put_version(address, record.version | 1)
        self._put(address, record)


class _NeverNew(_Bent):
    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        self._put_version(address, 1)
        self._put(address, record)
        self._put_version(address, 2)


class _Backwards(_Bent):
    def _write(self, _vcpu: int, address: int, record: TimeInfo) -> None:
        self._put_version(address, record.version - 1)
        self._put(address, record)
        self._put_version(address, record.version - 2)


class _Ticking(Pvclock):
    """One that writes the first vCPU's record every few ms, while that runs."""

    def tick(self, tsc: int, number: int) -> None:
        """``tsc``: what the guest's TSC is now."""
        with self._lock:
            address = self._pages.get(0)
            if address is not None:
                version = int.from_bytes(self._memory.read(address, 4), "little")
                self._write(0, address, self._ticked(self._record(version, 0), tsc, number))

    def _ticked(self, record: TimeInfo, tsc: int, number: int) -> TimeInfo:
        raise NotImplementedError


class _ToAndFro(_Ticking):
    def _ticked(self, record: TimeInfo, _tsc: int, number: int) -> TimeInfo:
        return replace(record, system_time=record.system_time + number % 2 * _STEP_NS)


class _Coarse(_Ticking):
    def _ticked(self, record: TimeInfo, tsc: int, _number: int) -> TimeInfo:
        now_ns = self.now_ns(tsc)
        return replace(record, tsc_timestamp=tsc, system_time=now_ns, tsc_to_system_mul=1)


def _ticking(kind: type[_Ticking]) -> Bend:
    def bend(guest: Microvm) -> None:
        become(guest.pvclock, kind)
        began_ns, began_tsc = guest.time.now_ns(), guest.vcpus[0].msr(ClockMsr.TSC)

        def ring(_at_ns: int) -> None:
            now_ns, pvclock = guest.time.now_ns(), guest.pvclock
            assert isinstance(pvclock, kind)
            cycles = (now_ns - began_ns) * guest.tsc_khz // 1_000_000
            pvclock.tick(began_tsc + cycles, now_ns // _TICK_NS)
            guest.alarms.set(kind, now_ns + _TICK_NS, ring)

        guest.alarms.set(kind, began_ns, ring)

    return bend


MUTANTS = (
    Mutant(
        "version-never-odd",
        "the version stays even while the record is written, and changes after it",
        "pvclock.version_across",
        provider(_NeverOdd),
        "KVM before Linux 4.1 (version += 2, kvm_guest_time_update)",
    ),
    Mutant(
        "version-first",
        "the new version is there before the record it is of",
        "pvclock.version_across",
        provider(_VersionFirst),
    ),
    Mutant(
        "version-left-odd",
        "the version stays odd when the record is done",
        "pvclock.new_msrs",
        provider(_LeftOdd),
    ),
    Mutant(
        "version-never-new",
        "each update ends with the version of the one before",
        "pvclock.version",
        provider(_NeverNew),
    ),
    Mutant(
        "version-backwards",
        "the version is counted down",
        "pvclock.version",
        provider(_Backwards),
    ),
    Mutant(
        "update-to-and-fro",
        "an update that nobody asked for, every 4 ms, moves the time by 20 ms to and fro",
        "pvclock.monotonic",
        _ticking(_ToAndFro),
        "KVM before Linux 2.6.37 (1d5f066e0b63): the clock adjusted to an older base",
    ),
    Mutant(
        "time-by-ticks",
        "the time is moved on by updates every 4 ms, and not by the TSC between them",
        "pvclock.stalls",
        _ticking(_Coarse),
    ),
)
