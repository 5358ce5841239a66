"""Where the TSCs of a guest are as it enters, on a host whose own TSC is unstable.

There KVM has a vCPU's TSC stand still while the vCPU is out, and lets it catch up as it enters: to
where it would be, had it counted by the host's raw clock, at its rate, since it was written last
(arch/x86/kvm/x86.c, kvm_arch_vcpu_load, kvm_guest_time_update, compute_guest_tsc). What
KVM_GET_MSRS says in between is too little, and after a pause far too little: a record made of it
would tell the guest a time that is later by the whole pause.

What KVM goes by is not told. It is reckoned here from below: no TSC was ever less than KVM's line
when its vCPU came out, so that line runs on from the highest one seen. KVM goes by the raw clock
since Linux 5.6 (get_kvmclock_base_ns).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from timehands.clocks.msr import ClockMsr
from timehands.kvm.vcpu import Vcpu


class CaughtUp:
    """The line of all vCPUs' TSCs. ``tsc_khz``: their rate."""

    def __init__(self, vcpus: Sequence[Vcpu], tsc_khz: int) -> None:
        self._vcpus, self._tsc_khz = vcpus, tsc_khz
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None  # a TSC, and the raw time at which it was due

    def at_entry(self, vcpu: int) -> int:
        """A TSC that this vCPU has reached when it enters now: not more than it will find."""
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        tsc = self._vcpus[vcpu].msr(ClockMsr.TSC)
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        # It went on a little while KVM was being asked, and will do so anew as it enters.
        tsc = max(0, tsc - self._at_most(now_ns - before_ns))
        with self._lock:
            due = self._due(now_ns)
            if due is None or tsc >= due:
                self._seen = tsc, now_ns
                return tsc
            return due

    def set_anew(self) -> None:
        """The TSCs were written just now, perhaps to less than they were."""
        with self._lock:
            self._seen = None
        self.at_entry(0)

    def _at_most(self, ns: int) -> int:
        """No more cycles pass in that time: a thousandth more than by its rate, and a few."""
        return ns * self._tsc_khz * 1001 // 10**9 + 2

    def _due(self, now_ns: int) -> int | None:
        if self._seen is None:
            return None
        tsc, seen_ns = self._seen
        return tsc + (now_ns - seen_ns) * self._tsc_khz // 1_000_000
