"""What happens when a TSC is written: by the guest, or by KVM's user.

A guest's write moves its own TSC and nothing else. A write from outside (KVM_SET_MSRS of 0x10) is
different: KVM guesses whether it was meant to bring this vCPU's TSC in line with the last one
written. If so it ignores the value and gives the vCPU the same offset as the others:

- a write of 0 always counts as such: it cannot set a TSC to 0;
- any other value does once a TSC was set from outside, if it lies less than one second of cycles
  from where the last written TSC has got to by now.

So that a master clock can run, all vCPUs must have been matched since the last value that was not.

Sources: Linux arch/x86/kvm/x86.c, kvm_synchronize_tsc, __kvm_synchronize_tsc,
kvm_track_tsc_matching, kvm_set_msr_common (MSR_IA32_TSC, MSR_IA32_TSC_ADJUST; commit
bf328e22e472, Linux 6.7, "Don't sync user-written TSC against startup values");
Intel SDM volume 3, "IA32_TSC_ADJUST Support".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from timehands.clocks.pvclock.scale import get_time_scale, scale_delta
from timehands.clocks.tsc import U64

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class GuestTsc:
    """A vCPU's TSC offset and its IA32_TSC_ADJUST, both u64, as a guest's writes change them."""

    offset: int = 0
    adjust: int = 0

    def write_tsc(self, now: int, value: int) -> GuestTsc:
        """WRMSR 0x10 when the guest's TSC is ``now``: both move by the difference."""
        return self._moved(value - now)

    def write_adjust(self, value: int) -> GuestTsc:
        """WRMSR 0x3b: the TSC moves by as much as the register changes."""
        return self._moved(value - self.adjust)

    def store_adjust(self, value: int) -> GuestTsc:
        """KVM_SET_MSRS of 0x3b: from outside only the register changes, the TSC does not."""
        return replace(self, adjust=value & U64)

    def _moved(self, by: int) -> GuestTsc:
        return GuestTsc((self.offset + by) & U64, (self.adjust + by) & U64)


@dataclass(frozen=True, slots=True)
class LastWrite:
    """What a VM remembers of the TSCs written so far (u64; times in ns of the host's boot clock).

    ``offset`` and ``generation`` belong to the last value that was not matched; ``matched`` vCPUs
    have followed it.
    """

    at_ns: int = 0
    value: int = 0
    tsc_khz: int = 0
    offset: int = 0
    generation: int = 0
    matched: int = 0
    set_from_outside: bool = False

    def all_matched(self, vcpus: int) -> bool:
        """Whether a master clock may run with so many vCPUs, as far as their TSCs go."""
        return self.matched + 1 == vcpus


class Written(NamedTuple):
    """What a write from outside did: the vCPU's new offset, and whether KVM took it as a match."""

    offset: int
    matched: bool
    generation: int
    vm: LastWrite


def cycles(ns: int, tsc_khz: int) -> int:
    """So many ns in cycles of that rate, as KVM's nsec_to_cycles rounds them."""
    mul, shift = get_time_scale(tsc_khz * 1000, NS_PER_S)
    return scale_delta(ns, mul, shift)


def synchronizes(
    vm: LastWrite, value: int, now_ns: int, tsc_khz: int, *, after_startup: bool = False
) -> bool:
    """Whether KVM takes a write for an attempt to synchronise. All arithmetic is modulo 2^64.

    ``after_startup``: as before the commit above, when a value near to what KVM itself wrote at
    the vCPUs' creation counted, too (a guest younger than a second could not be restored).
    """
    if tsc_khz == 0:
        return False
    if value == 0:
        return True
    if not (vm.set_from_outside or after_startup):
        return False
    second = tsc_khz * 1000
    expected = (vm.value + cycles((now_ns - vm.at_ns) & U64, tsc_khz)) & U64
    return value < (expected + second) & U64 and (value + second) & U64 > expected


def write_from_outside(
    vm: LastWrite,
    value: int,
    *,
    now_ns: int,
    scaled_host_tsc: int,
    tsc_khz: int,
    generation: int = 0,
    outside: bool = True,
    host_stable: bool = True,
    after_startup: bool = False,
) -> Written:
    """A write to one vCPU's TSC by KVM's user, or (``outside`` False) KVM's own at its creation.

    ``scaled_host_tsc``: the host's TSC now, times the vCPU's ratio. ``generation``: the one that
    this vCPU got at its last write, 0 before. ``host_stable``: the host trusts its TSC.
    ``after_startup``: see `synchronizes`.
    """
    matches = synchronizes(vm, value, now_ns, tsc_khz, after_startup=after_startup)
    matches = matches and tsc_khz == vm.tsc_khz
    if matches and not host_stable:
        value = (value + cycles((now_ns - vm.at_ns) & U64, tsc_khz)) & U64
    offset = vm.offset if matches and host_stable else (value - scaled_host_tsc) & U64
    if matches:
        follows = generation != vm.generation
        after = replace(vm, matched=vm.matched + follows)
    else:
        after = replace(vm, offset=offset, generation=vm.generation + 1, matched=0)
    after = replace(
        after,
        at_ns=now_ns,
        value=value,
        tsc_khz=tsc_khz,
        set_from_outside=vm.set_from_outside or outside,
    )
    return Written(offset, matches, after.generation, after)
