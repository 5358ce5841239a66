"""vCPUs on a host with an unstable TSC, and on one that scales it: by KVM's rules, in memory.

Time goes on by `pass_ns`, and by ``look_ns`` whenever somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64

LOOK_NS = 700


@dataclass
class Host:
    """Its clocks, in ns. Stands in for the module `time`."""

    ns: int = 10**12
    look_ns: int = LOOK_NS
    date_ns: int = 10**18
    CLOCK_MONOTONIC_RAW: int = 4

    def pass_ns(self, ns: int) -> None:
        self.ns += ns

    def monotonic_ns(self) -> int:
        self.ns += self.look_ns
        return self.ns

    def time_ns(self) -> int:
        return self.date_ns + self.ns

    def clock_gettime_ns(self, clock: int) -> int:
        assert clock == self.CLOCK_MONOTONIC_RAW
        return self.monotonic_ns()


@dataclass
class WaitingVcpu:
    """As arch/x86/kvm/x86.c has it where the TSC is unstable: it waits while the vCPU is out
    (kvm_arch_vcpu_load) and catches up as it enters (kvm_guest_time_update)."""

    host: Host
    number: int
    khz: int
    faster_ppm: int = 0  # than its rate in kHz says, while it is in
    written: int = 0  # this_tsc_write
    written_ns: int = field(init=False)
    last: int = field(init=False)  # last_guest_tsc

    def __post_init__(self) -> None:
        self.written_ns, self.last = self.host.ns, self.written

    def set_msrs(self, values: dict[int, int]) -> None:
        """A write; see kvm_synchronize_tsc for those near to what is expected."""
        self.host.pass_ns(LOOK_NS)
        self.written = self.last = values[ClockMsr.TSC]
        self.written_ns = self.host.ns

    def msr(self, index: int) -> int:
        assert index == ClockMsr.TSC
        self.host.pass_ns(LOOK_NS)
        return self.last + LOOK_NS * self.khz // 2_000_000 & MASK_64

    def tsc_khz(self) -> int:
        return self.khz

    def run(self, ns: int) -> list[int]:
        """It enters, looks at its TSC at once and before it comes out again, ``ns`` later."""
        line = self.written + (self.host.ns - self.written_ns) * self.khz // 1_000_000
        first = max(self.last, line)
        self.host.pass_ns(ns)
        self.last = first + ns * self.khz * (1_000_000 + self.faster_ppm) // 10**12
        return [first & MASK_64, self.last & MASK_64]


@dataclass
class ScalingVcpu:
    """A TSC at another rate than the host's: KVM and the processor may differ by a cycle or two in
    what they make of the host's, ``off`` cycles here."""

    host: Host
    number: int
    khz: int
    off: int = 0

    def _tsc(self) -> int:
        return self.host.ns * self.khz // 1_000_000

    def msr(self, index: int) -> int:
        """What KVM says."""
        assert index == ClockMsr.TSC
        return self._tsc()

    def run(self, ns: int) -> list[int]:
        """What the guest finds as it enters and before it comes out."""
        first = self._tsc() + self.off
        self.host.pass_ns(ns)
        return [first & MASK_64, self._tsc() + self.off & MASK_64]
