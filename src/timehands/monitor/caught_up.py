"""Where the TSCs of a guest are as it enters, on a host whose own TSC is unstable.

There KVM has a vCPU's TSC stand still while the vCPU is out, and lets it catch up as it enters: to
where it would be, had it counted by the host's raw clock, at its rate, since it was written last
(arch/x86/kvm/x86.c, kvm_arch_vcpu_load, kvm_guest_time_update, compute_guest_tsc; the raw clock
since Linux 5.6, get_kvmclock_base_ns). What KVM_GET_MSRS says in between is too little, and after a
pause far too little: a record made of it would tell the guest a time that is later by the whole
pause. And a record of a cycle too much would be read as centuries.

What KVM goes by is not told, so TSCs are written when a guest is made: KVM's line then starts
there, no later than the writing was over. A vCPU finds that line, or more: what it left with.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from timehands.clocks.msr import ClockMsr
from timehands.kvm.vcpu import Vcpu

#: TSCs start here, in seconds: KVM takes what is within a second of what it expects, which is about
#: 0 then, as an attempt to make TSCs equal, and goes on from the old start (kvm_synchronize_tsc).
_START_S = 10
_APART_S = 2


class CaughtUp:
    """The line of all vCPUs' TSCs. ``tsc_khz``: their rate. Made before any vCPU ran."""

    def __init__(self, vcpus: Sequence[Vcpu], tsc_khz: int) -> None:
        self._vcpus, self._tsc_khz = vcpus, tsc_khz
        self._line = 0, 0  # a TSC, and the raw time at which it was reached at the latest
        self._write(_START_S * tsc_khz * 1000)

    def at_entry(self, vcpu: int) -> int:
        """A TSC that this vCPU has reached when it enters now: not more than it will find."""
        before_ns = _raw_ns()
        left_with = self._vcpus[vcpu].msr(ClockMsr.TSC)
        now_ns = _raw_ns()
        # It went on a little while KVM was being asked, and will do so anew as it enters.
        left_with -= self._at_most(now_ns - before_ns)
        tsc, since_ns = self._line
        return max(left_with, tsc + (now_ns - since_ns) * self._tsc_khz // 1_000_000)

    def wrote(self, tsc: int) -> None:
        """All TSCs were written just now: this, or more. The guest is paused."""
        self._line = tsc, _raw_ns()

    def move(self, cycles: int) -> None:
        """Move all TSCs. KVM does not move them by less than a second. The guest is paused."""
        if abs(cycles) >= _APART_S * self._tsc_khz * 1000:
            self._write(max(1, self.at_entry(0) + cycles))

    def _write(self, tsc: int) -> None:
        for vcpu in self._vcpus:
            vcpu.set_msrs({ClockMsr.TSC: tsc})
        self.wrote(tsc)

    def _at_most(self, ns: int) -> int:
        """No more cycles pass in that time: a thousandth more than by its rate, and a few."""
        return ns * self._tsc_khz * 1001 // 10**9 + 2


def _raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
