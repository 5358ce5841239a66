"""What is in a record: the two times, the multiplier, the flags; and whose it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_64, TIME_INFO_SIZE, Flags
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import Mutant, become, provider
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import Pvclock

_SKEW_NS, _FAR_NS = 60_000, 20_000_000
_AHEAD_CYCLES = 1 << 36


def _changed(change: Callable[[int, TimeInfo], TimeInfo]) -> Bend:
    """Every record is changed before it is written; ``change`` gets the vCPU and the record."""

    class Changed(Pvclock):
        def _write(self, vcpu: int, address: int, record: TimeInfo) -> None:
            super()._write(vcpu, address, change(vcpu, record))

    return provider(Changed)


def _later(record: TimeInfo, by_ns: int) -> TimeInfo:
    return replace(record, system_time=record.system_time + by_ns & MASK_64)


def _renewing(change: Callable[[TimeInfo, int, int], TimeInfo]) -> Bend:
    """Each update takes a new snapshot; ``change`` gets the record, and the TSC and time of now."""

    def bend(guest: Microvm) -> None:
        class Renewing(Pvclock):
            def _write(self, vcpu: int, address: int, record: TimeInfo) -> None:
                tsc = guest.vcpus[vcpu].msr(ClockMsr.TSC)
                super()._write(vcpu, address, change(record, tsc, self.now_ns(tsc)))

        become(guest.pvclock, Renewing)

    return bend


class _TooLong(Pvclock):
    def _write(self, vcpu: int, address: int, record: TimeInfo) -> None:
        super()._write(vcpu, address, record)
        self._memory.write(address + TIME_INFO_SIZE, bytes(8))


def _of_rate(permille: int) -> Callable[[int, TimeInfo], TimeInfo]:
    """A multiplier for a TSC of that many thousandths of the rate."""

    def change(_vcpu: int, record: TimeInfo) -> TimeInfo:
        mul, more = record.tsc_to_system_mul * 1000 // permille, 0
        if mul >> 32:
            mul, more = mul >> 1, 1
        return replace(record, tsc_to_system_mul=mul, tsc_shift=record.tsc_shift + more)

    return change


def _wrong_shift(_vcpu: int, record: TimeInfo) -> TimeInfo:
    """A shift of 0 has no sign: then one to the left."""
    return replace(record, tsc_shift=-record.tsc_shift or 1)


MUTANTS = (
    Mutant(
        "timestamp-stale",
        "an update brings a new system_time beside the tsc_timestamp of the one before",
        "pvclock.version",
        _renewing(lambda record, _tsc, now_ns: replace(record, system_time=now_ns)),
    ),
    Mutant(
        "system-time-stale",
        "an update brings a new tsc_timestamp beside the system_time of the one before",
        "pvclock.version",
        _renewing(lambda record, tsc, _now_ns: replace(record, tsc_timestamp=tsc)),
    ),
    Mutant(
        "update-steps-back",
        "each update puts the time back by 1 ms",
        "pvclock.version",
        _changed(lambda _vcpu, record: _later(record, -500_000 * record.version)),
        "KVM before Linux 2.6.37 (1d5f066e0b63): a host clock in steps, read at its last one",
    ),
    Mutant(
        "timestamp-of-the-host",
        "tsc_timestamp is that of a TSC that is ahead of the guest's",
        "pvclock.new_msrs",
        _changed(lambda _v, r: replace(r, tsc_timestamp=r.tsc_timestamp + _AHEAD_CYCLES)),
    ),
    Mutant(
        "mul-of-another-rate",
        "the multiplier is for a TSC that is 1 % faster",
        "pvclock.scale",
        _changed(_of_rate(1010)),
        "restores on a host of another frequency (firecracker#2985)",
    ),
    Mutant(
        "rate-off",
        "the multiplier is for a TSC that is 0.2 % slower",
        "pvclock.rate",
        _changed(_of_rate(998)),
    ),
    Mutant(
        "shift-of-wrong-sign",
        "tsc_shift has the wrong sign",
        "pvclock.scale",
        _changed(_wrong_shift),
    ),
    Mutant(
        "flags-of-nobody",
        "flags that nobody defined are set",
        "pvclock.new_msrs",
        _changed(lambda _vcpu, record: replace(record, flags=record.flags | 0x88)),
    ),
    Mutant(
        "padding-not-cleared",
        "the padding holds what was in the host's memory",
        "pvclock.new_msrs",
        _changed(lambda _vcpu, record: replace(record, pad0=0xDEADBEEF)),
    ),
    Mutant(
        "record-too-long",
        "40 bytes are written, not 32",
        "pvclock.new_msrs",
        provider(_TooLong),
    ),
    Mutant(
        "vcpus-apart-and-stable",
        "TSC_STABLE is set, and the second vCPU's time is 60 us behind the first one's",
        "pvclock.stable",
        _changed(lambda vcpu, record: _later(record, -_SKEW_NS * vcpu)),
        "osv#164 (15 to 68 us backwards)",
    ),
    Mutant(
        "vcpus-far-apart",
        "the second vCPU's time is 20 ms behind the first one's",
        "pvclock.across",
        _changed(lambda vcpu, record: _later(record, -_FAR_NS * vcpu)),
        "each vCPU with a snapshot of its own (firecracker#6200)",
    ),
    Mutant(
        "stopped-from-the-start",
        "GUEST_STOPPED is set in a guest that nobody has stopped",
        "pvclock.stopped",
        _changed(lambda _vcpu, record: replace(record, flags=record.flags | Flags.GUEST_STOPPED)),
    ),
)
