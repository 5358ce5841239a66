"""Whether the host's KVM moves a guest's TSC when it is asked to.

Some (emulated ones, at least) give guests the host's own TSC: writes to IA32_TSC and
IA32_TSC_ADJUST, and offsets, are taken and have no effect. A guest must not be told of
IA32_TSC_ADJUST there, and a snapshot cannot have its TSC again.
"""

from __future__ import annotations

from functools import cache

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import Capability
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm

#: Far enough that no delay looks like it: some minutes.
_TRIED = 1 << 40


def tsc_moves(kvm: Kvm) -> bool:
    """Whether it does: tried on a machine made for that. Raises `KvmRefused`."""
    with Vm(kvm) as vm:
        vcpu = vm.add_vcpu()
        before = vcpu.msr(ClockMsr.TSC)
        _move(vcpu, before)
        return vcpu.msr(ClockMsr.TSC) - before & MASK_64 >= _TRIED


@cache
def tsc_moves_here() -> bool:
    """The same of this host's KVM, found out once. Raises `KvmUnavailable`, `KvmRefused`."""
    with Kvm() as kvm:
        return tsc_moves(kvm)


def _move(vcpu: Vcpu, tsc: int) -> None:
    if vcpu.vm.has(Capability.VCPU_ATTRIBUTES):
        vcpu.set_tsc_offset(vcpu.tsc_offset() + _TRIED & MASK_64)
    else:
        vcpu.set_msrs({ClockMsr.TSC: tsc + _TRIED & MASK_64})
