"""What the host's KVM makes of a guest's TSC, where KVM itself does not tell: found out by trying.

Some KVMs (emulated ones, at least) give guests the host's own TSC: writes to IA32_TSC and
IA32_TSC_ADJUST, and offsets, are taken and have no effect. A guest must not be told of
IA32_TSC_ADJUST there, and a snapshot cannot have its TSC again.

Where the host's TSC is unstable (its kernel says «Marking TSC unstable», the clocksource is hpet)
KVM stops a vCPU's TSC while the vCPU is out, and puts it right as it enters: see `caught_up`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import TSC_TOLERANCE_PPM, Capability
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm

#: Far enough that no delay looks like it: some minutes.
_TRIED = 1 << 40
#: So often, and so long, is looked whether a TSC waits. A host that is busy while it is asked may
#: make one that waits look as if it went on, but none that goes on as if it waited.
_LOOKS, _LOOKED_NS = 10, 1_000_000
#: A kernel that found its TSC to be unstable does not offer it here.
CLOCKSOURCES = Path("/sys/devices/system/clocksource/clocksource0/available_clocksource")


@dataclass(frozen=True, slots=True)
class HostTsc:
    """``moves``: a guest's TSC goes where it is set. ``waits``: it stands still while out."""

    moves: bool
    waits: bool


def host_tsc(kvm: Kvm) -> HostTsc:
    """What this KVM does: tried on a machine made for that. Raises `KvmRefused`."""
    with Vm(kvm) as vm:
        vcpu = vm.add_vcpu()
        return HostTsc(waits=_waits(vcpu), moves=_moves(vcpu))


@cache
def host_tsc_here() -> HostTsc:
    """The same of this host's KVM, found out once. Raises `KvmUnavailable`, `KvmRefused`."""
    with Kvm() as kvm:
        return host_tsc(kvm)


def _waits(vcpu: Vcpu) -> bool:
    return not _host_trusts_its_tsc() and any(_stood_still(vcpu) for _ in range(_LOOKS))


def _host_trusts_its_tsc() -> bool:
    try:
        return "tsc" in CLOCKSOURCES.read_text("ascii", "replace").split()
    except OSError:  # nobody says so
        return False


def _stood_still(vcpu: Vcpu) -> bool:
    """Whether less than half of the cycles passed that must have: delays only add to them."""
    before = vcpu.msr(ClockMsr.TSC)
    started_ns = time.monotonic_ns()
    while (passed_ns := time.monotonic_ns() - started_ns) < _LOOKED_NS:
        pass
    cycles = vcpu.msr(ClockMsr.TSC) - before & MASK_64
    cycles -= cycles >> 63 << 64  # one that waits may seem to go back: each asking takes its time
    return cycles * 1_000_000 < passed_ns * vcpu.tsc_khz() // 2


def _moves(vcpu: Vcpu) -> bool:
    before = vcpu.msr(ClockMsr.TSC)
    if vcpu.vm.has(Capability.VCPU_ATTRIBUTES):
        vcpu.set_tsc_offset(vcpu.tsc_offset() + _TRIED & MASK_64)
    else:
        vcpu.set_msrs({ClockMsr.TSC: before + _TRIED & MASK_64})
    return vcpu.msr(ClockMsr.TSC) - before & MASK_64 >= _TRIED


def is_near(khz: int, host_khz: int) -> bool:
    """Whether KVM takes one for the other, without scaling (arch/x86/kvm/x86.c,
    kvm_set_tsc_khz)."""
    return abs(khz - host_khz) * 1_000_000 <= TSC_TOLERANCE_PPM * host_khz
